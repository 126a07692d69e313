"""50 000 short recordings, 1 % of them bad in every way, embedded as an archive is."""

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from raudeep.storage.plan_files import read_plans
from raudeep.storage.table import read_errors, read_table
from tests.benchmarks.corpus import BUILD, LONG_SECONDS, Archive, write_archive
from tests.benchmarks.process import Watched
from tests.models import write_model

FEW, MANY = (
    int(os.environ.get("RAUDEEP_SOAK_FEW", "5000")),
    int(os.environ.get("RAUDEEP_SOAK", "50000")),
)


def bench_soak() -> dict[str, str]:
    folder = BUILD / "soak"
    shutil.rmtree(folder, ignore_errors=True)
    model = write_model(folder / "model", fixed_seconds=None)
    few = _run(write_archive(folder / "few", FEW), model, "few")
    many = _run(write_archive(folder / "many", MANY), model, "many")
    shutil.rmtree(folder / "few")
    shutil.rmtree(folder / "many")
    paces = {name: _pace(BUILD / "soak" / f"{name}-embeddings") for name in ("few", "many")}
    half = [found for at, found in many.samples if at > many.seconds / 2]
    quarter = [found for at, found in many.samples if many.seconds / 4 < at < many.seconds / 2]
    growth = {
        role: max(s.get(role, 0.0) for s in half) - max(s.get(role, 0.0) for s in quarter)
        for role in ("driver", "worker", "decoder")
    }
    return {
        f"seconds, {FEW} and {MANY} recordings": f"{few.seconds:.1f} {many.seconds:.1f}",
        "ms per recording without starts, few and many": " ".join(
            f"{1000 * pace:.3f}" for pace in paces.values()
        ),
        "peak MiB of driver, worker, decoder": " ".join(
            f"{many.peak(role):.0f}" for role in ("driver", "worker", "decoder")
        ),
        "growth from the second quarter to the second half, MiB": " ".join(
            f"{growth[role]:.0f}" for role in ("driver", "worker", "decoder")
        ),
        "plot": str(folder / "many.svg"),
    }


def _pace(table: Path) -> float:
    """Return the seconds of a recording, from the second part that was written to the last."""
    sizes = np.bincount(read_plans(str(table))[0].recordings["part"].to_numpy())
    written = sorted(
        (path.stat().st_mtime, sizes[int(path.name[5:10])]) for path in table.glob("part-*")
    )
    return (written[-1][0] - written[0][0]) / sum(count for _, count in written[1:])


def _run(archive: Archive, model: str, name: str) -> Watched:
    output = BUILD / "soak" / f"{name}-embeddings"
    limits = ("--max-duration", LONG_SECONDS)
    run = Watched("embed", archive.manifest, "--model", model, "--output", output, *limits)
    print(run.wait().strip()[-300:], flush=True)
    run.plot(BUILD / "soak" / f"{name}.svg")
    rows = Counter(read_table(str(output), columns=["file"])["file"].to_pylist())
    errors = Counter(read_errors(str(output))["file"].to_pylist())
    assert set(rows) == archive.good
    assert set(errors) == archive.bad
    assert set(rows.values()) == set(errors.values()) == {1}
    print(f"{len(rows)} rows, {len(errors)} errors, each once", flush=True)
    return run
