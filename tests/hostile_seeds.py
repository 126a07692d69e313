"""The good files that `tests.hostile` damages, of each kind, and what reads them."""

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raudeep.config import FitConfig, MlpConfig, SvmConfig
from raudeep.pipeline.classification.classifiers import load_classifier, train_classifier
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.inspection import inspect_path
from raudeep.pipeline.searching.nearest import find_nearest
from raudeep.pipeline.tables.exporting import export_table
from raudeep.pipeline.tables.importing import import_table
from raudeep.pipeline.tuning.ledger import SweepLayout, open_ledger
from raudeep.schema import MANIFEST, RECORDINGS
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from raudeep.storage.plan import extend_plan, read_plans
from raudeep.storage.recipes import load_recipe, load_space
from raudeep.storage.table import read_errors, read_table
from raudeep.storage.verification import verify_table
from raudeep.sweep.records import TrialRecord, rank_trials
from tests.embeddings import separable
from tests.models import write_model


@dataclass(frozen=True)
class Kind:
    """A kind of files: how good ones are made, how they are read, which of them are damaged."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    takes: Callable[[Path], bool] = lambda path: True


def in_folder(write):
    """Return what makes a folder and lets `write` fill it."""

    def make(folder):
        folder.mkdir(parents=True)
        write(folder)
        return folder

    return make


def write_files(files):
    def write(folder):
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return in_folder(write)


def read_model(folder):
    inspect_path(str(folder / "model"))


def write_classifiers(folder):
    table = str(separable(folder.parent / "of-classifiers"))
    fit = FitConfig(repeats=1)
    train_classifier(table, str(folder / "svm"), config=SvmConfig(), fit=fit)
    config = MlpConfig(num_units=4, num_epochs=2)
    train_classifier(table, str(folder / "mlp"), config=config, fit=fit)


def read_classifiers(folder):
    for name in ("svm", "mlp"):
        inspect_path(str(folder / name))
        load_classifier(str(folder / name)).classifier.predict_proba(np.zeros((2, 4), np.float32))


def write_a_table(folder):
    separable(folder / "table")


def read_a_table(folder):
    place = str(folder / "table")
    verify_table(place)
    inspect_path(place)
    read_table(place).to_pylist()
    read_errors(place)


def write_planned(folder):
    place = str(folder / "table")
    files = pa.table({"file": ["a.wav", "b.wav"], "uri": ["/x/a.wav", "/x/b.wav"]})
    columns = {
        f.name: files[f.name] if f.name in files.column_names else pa.nulls(2, f.type)
        for f in MANIFEST
    }
    manifest = pa.table(columns, schema=MANIFEST)
    writer = open_table(place, Identity("manifest", {}))
    plan = extend_plan(writer, manifest, lambda rows, is_first: [(0, 1), (1, 2)])
    for part in range(2):
        writer.write(part, plan.slice(part))
    writer.commit(2, recordings=plan.fingerprints, ends=plan.ends)


def read_planned(folder):
    place = str(folder / "table")
    read_plans(place)
    verify_table(place)
    load_manifest(place)
    writer = open_table(place, Identity("manifest", {}))
    extend_plan(writer, read_table(place), lambda rows, is_first: [(0, 1), (1, 2)])


MANIFEST_ROWS = pa.table(
    {
        "file": ["a.wav", "b.wav", "c/d.wav"],
        "label": ["dog", "cat", None],
        "partition": ["train", "test", "devel"],
        "fold": [1, 2, 1],
        "duration": [1.0, 2.5, None],
        "sample_rate": [8000, 16000, None],
    }
)
TEXT = 'file,label,partition,fold,duration\na.wav,dog,train,1,1.5\n"b,c.wav",cat,test,2,\n'


def write_manifests(folder):
    pq.write_table(MANIFEST_ROWS, folder / "m.parquet")
    (folder / "m.csv").write_text(TEXT)
    (folder / "m.tsv").write_text(TEXT.replace(",", "\t"))
    (folder / "utf16.csv").write_bytes(TEXT.replace(",", ";").encode("utf-16"))


def read_each(folder, read):
    """Read every file of a folder; all of them, also where one is refused."""
    errors = []
    for path in sorted(folder.iterdir()):
        try:
            read(path)
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


def read_manifest(path):
    load_manifest(str(path), labelled=False)


def write_packed(folder):
    rows = [
        {"file": f"{n}.wav", "uri": "", "bytes": 4, "audio": {"bytes": b"RIFF", "path": f"{n}.wav"}}
        for n in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=RECORDINGS), folder / "own.parquet")
    features = {"label": {"names": ["dog", "cat"], "_type": "ClassLabel"}}
    table = pa.table({"audio": [row["audio"] for row in rows], "label": [0, 1, 1]})
    described = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(table.replace_schema_metadata(described), folder / "hf.parquet")


def write_exports(folder):
    beside = folder.parent / f"{folder.name}-made"
    table = str(separable(beside / "table"))
    export_table(table, str(folder / "x.nc"), format="netcdf")
    for format in ("csv", "arff"):
        export_table(table, str(beside / format), format=format)
        first = next((beside / format).rglob(f"*.{format}"))
        shutil.copy(first, folder / f"x.{format}")


def read_export(folder, format):
    name = "x.nc" if format == "netcdf" else f"x.{format}"
    import_table(str(folder / name), str(folder / "out"), format=format)


RECIPE = """name = "x"
seed = 3
corpus_layout = "esc-10"
readouts = ["pooled"]
baselines = ["cnn"]
[spectrogram]
n_mels = 16
[views.a]
clip_below_db = -30.0
[autoencoders.a]
num_units = 8
[training]
num_epochs = 2
"""
SPACE = """[tune]
num_trials = 4
[search.training]
learning_rate = {low = 1e-4, high = 1e-2, log = true}
[search.autoencoder]
num_units = {choices = [8, 16]}
"""


def write_index(folder):
    separable(folder / "table")
    read_index(folder)


def read_index(folder):
    query = np.ones((1, 4), np.float32)
    find_nearest(str(folder / "table"), query, index=str(folder / "rows.usearch"))


SWEEP = Identity("sweep", {"a": 1})


def write_sweep(folder):
    ledger = open_ledger(SweepLayout(str(folder)), SWEEP)
    entry = {"epoch": 1, "objective": 0.5, "loss": 0.5, "kept_epoch": 1, "validation_loss": None}
    for number in (1, 2):
        point = {"autoencoder.num_units": 8 * number, "training.learning_rate": 1e-3}
        ledger.save(
            TrialRecord(
                id=f"{number:016x}", number=number, point=point, status="finished", history=[entry]
            )
        )


def read_sweep(folder):
    ledger = open_ledger(SweepLayout(str(folder)), SWEEP)
    rank_trials(ledger.done(), maximises=False)
    ledger.open()


def corpus(files):
    """Return a kind: a folder with lists, which are damaged, and files of audio, which are not."""
    return Kind(
        write_files(files),
        lambda folder: load_manifest(str(folder), labelled=False),
        lambda path: not path.name.endswith((".wav", ".ogg")),
    )


RECORDING = {"id": "a", "sources": [{"type": "file", "channels": [0], "source": "a.wav"}]}
RECORDING |= {"sampling_rate": 8000, "num_samples": 8000, "duration": 1.0}
CUT = {
    "id": "c",
    "start": 0,
    "duration": 1.0,
    "channel": 0,
    "type": "MonoCut",
    "recording": RECORDING,
}
SAID = {"id": "s", "recording_id": "a", "start": 0.0, "duration": 1.0, "text": "dog"}
HEADER = """name: x
source: ''
usage: unrestricted
schemes:
  n: {dtype: str, labels: [dog, cat]}
