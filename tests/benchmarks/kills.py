"""Runs that are killed at a random moment, each followed by the same command.

The corpus lies on an S3 store on loopback behind a proxy that keeps what was asked for, so that it
is known which recordings were read again.
"""

import os
import random
import shutil
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import psutil
import pyarrow as pa

from raudeep.pipeline.stage import embedding_array
from raudeep.storage import uri as uris
from raudeep.storage.plan_files import read_plans
from raudeep.storage.stores import connect
from raudeep.storage.table import read_errors, read_table
from tests.benchmarks.cluster import Nodes
from tests.benchmarks.corpus import BUILD, Archive, write_archive
from tests.benchmarks.process import finish, role_of, start
from tests.models import write_model
from tests.s3 import FaultProxy, environment, moto_server

RECORDINGS = 700
BUCKET = "archive"
RUNS = int(os.environ.get("RAUDEEP_KILLS", "20"))


def bench_kills() -> dict[str, str]:
    folder = (BUILD / "kills").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    model = write_model(folder / "model", units=64, fixed_seconds=None)
    archive = write_archive(folder / "archive", RECORDINGS)
    rng = random.Random(0)
    with moto_server() as port:
        proxy = FaultProxy(port)
        os.environ.update(environment(proxy.port))
        command = ["embed", _upload(archive, folder / "archive"), "--model", model, "--output"]
        started = time.perf_counter()
        finish(start(*command, folder / "undisturbed"))
        duration = time.perf_counter() - started
        expected = _content(folder / "undisturbed")
        parts = _count(folder / "undisturbed")
        killed: Counter[str] = Counter()
        repeated, difference, too_late = 0, 0.0, 0
        while killed.total() < RUNS:
            target = ("driver", "worker", "raylet")[killed.total() % 3]
            output = folder / f"run-{killed.total()}"
            after, wait = rng.randrange(parts), rng.uniform(0, 2)
            found = _run(target, after, wait, command, output, proxy)
            if found is None:
                too_late += 1
            else:
                killed[target] += 1
                repeated += found.repeated
                difference = max(difference, _difference(_content(output), expected))
                print(f"{target}: {found}", flush=True)
            shutil.rmtree(output)
        proxy.close()
    return {
        "seconds of an undisturbed run": f"{duration:.1f}",
        "runs by what was killed": ", ".join(f"{name} {n}" for name, n in killed.items()),
        "kills that came too late, and were done again": str(too_late),
        "keys, metadata and errors of the tables": "those of the undisturbed run",
        "largest difference of a value": f"{difference:.1e}",
        "recordings of finished parts that were read again": str(repeated),
    }


class Found(NamedTuple):
    """Parts that were finished at the kill, and how many of their recordings were read later."""

    finished: int
    of: int
    repeated: int


def _run(
    target: str, after: int, wait: float, command: list[str], output: Path, proxy: FaultProxy
) -> Found | None:
    """Kill a run a while after some of its parts are there, and run it again.

    None if it had ended before.
    """
    nodes = Nodes(2) if target == "raylet" else None
    address = {"RAY_ADDRESS": nodes.address} if nodes else {}
    try:
        process = start(*command, output, **address)
        while _count(output) < after and process.poll() is None:
            time.sleep(0.05)
        time.sleep(wait)
        finished = _finished(output)
        proxy.requests.clear()  # what is read from now on is of other parts, or read again
        in_time = process.poll() is None and _kill(target, process, nodes)
        process.communicate()  # without a worker or a node it goes on, or fails
        finish(start(*command, output, **address))
    finally:
        if nodes:
            nodes.close()
    if not in_time:
        return None
    read = Counter(unquote(key) for key in proxy.gets())
    again = sum(read[f"/{BUCKET}/{file}"] for files in finished for file in files)
    return Found(len(finished), _count(output), again)


def _count(output: Path) -> int:
    return len(list(output.glob("part-*.parquet")))


def _kill(target: str, process: "subprocess.Popen[str]", nodes: Nodes | None) -> bool:
    """Kill what is to be killed; False where there is none yet."""
    if target == "raylet":
        assert nodes is not None
        nodes.remove(0)
        return True
    if target == "driver":
        process.kill()
        return True
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if role_of(child) == "worker":
                    child.kill()
                    return True
    return False


def _finished(output: Path) -> list[list[str]]:
    """Return the recordings of each part that is there."""
    present = {int(path.name[5:10]) for path in output.glob("part-*.parquet")}
    if not present:
        return []
    plan = read_plans(str(output))[0].recordings
    files: dict[int, list[str]] = {part: [] for part in present}
    for part, file in zip(plan["part"].to_pylist(), plan["file"].to_pylist(), strict=True):
        if part in files:
            files[part].append(file)
    return list(files.values())


def _content(output: Path) -> tuple[pa.Table, pa.Table]:
    return read_table(str(output)), read_errors(str(output))


def _difference(found: tuple[pa.Table, pa.Table], expected: tuple[pa.Table, pa.Table]) -> float:
    """Return the largest difference of a value of two tables that are otherwise equal."""
    (rows, errors), (wanted, failed) = found, expected
    assert errors.equals(failed)
    assert rows.drop_columns(["embedding"]).equals(wanted.drop_columns(["embedding"]))
    values, truth = embedding_array(rows), embedding_array(wanted)
    return float(np.abs(values - truth).max())


def _upload(archive: Archive, folder: Path) -> str:
    connect(f"s3://{BUCKET}")[0].mkdir(BUCKET)
    names = sorted(archive.good | archive.bad)
    for name in ["manifest.csv", *(name for name in names if (folder / name).is_file())]:
        uris.write_bytes(f"s3://{BUCKET}/{name}", (folder / name).read_bytes())
    return f"s3://{BUCKET}/manifest.csv"
