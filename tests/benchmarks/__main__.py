"""Measurements that tests cannot assert: ``make bench``, or some of them by name.

    python -m tests.benchmarks [NAME ...]

loop, spectrograms    a stage against a bare loop over the same kernels
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

Without a name: loop, spectrograms, throughput, fsync. ``RAUDEEP_TEST_DATA`` names the folder that
holds ``esc-10``; without it a corpus is synthesised. Files and pictures are in
``build/benchmarks``.
"""

import os
import statistics
import sys

import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks.at_once import bench_at_once
from tests.benchmarks.corpus import Ratio
from tests.benchmarks.crash_points import bench_crash_points
from tests.benchmarks.data_parallel import bench_data_parallel
from tests.benchmarks.fsync import bench_fsync
from tests.benchmarks.kills import bench_kills
from tests.benchmarks.million import bench_million
from tests.benchmarks.nodes import bench_nodes
from tests.benchmarks.races import bench_races
from tests.benchmarks.ratios import bench_loop, bench_spectrograms
from tests.benchmarks.soak import bench_soak
from tests.benchmarks.ten_hours import bench_ten_hours
from tests.benchmarks.throughput import bench_throughput

RATIOS = {
    "loop": bench_loop,
    "spectrograms": bench_spectrograms,
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
}


def main(names: list[str]) -> None:
    table = Table(title=f"torch {torch.__version__}, {os.cpu_count()} cores", box=None)
    for column in ("what", "reference", "ours, s", "reference, s", "ratio", "min", "max"):
        table.add_column(column, justify="left" if column in ("what", "reference") else "right")
    for name in names or RATIOS:
        for ratio in RATIOS[name]() if name in RATIOS else []:
            add_row(table, ratio)
        if name in CHECKS:
            facts = CHECKS[name]()
            width = max(map(len, facts))
            for fact, value in facts.items():
                print(f"{fact:{width}}  {value}", flush=True)
    if table.row_count:
        Console(width=120).print(table)


def add_row(table: Table, found: Ratio) -> None:
    ratios = [a / b for a, b in zip(found.ours, found.theirs, strict=True)]
    medians = map(statistics.median, (found.ours, found.theirs, ratios))
    figures = (f"{value:.3f}" for value in (*medians, min(ratios), max(ratios)))
    table.add_row(found.what, found.reference, *figures)


if __name__ == "__main__":
    main(sys.argv[1:])
