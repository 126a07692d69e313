"""What it costs that each file is on the disc before it has its name: embedding with and without.

Everything runs in this process, so that what is not waited for can be left out in every write.
"""

import os
import shutil
import time
from pathlib import Path

from raudeep.pipeline.recordings import slice_worker
from raudeep.pipeline.runtime import streaming
from tests.benchmarks.corpus import BUILD, Ratio
from tests.benchmarks.crash_points import write_clips
from tests.crashes import run
from tests.models import write_model

CLIPS = int(os.environ.get("RAUDEEP_CLIPS", "10000"))
TURNS = 3


def bench_fsync() -> list[Ratio]:
    folder = (BUILD / "fsync").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_clips(folder / "corpus", CLIPS)
    write_model(folder / "model", units=4, fixed_seconds=0.3, n_mels=8)
    streaming._START_SECONDS = float("inf")  # no other process
    slice_worker.is_fresh_cpu_actor = lambda: True
    with_it, without = [], []
    _embed(folder, os.fsync)  # what is read once is in memory from now on
    for _ in range(TURNS):
        without.append(_embed(folder, lambda _: None))
        with_it.append(_embed(folder, os.fsync))
    return [Ratio(f"embed {CLIPS} clips", "without fsync", with_it, without)]


def _embed(folder: Path, fsync) -> float:
    waited: list[float] = []

    def timed(descriptor):
        started = time.perf_counter()
        fsync(descriptor)
        waited.append(time.perf_counter() - started)

    shutil.rmtree(folder / "out", ignore_errors=True)
    before, os.fsync = os.fsync, timed
    started = time.perf_counter()
    try:
        assert run(folder, "embed @/corpus --model @/model --output @/out") == 0
    finally:
        os.fsync = before
    seconds = time.perf_counter() - started
    print(f"{seconds:.2f} s, of which {sum(waited):.2f} s in {len(waited)} fsyncs", flush=True)
    return seconds
