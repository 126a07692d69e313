"""The four autoencoders of the esc-10 recipe trained side by side, and one after another.

Ray is embedded, and shares this machine's cores among the runs: as many at a time as there are
cores, or one with all of them. The spectrograms are made before; what follows the training is kept
short.
"""

import json
import os
import shutil
import statistics
from pathlib import Path
from typing import NamedTuple

import psutil

from raudeep.config import ResourceConfig
from raudeep.pipeline.benchmark import BenchmarkLayout
from raudeep.pipeline.corpus import load_manifest, write_manifest
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.runtime.cluster import find_resources
from raudeep.pipeline.training.placement import share_resources
from raudeep.storage.recipes import load_recipe
from tests.benchmarks.corpus import BUILD, audio_folder
from tests.benchmarks.process import MIB, Watched

PAIRS = int(os.environ.get("RAUDEEP_AT_ONCE_PAIRS", "2"))
EPOCHS = int(os.environ.get("RAUDEEP_AT_ONCE_EPOCHS", "8"))
RECIPE = "esc-10"
SHORT = ("--evaluation.repeats", 1, "--mlp.num-epochs", 1)
INTERVAL = 5.0  # seconds between two looks at the memory


class Training(NamedTuple):
    """What a training of all took: seconds with Ray's start, and the most memory in MiB."""

    seconds: float
    clips_per_second: float
    peak: float


def bench_at_once() -> dict[str, str]:
    folder = (BUILD / "at-once").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    source = _prepare(str(audio_folder(folder)), folder / "prepared")
    found: dict[str, list[Training]] = {"at once": [], "one after another": []}
    flags = {"at once": (), "one after another": ("--resources.max-concurrent-runs", 1)}
    for number in range(PAIRS):
        for name in list(found) if number % 2 == 0 else list(found)[::-1]:
            shutil.copytree(folder / "prepared", folder / "run")
            found[name].append(_train(folder / "run", *source, *flags[name]))
            shutil.rmtree(folder / "run")
            print(f"{name}: {found[name][-1]}", flush=True)
    ratios = [each.seconds / alone.seconds for each, alone in zip(*found.values(), strict=True)]
    memory = f"{psutil.virtual_memory().total / MIB:.0f}"
    share = share_resources(
        find_resources(), ResourceConfig(), len(load_recipe(RECIPE).autoencoders)
    )
    facts = {
        "at once: runs at a time, cores of each": f"{share.concurrent} {share.cpus_per_worker}"
    }
    for name, trainings in found.items():
        columns = zip(*trainings, strict=True)
        seconds, speeds, peaks = (" ".join(f"{v:.1f}" for v in column) for column in columns)
        facts[f"{name}: seconds"] = seconds
        facts[f"{name}: clips per second of a run"] = speeds
        facts[f"{name}: peak MiB of all processes, of {memory}"] = peaks
    spread = " ".join(f"{ratio:.3f}" for ratio in ratios)
    return facts | {"ratio of seconds, median, each": f"{statistics.median(ratios):.3f} {spread}"}


def _prepare(corpus: str, output: Path) -> tuple[str, ...]:
    """Make what a run finds there, manifest and spectrograms; return the flags of the corpus."""
    places, recipe = BenchmarkLayout(str(output)), load_recipe(RECIPE)
    manifest, layout = load_manifest(corpus)
    write_manifest(manifest, places.manifest)
    tables = {view: places.spectrograms(view) for view in recipe.views}
    extract_spectrograms(manifest, recipe.views, tables)
    return "--corpus", corpus, "--corpus-layout", layout


def _train(output: Path, *flags: object) -> Training:
    run = Watched(
        *("benchmark", RECIPE, "--output", output, *flags),
        *("--training.num-epochs", EPOCHS, *SHORT),
        interval=INTERVAL,
        weighs_all=True,
    )
    run.wait()
    results = json.loads((output / "results.json").read_text())
    stages = {stage["stage"]: stage for stage in results["stages"]}
    assert stages["spectrograms"]["reused"] == stages["spectrograms"]["parts"]
    seconds = stages["training"]["seconds"]
    end = max(path.stat().st_mtime for path in output.glob("models/*/config.json"))
    peak = max(total for at, total in run.totals if end - seconds < at < end)
    speeds = [each["chunks_per_second"] for each in results["autoencoders"].values()]
    return Training(seconds, statistics.mean(speeds), peak)
