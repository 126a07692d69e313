"""What the README promises: the main job on the demo recipe, and running it again."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from raudeep.config import SpectrogramConfig
from raudeep.corpora.demo import write_demo_corpus
from raudeep.errors import TableError
from raudeep.pipeline.benchmark import plan_benchmark, run_benchmark
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.tuning.sweep import plan_sweep, tune_autoencoders
from raudeep.storage.recipes import load_recipe
from raudeep.sweep.space import parse_space

pytestmark = pytest.mark.usefixtures("decoding_here")

ROOT = Path(__file__).parents[2]


def _job(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "jobs" / "full_benchmark.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
    )


@pytest.mark.timeout(900)
def test_the_demo_separates_its_classes_and_a_second_run_computes_nothing(tmp_path):
    first = _job("demo", "--output", tmp_path)
    assert first.returncode == 0, first.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    fused = {row["readout"]: row for row in results["scores"] if row["embedding"] == "fused"}
    assert set(fused) == {"state", "pooled"}
    assert all(row["accuracy"] >= 0.9 for row in fused.values())
    assert f"{100 * fused['pooled']['accuracy']:.1f}" in first.stdout
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/svg") >= 2 + 1 + 2 * 3
    assert results["errors"] == []

    second = _job("demo", "--output", tmp_path, "--json")
    assert second.returncode == 0, second.stderr
    again = json.loads(second.stdout)
    assert again["scores"] == results["scores"]
    assert all(stage["reused"] == stage["parts"] for stage in again["stages"])
    times = [[row["seconds"] for row in each["stages"]] for each in (results, again)]
    assert times[0] == times[1]  # what they took, not what it took to see that they are there


def test_a_benchmark_is_not_written_into_a_table(tmp_path):
    corpus, table = tmp_path / "corpus", tmp_path / "table"
    write_demo_corpus(corpus, clips_per_class=5)
    view = SpectrogramConfig(n_mels=4)
    extract_spectrograms(load_manifest(str(corpus))[0], {"view": view}, {"view": str(table)})
    before = sorted(table.rglob("*"))
    for ask in (run_benchmark, plan_benchmark):
        with pytest.raises(TableError, match="table holds files but no benchmark of raudeep"):
            ask(load_recipe("demo"), None, str(table))
    assert sorted(table.rglob("*")) == before


def test_a_benchmark_and_a_sweep_do_not_replace_each_others_results(tmp_path):
    space = parse_space({"autoencoder.num_units": {"choices": [8, 16]}}, where="space")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text('{"identity": {}}')
    for ask in (run_benchmark, plan_benchmark):
        with pytest.raises(TableError, match="sweep holds files but no benchmark"):
            ask(load_recipe("demo"), None, str(tmp_path / "sweep"))
    (tmp_path / "benchmark").mkdir()
    recipe = json.dumps(load_recipe("demo").to_dict())
    (tmp_path / "benchmark" / "recipe.json").write_text(recipe)
    for tune in (tune_autoencoders, plan_sweep):
        with pytest.raises(TableError, match="benchmark holds files but no sweep"):
            tune(load_recipe("demo"), space, None, str(tmp_path / "benchmark"))


def test_the_page_of_the_house_names_files_that_exist():
    folders, found = [], []
    for line in (ROOT / "docs" / "development.md").read_text().splitlines():
        if named := re.match(r"    ( +)(\S+(?:/|\.py)(?: \S+(?:/|\.py))*)  ", line):
            folders = folders[: len(named[1]) // 2 - 1]
            found += [Path("raudeep", *folders, name) for name in named[2].split()]
            folders.append(named[2].split()[0])
    assert Path("raudeep/pipeline/recordings") in found
    assert Path("raudeep/audio") in found
    assert [place for place in found if not (ROOT / place).exists()] == []
