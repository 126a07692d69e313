"""Every command that writes, killed at each of its crash points and run again.

Everything runs in this process and its children, without Ray; see `tests.crashes`.
"""

import itertools
import os
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks.corpus import BUILD
from tests.chunks import LABELS, rows_of, write
from tests.crashes import Scenario, files_of, kill_everywhere, run
from tests.embeddings import separable
from tests.models import write_model
from tests.tables import flip_a_bit

EMBED = "embed @/corpus --model @/model --output @/out"
EXTRACT = (
    "extract @/corpus --output @/out --fixed-seconds 0.3 --n-mels 8 --window-seconds 0.08 "
    "--overlap-seconds 0.04 --clip-below-db -60"
)


def write_clips(corpus: Path, count: int) -> None:
    """Write recordings of half a second."""
    corpus.mkdir(exist_ok=True)
    for number in range(count):
        samples = np.random.default_rng(number).integers(-9000, 9000, 8000, np.int16)
        with wave.open(str(corpus / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(samples.tobytes())


def write_corpus(folder: Path, count: int = 1) -> None:
    """Write recordings, of which one more cannot be read, and a model."""
    write_clips(folder / "corpus", count)
    (folder / "corpus" / "bad.wav").write_bytes(b"RIFF")
    if not (folder / "model").exists():
        write_model(folder / "model", units=4, fixed_seconds=0.3, n_mels=8)


def _spectrograms(folder: Path) -> None:
    write_corpus(folder)
    run(folder, EXTRACT.replace("@/out", "@/spectrograms"))


def _grown(folder: Path) -> None:
    write_corpus(folder)
    run(folder, EMBED)
    write_corpus(folder, 2)


def write_table(folder: Path) -> None:
    """Write an embedding table, whose rows are in a partition and in folds."""
    rows = rows_of(LABELS, partition=lambda file: "train" if file < "e" else "test")
    write(
        folder / "table",
        [{**row, "folds": [int(row["file"] < "e"), int(row["file"] >= "e")]} for row in rows],
    )


def _two_tables(folder: Path) -> None:
    for name in "ab":
        write(folder / name, rows_of(LABELS), config={"name": name})


def _classifier(folder: Path) -> None:
    separable(folder / "table")
    run(folder, "train-classifier svm @/table --output @/kept")


def _of_audio(folder: Path) -> None:
    write_corpus(folder, 2)
    (folder / "labels.csv").write_text(
        "file,uri,label\n0.wav,corpus/0.wav,a\n1.wav,corpus/1.wav,b\n"
    )
    run(folder, "embed @/labels.csv --model @/model --output @/table")
    run(folder, "train-classifier svm @/table --output @/kept")


def _autoencoder(out: Path) -> dict[str, bytes]:
    """Return the files of an autoencoder in which no time stands."""
    return {
        name: content
        for name, content in files_of(out).items()
        if name.endswith((".safetensors", ".parquet", "config.json"))
    }


def _before(prepare, words):
    """Return what prepares a folder in which a command was run."""

    def prepare_and_run(folder: Path) -> None:
        prepare(folder)
        run(folder, words)

    return prepare_and_run


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _repair(damage: Callable[[Path], None], *names: str) -> Scenario:
    """Return the repair of a table of which these files are damaged, after which it is made."""

    def prepare(folder: Path) -> None:
        write_corpus(folder)
        run(folder, EMBED)
        for name in names:
            (found,) = (folder / "out").rglob(name)
            damage(found)

    return Scenario("verify @/out --repair", prepare, again=EMBED)


EXPORT = "export {} @/table --output @/out --name data"
SCENARIOS = {
    "extract": Scenario(EXTRACT, write_corpus),
    "extract, overwritten": Scenario(
        f"{EXTRACT} --overwrite", _before(write_corpus, EXTRACT.replace("-60", "-30"))
    ),
    "embed": Scenario(EMBED, write_corpus),
    "embed, grown": Scenario(EMBED, _grown),
    "embed, failures again": Scenario(
        f"{EMBED} --retry-errors", _before(write_corpus, EMBED), again=EMBED
    ),
    "embed spectrograms": Scenario(
        "embed @/spectrograms --model @/model --output @/out", _spectrograms
    ),
    "pack": Scenario("pack @/corpus --output @/out", write_corpus),
    "fuse": Scenario("fuse @/a @/b --output @/out", _two_tables),
    "fuse-chunks": Scenario("fuse-chunks @/table --output @/out", write_table),
    "modify": Scenario("modify @/table --remove-folds --output @/out", write_table),
    "upsample": Scenario("upsample @/table --output @/out", write_table),
    "export csv": Scenario(EXPORT.format("csv"), write_table),
    "export csv, overwritten": Scenario(
        f"{EXPORT.format('csv')} --overwrite", _before(write_table, EXPORT.format("csv"))
    ),
    "export arff": Scenario(EXPORT.format("arff"), write_table),
    "export netcdf": Scenario("export netcdf @/table --output @/out/data.nc", write_table),
    "import": Scenario(
        "import csv @/csv --output @/out",
        _before(write_table, EXPORT.format("csv").replace("@/out", "@/csv")),
    ),
    "train-classifier svm": Scenario(
        "train-classifier svm @/table --output @/out", lambda folder: separable(folder / "table")
    ),
    "train": Scenario(
        "train time @/spectrograms --output @/out --num-units 4 --num-epochs 2 "
        "--checkpoints-to-keep 2",
        _spectrograms,
        same=_autoencoder,
    ),
    "predict": Scenario("predict @/table --classifier @/kept --output @/out", _classifier),
    "predict to a list": Scenario(
        "predict @/table --classifier @/kept --output @/out/list.tsv", _classifier
    ),
    "predict audio": Scenario(
        "predict @/corpus --classifier @/kept --model @/model --output @/out", _of_audio
    ),
    "predict audio to a list": Scenario(
        "predict @/corpus --classifier @/kept --model @/model --output @/out/list.tsv", _of_audio
    ),
    "evaluate svm": Scenario(
        "evaluate svm @/table --train-partitions train --eval-partitions test --output @/out "
        "--plot @/out.svg",
        lambda folder: separable(folder / "table"),
    ),
    "reconstruct": Scenario(
        "reconstruct @/spectrograms --model @/model --output @/out --page @/out.html",
        _spectrograms,
    ),
    "search --index": Scenario(
        "search @/table --recording a.wav --index @/out/index",
        write_table,
        same=lambda out: sorted(files_of(out)),  # usearch's threads build it in any order
    ),
    "visualize": Scenario("visualize @/table --output @/out/a.svg", write_table),
    "preview": Scenario("preview @/corpus/0.wav --output @/out/a.svg", write_corpus),
    "verify --repair, a part": _repair(flip_a_bit, "part-00000.parquet"),
    "verify --repair, a part that is cut": _repair(_cut, "part-00001.parquet"),
    "verify --repair, all parts": _repair(_cut, *map("part-0000{}.parquet".format, "01")),
    "verify --repair, errors": _repair(_cut, "errors-*"),
    "verify --repair, the plan": _repair(_cut, "plan-*"),
    "verify --repair, the index": _repair(_cut, "index.json"),
}


def bench_crash_points() -> dict[str, str]:
    """Return what was found for each scenario, or for those that the variable names."""
    folder = (BUILD / "crash-points").absolute()
    chosen = os.environ.get("RAUDEEP_SCENARIOS", ";".join(SCENARIOS)).split(";")
    found = {}
    for name in chosen:
        shutil.rmtree(folder, ignore_errors=True)
        outcome = kill_everywhere(SCENARIOS[name], folder)
        found[name] = f"{outcome.points} crash points, {len(outcome.wrong)} wrong"
        print(name, found[name], *outcome.wrong, sep="\n  ", flush=True)
    return {**found, **_power_cuts(folder)}


def _power_cuts(folder: Path) -> dict[str, str]:
    """Damage each kind of file in each way, and mend the table in both ways."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_corpus(folder, 2)
    run(folder, EMBED)
    out, good = folder / "out", folder / "good"
    expected = files_of(out)
    out.rename(good)
    wrong = []
    kinds = ["part-00000.parquet", "errors-*", "plan-*", "index.json", "claim.json"]
    ways = {"the same command": [EMBED], "repair": ["verify @/out --repair", EMBED]}
    cases = list(itertools.product(kinds, CUTS, ways))
    for kind, cut, way in cases:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(good, out)
        (path,) = out.rglob(kind)
        path.write_bytes(CUTS[cut](path.read_bytes()))
        for words in ways[way]:
            code = run(folder, words)
        if code or files_of(out) != expected:
            wrong.append(f"{kind} {cut}, {way}")
    return {"power cuts": f"{len(cases)}, {len(wrong)} wrong {wrong or ''}"}


CUTS = {
    "empty": lambda content: b"",
    "zeroed": lambda content: bytes(len(content)),
    "cut in half": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-3],
}
