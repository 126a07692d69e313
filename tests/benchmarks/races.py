"""Two runs of different settings that begin at one moment with one new output, many times.

Both are forks of this process, freed by a barrier; one begins up to 30 ms later. Right is that one
of them is refused, and that what is there is whole and of the other.
"""

import multiprocessing
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np

import raudeep
from raudeep.corpora.demo import write_demo_corpus
from raudeep.pipeline.recordings.targets import Embedder
from tests.benchmarks.corpus import BUILD
from tests.embeddings import separable, write_table
from tests.models import write_model

TIMES = int(os.environ.get("RAUDEEP_RACES", "100"))
DELAYS = (0, 0, 0.002, 0.01, 0.03)  # seconds
TURN = 300.0  # seconds at most that a pair takes


def bench_races() -> dict[str, str]:
    folder = (BUILD / "races").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    runs = _prepare(folder)
    context, chance = multiprocessing.get_context("fork"), random.Random(0)
    facts = {}
    for name, (run, check) in runs.items():
        found: Counter[str] = Counter()
        for number in range(TIMES):
            place = str(folder / "outputs" / f"{name}-{number}")
            barrier, said = context.Barrier(2), context.Queue()
            late, delay = number % 2, chance.choice(DELAYS)
            processes = [
                context.Process(
                    target=_begin,
                    args=(partial(run, place, which), barrier, delay * (which == late), said),
                )
                for which in (0, 1)
            ]
            for process in processes:
                process.start()
            ends = sorted(said.get(timeout=TURN) for _ in processes)
            for process in processes:
                process.join()
            found[f"{ends.count('done')} done, {_answer(context, partial(check, place))}"] += 1
            for end in ends:
                found[end.replace(place, "OUTPUT")] += end != "done"
        print(name, dict(found), flush=True)
        right = found["1 done, whole"]
        facts[f"{name}: one of two refused, and a whole output"] = f"{right} of {TIMES}"
    return facts


def _begin(run: Callable[[], Any], barrier: Any, delay: float, said: Any) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    barrier.wait()
    time.sleep(delay)
    try:
        run()
        said.put("done")
    except BaseException as error:
        said.put(f"{type(error).__name__}: {error}")


def _answer(context: Any, ask: Callable[[], bool]) -> str:
    """Ask in a process of its own: this one is to stay as it is for the next forks."""
    said = context.Queue()

    def tell() -> None:
        try:
            said.put("whole" if ask() else "NOT WHOLE")
        except BaseException as error:
            said.put(f"NOT READABLE: {type(error).__name__}: {error}")

    process = context.Process(target=tell)
    process.start()
    answer: str = said.get(timeout=TURN)
    process.join()
    return answer


def _prepare(folder: Path) -> dict[str, tuple[Callable[[str, int], Any], Callable[[str], bool]]]:
    """Make what the runs read; return each run by output and setting, and what checks an output."""
    write_demo_corpus(folder / "corpus", clips_per_class=5)
    manifest, _ = raudeep.load_manifest(str(folder / "corpus"))
    model = write_model(folder / "model", units=8, fixed_seconds=0.5, n_mels=16)
    table = str(separable(folder / "table"))
    sizes = (25, 40)
    tables = [str(folder / f"rows-{size}") for size in sizes]
    for size, place in zip(sizes, tables, strict=True):
        rows = [(f"{i:02d}.wav", 0, "ab"[i % 2], None, [i % 2, 1 - i % 2]) for i in range(size)]
        write_table(place, rows, np.eye(size, 4))
    svm = [raudeep.SvmConfig(complexity=value) for value in (0.001, 0.1)]

    def embed(place: str, which: int) -> None:
        outputs = {("pooled", "state")[which]: place}
        raudeep.embed_corpus(manifest, [Embedder(name="model", model=model, outputs=outputs)])

    def modify(place: str, which: int) -> None:
        raudeep.add_folds(table, place, num_folds=(2, 4)[which])

    def evaluate(place: str, which: int) -> None:
        config = raudeep.EvaluationConfig()
        raudeep.evaluate_embeddings(
            {"table": table}, {"table": place}, classifier=svm[which], evaluation=config
        )

    def train(place: str, which: int) -> None:
        raudeep.train_classifier(table, place, config=svm[which], fit=raudeep.FitConfig())

    def export(place: str, which: int) -> None:
        config = raudeep.ExportConfig(name="rows")
        raudeep.export_table(tables[which], place, format="csv", config=config)

    def export_file(place: str, which: int) -> None:
        raudeep.export_table(tables[which], f"{place}.nc", format="netcdf")

    def is_whole_table(place: str) -> bool:
        raudeep.read_table(place)
        return not raudeep.verify_table(place)

    def is_whole_classifier(place: str) -> bool:
        found = raudeep.load_classifier(place)
        again = raudeep.fit_table(table, config=found.config, fit=raudeep.FitConfig())
        mine, other = (each.classifier.fitted.arrays() for each in (found, again))
        return all(np.array_equal(mine[name], other[name]) for name in other)

    def is_whole_export(place: str) -> bool:
        files = [path.read_text().splitlines()[1:] for path in Path(place).rglob("*.csv")]
        return len(files) == 2 and sum(map(len, files)) in sizes

    def is_whole_file(place: str) -> bool:
        with h5netcdf.File(f"{place}.nc") as file:
            return len(file["filename"]) in sizes

    return {
        "embed": (embed, is_whole_table),
        "modify": (modify, is_whole_table),
        "evaluate": (evaluate, is_whole_table),
        "train a classifier": (train, is_whole_classifier),
        "export to CSV": (export, is_whole_export),
        "export to netCDF": (export_file, is_whole_file),
    }
