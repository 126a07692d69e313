"""What the pipeline tests share: a small corpus and a small recipe."""

from pathlib import Path

import pytest

from raudeep.corpora.demo import write_demo_corpus

RECIPE = """
name = "tiny"
corpus_layout = "cross-validated"

[spectrogram]
window_seconds = 0.064
overlap_seconds = 0.032
n_mels = 16
fixed_seconds = 0.5

[views.30db]
clip_below_db = -30
[views.60db]
clip_below_db = -60

[autoencoder]
num_units = 8

[training]
num_epochs = 6
batch_size = 8

[autoencoders.30db]
[autoencoders.60db]
bidirectional_decoder = true

[evaluation]
repeats = 2

[mlp]
num_epochs = 30
num_units = 16
"""


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_demo_corpus(folder, clips_per_class=5)
    return folder


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE)
    return path
