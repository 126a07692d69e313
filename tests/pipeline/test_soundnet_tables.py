"""Features of SoundNet as a table, from weights that a user has."""

import pytest
from safetensors.torch import save_file

from raudeep.config import EvaluationConfig, MlpConfig, SoundNetConfig
from raudeep.errors import TableError
from raudeep.models.soundnet import SoundNet
from raudeep.pipeline.baselines.soundnet import embed_soundnet
from raudeep.pipeline.classification.scoring import evaluate_embeddings
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.packing import pack_corpus
from raudeep.storage.index import read_index
from raudeep.storage.table import read_table

pytestmark = pytest.mark.usefixtures("decoding_here")


@pytest.fixture(scope="module")
def manifest(corpus):
    return load_manifest(str(corpus))[0]


def weights_file(path):
    save_file(SoundNet("pool2").state_dict(), path)
    return path


def test_soundnet_writes_embeddings_that_can_be_scored(manifest, tmp_path):
    weights = weights_file(tmp_path / "weights.safetensors")
    table = str(tmp_path / "table")
    config = SoundNetConfig(layer="pool1", pooling="max")
    summary = embed_soundnet(manifest, str(weights), table, config=config)
    assert (summary.rows, summary.errors) == (manifest.num_rows, 0)
    assert read_table(table)["embedding"].type.list_size == 16
    assert read_index(table).config == {"readout": "soundnet", "layer": "pool1", "pooling": "max"}
    result = evaluate_embeddings(
        {"t": table},
        {"t": str(tmp_path / "p")},
        classifier=MlpConfig(num_epochs=5),
        evaluation=EvaluationConfig(repeats=1),
    )
    assert result["t"].score.num_splits == 5
    with pytest.raises(TableError, match=r"config\.pooling is 'max' there and 'mean' now"):
        embed_soundnet(manifest, str(weights), table, config=SoundNetConfig(layer="pool1"))


def test_weights_of_soundnet_that_are_not_there_leave_no_output(manifest, tmp_path):
    with pytest.raises(TableError, match=r"no weights at .*missing\.npy"):
        embed_soundnet(
            manifest,
            str(tmp_path / "missing.npy"),
            str(tmp_path / "table"),
            config=SoundNetConfig(),
        )
    assert not (tmp_path / "table").exists()


def test_soundnet_does_not_delete_the_audio_that_it_reads(corpus, tmp_path):
    place = str(tmp_path / "pack")
    pack_corpus(load_manifest(str(corpus))[0], place)
    packed, before = load_manifest(place)[0], read_table(place)
    weights = str(weights_file(tmp_path / "weights.safetensors"))
    config = SoundNetConfig(layer="pool1")
    with pytest.raises(TableError, match=r"pack is a table of recordings.*Choose another"):
        embed_soundnet(packed, weights, place, config=config, overwrite=True)
    assert read_table(place).equals(before)
