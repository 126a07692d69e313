"""The plan for a manifest of a million rows: seconds and memory of the driver."""

import resource
import shutil
import time

import numpy as np
import pyarrow as pa
import pyarrow.csv

from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.slices import plan_recordings
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from tests.benchmarks.corpus import BUILD

ROWS = 1_000_000


def bench_million() -> dict[str, str]:
    folder = BUILD / "million"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    columns = {
        "file": [f"site{number % 97:02d}/2024/{number:07d}.flac" for number in range(ROWS)],
        "label": [f"species {number % 211}" for number in rng.permutation(ROWS)],
        "fold": rng.integers(1, 6, ROWS),
    }
    pa.csv.write_csv(pa.table(columns), folder / "manifest.csv")
    del columns
    started = time.perf_counter()
    manifest, _ = load_manifest(str(folder / "manifest.csv"))
    read = time.perf_counter() - started
    writers = {"table": open_table(str(folder / "table"), Identity("embeddings", {}))}
    plan = plan_recordings(writers, manifest, bytes_per_row=4096)["table"]
    planned = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    shutil.rmtree(folder)
    return {
        "seconds to read and check the manifest": f"{read:.1f}",
        "seconds with the plan": f"{planned:.1f}",
        "parts": str(plan.num_parts),
        "peak GB of the process": f"{peak:.2f}",
    }
