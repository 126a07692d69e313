"""A benchmark that is killed in every stage ends with the tables of one that never was."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from raudeep.storage.table import read_table
from tests.support import start

TABLES = [
    "manifest",
    *(f"spectrograms/{view}" for view in ("30db", "60db")),
    *(f"embeddings/{r}/{e}" for r in ("state", "pooled") for e in ("30db", "60db", "fused")),
    *(f"predictions/{r}/{e}" for r in ("state", "pooled") for e in ("30db", "60db", "fused")),
]


def _begun(output: Path, stage: str) -> bool:
    """Return whether something of the stage is there."""
    # os.walk passes over folders that vanish meanwhile, which Path.glob does not.
    folder, name = ("models", "events.out") if stage == "training" else (stage, "part-")
    files = (file for _, _, found in os.walk(output / folder) for file in found)
    return any(file.startswith(name) for file in files)


def _kill_in(stage: str, output: Path, *arguments) -> None:
    """Run the benchmark and kill its driver as soon as the stage has begun."""
    process = start(*arguments)
    deadline = time.monotonic() + 240
    while not _begun(output, stage):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.communicate()


def _parts(output: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in output.rglob("part-*.parquet")}


def _flat(value):
    if isinstance(value, list):
        return [number for inner in value for number in _flat(inner)]
    return [value]


@pytest.mark.timeout(1200)
def test_a_benchmark_killed_in_every_stage_equals_an_undisturbed_one(corpus, recipe, tmp_path, cli):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    common = ("benchmark", recipe, "--corpus", corpus)
    code, _, stderr = cli(*common, "--output", undisturbed)
    assert code == 0, stderr

    command = (*common, "--output", killed)
    for stage in ("spectrograms", "training", "embeddings", "predictions"):
        _kill_in(stage, killed, *command)
        assert not (killed / "results.json").exists()
    before = _parts(killed)
    code, stdout, stderr = cli(*command, "--json")
    assert code == 0, stderr

    after = _parts(killed)
    assert before
    assert all(after[path] == written for path, written in before.items())
    for name in TABLES:
        expected, actual = read_table(str(undisturbed / name)), read_table(str(killed / name))
        assert actual.schema.names == expected.schema.names
        for column in expected.schema.names:
            left, right = expected[column].to_pylist(), actual[column].to_pylist()
            if column in ("spectrogram", "embedding", "probabilities"):
                assert _flat(right) == pytest.approx(_flat(left), abs=1e-6)
            else:
                assert right == left
    scores = json.loads(stdout)["scores"]
    assert scores == json.loads((undisturbed / "results.json").read_text())["scores"]