splits:
  dev: {type: dev}
tables:
  t:
    type: filewise
    split_id: dev
    columns:
      n: {scheme_id: n}
"""
TUT = "audio/a.wav\tbeach\naudio/b.wav\tbus\n"

KINDS = {
    "model": Kind(
        in_folder(lambda folder: write_model(folder / "model", units=4, n_mels=4)), read_model
    ),
    "classifier": Kind(in_folder(write_classifiers), read_classifiers),
    "table": Kind(in_folder(write_a_table), read_a_table),
    "plan": Kind(in_folder(write_planned), read_planned),
    "manifest": Kind(in_folder(write_manifests), partial(read_each, read=read_manifest)),
    "packed": Kind(in_folder(write_packed), partial(read_each, read=read_manifest)),
    "netcdf": Kind(
        in_folder(write_exports), partial(read_export, format="netcdf"), lambda p: p.suffix == ".nc"
    ),
    "csv": Kind(
        in_folder(write_exports), partial(read_export, format="csv"), lambda p: p.suffix == ".csv"
    ),
    "arff": Kind(
        in_folder(write_exports), partial(read_export, format="arff"), lambda p: p.suffix == ".arff"
    ),
    "recipe": Kind(write_files({"x.toml": RECIPE}), lambda folder: load_recipe(folder / "x.toml")),
    "space": Kind(write_files({"x.toml": SPACE}), lambda folder: load_space(folder / "x.toml")),
    "index": Kind(in_folder(write_index), read_index, lambda path: path.name.startswith("rows")),
    "sweep": Kind(in_folder(write_sweep), read_sweep),
    "lhotse": corpus(
        {
            "recordings.jsonl.gz": gzip.compress(json.dumps(RECORDING).encode()),
            "supervisions.jsonl": json.dumps(SAID),
            "cuts.jsonl": json.dumps(CUT),
            "a.wav": b"",
        }
    ),
    "audformat": corpus(
        {"db.yaml": HEADER, "db.t.csv": "file,n\na.wav,dog\nb.wav,cat\n", "a.wav": b""}
    ),
    "esc": corpus(
        {
            "meta/esc50.csv": "filename,fold,target,category,esc10\n1-a.wav,1,0,dog,True\n",
            "audio/1-a.wav": b"",
        }
    ),
    "urbansound8k": corpus(
        {
            "metadata/UrbanSound8K.csv": "slice_file_name,fold,classID,class\na.wav,1,0,dog\n",
            "audio/fold1/a.wav": b"",
        }
    ),
    "dcase": corpus(
        {
            "meta.txt": TUT,
            "evaluation_setup/fold1_train.txt": TUT,
            "audio/a.wav": b"",
            "audio/b.wav": b"",
        }
    ),
    "compare": corpus(
        {
            "lab/labels.csv": "file_name,label\ntrain_1.wav,a\ndevel_1.wav,b\n",
            "wav/train_1.wav": b"",
            "wav/devel_1.wav": b"",
        }
    ),
}
