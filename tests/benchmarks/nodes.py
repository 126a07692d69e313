"""A cluster of three nodes of which two vanish while the demo benchmark runs.

One goes during extraction, the other during training, when it holds one of the two runs. Nothing is
run again: the same process goes on with the nodes that are left, and ends with the same tables.
"""

import json
import os
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from raudeep.corpora.demo import write_demo_corpus
from raudeep.storage.index import INDEX
from raudeep.storage.table import read_errors, read_table
from tests.benchmarks.cluster import Nodes
from tests.benchmarks.corpus import BUILD
from tests.benchmarks.process import finish, start

# Fewer recordings would be extracted in the driver's own process, sooner than Ray starts.
CLIPS_PER_CLASS = int(os.environ.get("RAUDEEP_NODES_CLIPS", "400"))
EPOCHS = int(os.environ.get("RAUDEEP_NODES_EPOCHS", "40"))
SHORTER = ("--evaluation.repeats", 1, "--mlp.num-epochs", 50)  # what no node is taken from
MOST_DIFFERENCE = 1e-6


class Removed(NamedTuple):
    """How far a run was when its nodes were removed."""

    parts: int
    epochs: dict[str, int]


def bench_nodes() -> dict[str, str]:
    folder = (BUILD / "nodes").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    write_demo_corpus(folder / "corpus", clips_per_class=CLIPS_PER_CLASS)
    undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
    whole, _ = _run(folder / "corpus", undisturbed, lambda process, nodes: None)
    parts = _parts(undisturbed)
    seconds, removed = _run(
        folder / "corpus",
        disturbed,
        lambda process, nodes: _remove(process, nodes, disturbed, parts),
    )
    assert removed is not None
    found, expected = (_tables(output) for output in (disturbed, undisturbed))
    assert found == expected
    differences: dict[str, list[float]] = defaultdict(list)
    for name in found:
        value = _difference(disturbed / name, undisturbed / name)
        assert value <= MOST_DIFFERENCE, f"{name}: {value:.1e}"
        differences[name.split("/")[0]].append(value)
    assert _scores(disturbed) == _scores(undisturbed)
    return {
        "seconds without and with two nodes removed": f"{whole:.0f} {seconds:.0f}",
        "first removed after": f"{removed.parts} of {parts} parts of spectrograms",
        "second removed after": ", ".join(
            f"epoch {epoch} of {EPOCHS} of {name}" for name, epoch in removed.epochs.items()
        ),
        "keys, metadata and errors of the tables": "those of the undisturbed run",
        **{
            f"largest difference of {kind}": f"{max(values):.1e} (tables: {len(values)})"
            for kind, values in differences.items()
        },
        "scores": "those of the undisturbed run",
    }


def _run(
    corpus: Path, output: Path, disturb: Callable[["subprocess.Popen[str]", Nodes], Removed | None]
) -> tuple[float, Removed | None]:
    """Return the seconds of a benchmark on a cluster of its own, and what it was robbed of."""
    nodes = Nodes(3)
    try:
        started = time.perf_counter()
        process = start(
            *("benchmark", "demo", "--corpus", corpus, "--output", output),
            *("--training.num-epochs", EPOCHS, *SHORTER),
            RAY_ADDRESS=nodes.address,
        )
        with ThreadPoolExecutor(1) as pool:
            removed = pool.submit(disturb, process, nodes)
            finish(process)
            return time.perf_counter() - started, removed.result()
    finally:
        nodes.close()


def _remove(
    process: "subprocess.Popen[str]", nodes: Nodes, output: Path, num_parts: int
) -> Removed:
    """Remove a node in the middle of extraction, and one when every run has done an epoch."""
    _wait(process, lambda: _parts(output) >= num_parts // 4)
    nodes.remove(0)
    parts = _parts(output)
    assert parts < num_parts, "the node was removed too late"
    _wait(process, lambda: len(_epochs(output)) == 2)
    nodes.remove(1)
    epochs = _epochs(output)
    assert all(epoch < EPOCHS for epoch in epochs.values()), "the node was removed too late"
    print(f"removed after {parts} parts and epochs {epochs}", flush=True)
    return Removed(parts, epochs)


def _wait(process: "subprocess.Popen[str]", condition: Callable[[], bool]) -> None:
    while not condition():
        assert process.poll() is None, "the run ended before"
        time.sleep(0.05)


def _parts(output: Path) -> int:
    return len(list(output.glob("spectrograms/30db/part-*.parquet")))


def _epochs(output: Path) -> dict[str, int]:
    """Return the finished epochs of each training run, as far as it has a checkpoint."""
    epochs: dict[str, int] = {}
    for place in output.glob("runs/*/*/progress.json"):
        with suppress(OSError, ValueError):  # being written, or replaced by the next
            epoch = len(json.loads(place.read_text())["history"])
            name = place.parts[-3].rpartition("-")[0]
            epochs[name] = max(epoch, epochs.get(name, 0))
    return epochs


def _tables(output: Path) -> list[str]:
    return sorted(str(path.parents[1].relative_to(output)) for path in output.rglob(INDEX))


def _scores(output: Path) -> object:
    return json.loads((output / "results.json").read_text())["scores"]


def _difference(found: Path, expected: Path) -> float:
    """Return the largest difference of a number of two tables that are otherwise equal."""
    assert read_errors(str(found)).equals(read_errors(str(expected)))
    rows, wanted = read_table(str(found)), read_table(str(expected))
    assert rows.schema.equals(wanted.schema)
    assert rows.num_rows == wanted.num_rows
    differences = [0.0]
    for name in rows.column_names:
        values, truth = (table[name].combine_chunks() for table in (rows, wanted))
        while pa.types.is_list(values.type) or pa.types.is_fixed_size_list(values.type):
            assert values.value_lengths().equals(truth.value_lengths()), name
            values, truth = values.flatten(), truth.flatten()
        if not pa.types.is_floating(values.type):
            assert values.equals(truth), name
            continue
        assert values.is_null().equals(truth.is_null()), name
        numbers = [each.drop_null().to_numpy() for each in (values, truth)]
        differences.append(float(np.abs(numbers[0] - numbers[1]).max(initial=0.0)))
    return max(differences)
