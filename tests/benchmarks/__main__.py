"""Measurements that tests cannot assert: ``make bench``, or some of them by name.

    python -m tests.benchmarks [NAME ...]

steps                 a training step against PyTorch's layers and its matrix products alone
lengths               a training step of mixed lengths against one length of as many frames
loop, spectrograms    a stage against a bare loop over the same kernels
mlp                   the classifier's fits against PyTorch loops and their products alone
mixed                 two trainings side by side on recordings of about 7 s, and one of a minute
growth                training with recordings and their length, embedding 400 to 40 000 clips
recipe                the esc-10 recipe from audio to scores, beside auDeep's figures
throughput            audio to embeddings, against a process pool without Ray and against Daft
data-parallel         one autoencoder on one and two workers: losses, steps beside a bare DDP loop
at-once               four autoencoders trained at once and one after another: time and memory
million               the plan for a manifest of a million rows
ten-hours             a recording of ten hours in overlapping chunks: memory, start and end
soak                  50 000 short recordings, 1 % of them bad: rows, errors, memory over time
kills                 twenty runs that are killed at a random moment, and run again
crash-points          every command that writes, killed at each point where a file changes
fsync                 embedding 10 000 clips, with and without waiting for the disc
races                 two runs of other settings at one new output at one moment, 100 times
nodes                 a benchmark on three nodes of which two vanish: the same tables and scores

Without a name: the ratios (steps, lengths, loop, spectrograms, mlp, throughput, fsync), as one
table and as ``build/benchmarks/bench.json``. ``RAUDEEP_TEST_DATA`` names the folder that holds
``esc-10``; without it a corpus is synthesised. Files and pictures are in ``build/benchmarks``.
"""

import json
import os
import platform
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks.at_once import bench_at_once
from tests.benchmarks.corpus import BUILD, Ratio
from tests.benchmarks.crash_points import bench_crash_points
from tests.benchmarks.data_parallel import bench_data_parallel
from tests.benchmarks.fsync import bench_fsync
from tests.benchmarks.growth import bench_growth
from tests.benchmarks.kills import bench_kills
from tests.benchmarks.million import bench_million
from tests.benchmarks.mixed import bench_mixed
from tests.benchmarks.nodes import bench_nodes
from tests.benchmarks.races import bench_races
from tests.benchmarks.ratios import bench_loop, bench_mlp, bench_spectrograms
from tests.benchmarks.recipe import bench_recipe
from tests.benchmarks.soak import bench_soak
from tests.benchmarks.steps import bench_lengths, bench_steps
from tests.benchmarks.ten_hours import bench_ten_hours
from tests.benchmarks.throughput import bench_throughput

RATIOS = {
    "steps": bench_steps,
    "lengths": bench_lengths,
    "loop": bench_loop,
    "spectrograms": bench_spectrograms,
    "mlp": bench_mlp,
    "throughput": bench_throughput,
    "fsync": bench_fsync,
}
CHECKS = {
    "data-parallel": bench_data_parallel,
    "at-once": bench_at_once,
    "million": bench_million,
    "ten-hours": bench_ten_hours,
    "soak": bench_soak,
    "kills": bench_kills,
    "crash-points": bench_crash_points,
    "races": bench_races,
    "nodes": bench_nodes,
    "mixed": bench_mixed,
    "growth": bench_growth,
    "recipe": bench_recipe,
}

FASTEST = ("amx_bf16", "avx512_bf16", "avx512_bw", "avx2")  # of what matters for training


def main(names: list[str]) -> None:
    rows = []
    for name in names or RATIOS:
        if name in RATIOS:
            rows += [_row(name, ratio) for ratio in RATIOS[name]()]
        if name in CHECKS:
            facts = CHECKS[name]()
            width = max(map(len, facts))
            for fact, value in facts.items():
                print(f"{fact:{width}}  {value}", flush=True)
    if rows:
        machine = _machine()
        BUILD.mkdir(parents=True, exist_ok=True)
        written = {"machine": machine, "rows": rows}
        (BUILD / "bench.json").write_text(json.dumps(written, indent=2) + "\n")
        _print(rows, title=", ".join(map(str, machine.values())))


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    capabilities = [name for name, has in torch.cpu.get_capabilities().items() if has is True]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "fastest": next((name for name in FASTEST if name in capabilities), "neither"),
        "cores": f"{os.cpu_count()} cores",
        "raudeep": f"raudeep {version('raudeep')}",
        "torch": f"torch {torch.__version__}",
        "ray": f"Ray {version('ray')}",
        "python": f"Python {platform.python_version()}",
    }


def _row(name: str, found: Ratio) -> dict[str, Any]:
    ratios = [a / b for a, b in zip(found.ours, found.theirs, strict=True)]
    limits = found.limits and [a / b for a, b in zip(found.ours, found.limits, strict=True)]
    return {
        "name": name,
        "what": found.what,
        "reference": found.reference,
        "ours_seconds": statistics.median(found.ours),
        "reference_seconds": statistics.median(found.theirs),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "limit": found.limit,
        "ratio_to_limit": statistics.median(limits) if limits else None,
        "held_back_by": found.rest,
    }


def _print(rows: list[dict[str, Any]], *, title: str) -> None:
    table = Table(title=title, box=None)
    for column in ("what", "reference", "ours, s", "reference, s", "ratio (min to max)"):
        table.add_column(column, justify="left" if column in ("what", "reference") else "right")
    table.add_column("limit: ratio")
    table.add_column("held back by")
    for row in rows:
        spread = "{ratio:.2f} ({ratio_min:.2f} to {ratio_max:.2f})".format(**row)
        limit = "{limit}: {ratio_to_limit:.2f}".format(**row) if row["ratio_to_limit"] else ""
        seconds = (f"{row[key]:.3f}" for key in ("ours_seconds", "reference_seconds"))
        table.add_row(row["what"], row["reference"], *seconds, spread, limit, row["held_back_by"])
    Console(width=190).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
