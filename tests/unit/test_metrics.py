"""What is told to Ray's metrics, and what that costs where Ray does not run."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from raudeep.audio.spectrogram import Spectrogram
from raudeep.errors import AudioError
from raudeep.pipeline.recordings import slice_worker
from raudeep.pipeline.recordings.reachable import Needs
from raudeep.pipeline.runtime import metrics
from raudeep.pipeline.stage import to_ipc
from raudeep.schema import MANIFEST

ROOT = Path(__file__).parents[2]


@pytest.fixture
def told(monkeypatch):
    """Everything that is told, as if Ray were running."""
    entries = []

    class FakeMetric:
        def __init__(self, name, description, tags):
            assert description.endswith(".")
            self.name, self.tags = name, tags

        def inc(self, amount, tags):
            assert set(tags) == set(self.tags)
            entries.append((self.name, amount, tags))

        set = inc

    fake = SimpleNamespace(
        is_initialized=lambda: True,
        get_runtime_context=lambda: SimpleNamespace(get_actor_id=lambda: None),
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    module = SimpleNamespace(Counter=FakeMetric, Gauge=FakeMetric)
    monkeypatch.setitem(sys.modules, "ray.util", SimpleNamespace(metrics=module))
    monkeypatch.setitem(sys.modules, "ray.util.metrics", module)
    metrics._metric.cache_clear()
    yield entries
    metrics._metric.cache_clear()


def test_counters_add_up_and_gauges_are_set(told):
    metrics.add("raudeep_recordings", 2, stage="spectrograms")
    metrics.add("raudeep_recordings", 0, stage="spectrograms")
    metrics.show("raudeep_loss", 0.25, run="60db", split="train")
    assert told == [
        ("raudeep_recordings", 2, {"stage": "spectrograms"}),
        ("raudeep_loss", 0.25, {"run": "60db", "split": "train"}),
    ]


def test_nothing_is_loaded_where_ray_does_not_run():
    code = (
        "import sys\n"
        "from raudeep.pipeline.runtime import metrics\n"
        "metrics.add('raudeep_recordings', 1, stage='x')\n"
        "metrics.show('raudeep_epoch', 1, run='x')\n"
        "assert 'ray' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


class Collector:
    """Keeps what it is given; the second recording of a slice is no good."""

    def begin(self, targets):
        self.targets = targets

    def add(self, number, piece):
        if number == 1:
            raise AudioError("is empty")
        return slice_worker.taken_of(piece)

    def drop(self, number):
        pass

    def unusable(self):
        return {}

    def write(self, part, recordings, errors):
        pass


def load(recording):
    """Yield two overlapping chunks; runs in a process of its own."""
    import numpy as np

    for start in (0.0, 1.0):
        yield {"a": [Spectrogram(np.zeros((1, 1), np.float32), start, start + 2.0, 8000, 2.0)]}


def test_a_slice_tells_its_recordings_errors_and_seconds_once_each(told, tmp_path):
    rows = [{"file": name, "uri": str(tmp_path / name)} for name in ("good", "bad", "better")]
    worker = slice_worker.SliceWorker(
        title="spectrograms", load=load, make_collector=Collector, needs=Needs()
    )
    worker = pickle.loads(pickle.dumps(worker))  # as Ray does
    slice_ = to_ipc(pa.Table.from_pylist(rows, schema=MANIFEST))
    done = worker({"part": 0, "targets": ["a"], "recordings": slice_})
    worker._crew.close()
    assert (done["recordings"], done["errors"]) == (3, 1)
    sums = {}
    for name, amount, tags in told:
        assert tags == {"stage": "spectrograms"}
        sums[name] = sums.get(name, 0) + amount
    # Two chunks of two seconds, one second apart, are three seconds of audio.
    assert sums == {"raudeep_recordings": 3, "raudeep_errors": 1, "raudeep_audio_seconds": 6.0}


def test_the_dashboard_draws_metrics_that_are_defined_with_tags_they_have():
    board = json.loads((ROOT / "cluster" / "grafana.json").read_text())
    exported = {f"ray_{name}_total": tags for name, (_, tags) in metrics.COUNTERS.items()}
    exported |= {f"ray_{name}": tags for name, (_, tags) in metrics.GAUGES.items()}
    queries = [target for panel in board["panels"] for target in panel["targets"]]
    drawn = set()
    for query in queries:
        names = re.findall(r"\bray_\w+", query["expr"])
        assert names
        for name in names:
            assert name in exported
            tags = re.findall(r"by \(([^)]*)\)", query["expr"])[0].split(", ")
            assert set(tags) <= set(exported[name])
            assert set(re.findall(r"{{(\w+)}}", query["legendFormat"])) == set(tags)
        drawn.update(names)
    assert drawn == set(exported)
    boxes = [tuple(panel["gridPos"][side] for side in "xy") for panel in board["panels"]]
    assert len(set(boxes)) == len({panel["id"] for panel in board["panels"]}) == len(boxes)
