"""Small embedding tables of three classes for the tests of classifiers."""

import numpy as np
import pyarrow as pa

from raudeep.config import MlpConfig
from raudeep.pipeline.stage import embedding_rows
from raudeep.schema import FILE_METADATA, KEYS
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table

LABELS = ("bark", "meow", "moo")
SIDES = {"train_partitions": ("train",), "eval_partitions": ("test",)}
SMALL = MlpConfig(num_units=16, num_epochs=50)
QUICK = {"mlp": ("--num-units", 16, "--num-epochs", 200), "svm": ()}


def write_table(place, rows, embeddings, config=None):
    """Write rows of (file, chunk, label, partition, folds) in two parts; return the place."""
    names = ("file", "chunk", "label", "partition", "folds")
    records = [dict(zip(names, row, strict=True)) for row in rows]
    keys = pa.Table.from_pylist(records, schema=pa.schema([*KEYS, *FILE_METADATA]))
    table = embedding_rows(keys, np.asarray(embeddings, np.float32))
    writer = open_table(str(place), Identity("embeddings", config or {"made": str(place)}))
    half = len(rows) // 2
    writer.write(0, table.slice(0, half))
    writer.write(1, table.slice(half))
    writer.commit(2)
    return place


def separable(place, *, size=4, permuted=False, seed=0):
    """Write 60 recordings of 3 classes and all partitions, each class around a point of its own."""
    rng = np.random.default_rng(seed)
    ids = np.arange(60) % 3
    embeddings = 5 * np.eye(3, size)[ids] + 0.1 * rng.standard_normal((60, size))
    shown = rng.permutation(ids) if permuted else ids
    parts = ("train", "devel", "test", "train")
    rows = [
        (f"{i:02d}.wav", 0, LABELS[shown[i]], parts[i // 15], [int(i // 15 == k) for k in range(4)])
        for i in range(60)
    ]
    return write_table(place, rows, embeddings)


def chunked(place):
    """Write recordings of three chunks; of those in test, the last sounds like the next class."""
    rows, embeddings = [], []
    for i in range(24):
        for chunk in range(3):
            partition = "train" if i < 18 else "test"
            sound = (i + (partition == "test" and chunk == 2)) % 3
            rows.append((f"{i:02d}.wav", chunk, LABELS[i % 3], partition, None))
            embeddings.append(np.eye(3)[sound] + 0.01 * (i % 5))
    return write_table(place, rows, embeddings)


def in_two_orders(place):
    """Write 30 recordings of two chunks each as they are sorted, and shuffled; return both."""
    rng = np.random.default_rng(0)
    keys = [(i, chunk) for i in range(30) for chunk in (0, 1)]
    parts = ("train", "test")
    rows = [(f"{i:02d}.wav", chunk, LABELS[i % 3], parts[i % 2], None) for i, chunk in keys]
    embeddings = np.eye(3, 4)[[i % 3 for i, _ in keys]] + rng.standard_normal((60, 4))
    order = rng.permutation(60)
    shuffled = [rows[i] for i in order]
    return {
        "sorted": str(write_table(place / "sorted", rows, embeddings)),
        "shuffled": str(write_table(place / "shuffled", shuffled, embeddings[order])),
    }
