"""The HEAR face: what its validator asks of a module, and that it embeds as the stages do."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from raudeep.config import (
    AutoencoderConfig,
    FrequencyAutoencoderConfig,
    FrequencyTimeAutoencoderConfig,
)
from raudeep.errors import ConfigError, TableError
from raudeep.hear import (
    HearModel,
    get_scene_embeddings,
    get_timestamp_embeddings,
    load_model,
)
from raudeep.pipeline.artifacts import load_autoencoder
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.stage import embedding_array
from raudeep.storage.table import read_table
from tests.models import write_model, write_two_models

WINDOWS = {"window_bands": 6, "overlap_bands": 1}
KINDS = {
    "time": AutoencoderConfig(num_units=8, bidirectional_encoder=True),
    "frequency": FrequencyAutoencoderConfig(num_units=8, **WINDOWS),
    "frequency-time": FrequencyTimeAutoencoderConfig(num_units=8, frequency_num_units=4, **WINDOWS),
}


@pytest.fixture
def sounds(rng):
    """Three sounds of 1.3 s at 16 kHz."""
    return torch.from_numpy(rng.uniform(-0.5, 0.5, (3, 20_800)).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", [0.03, 0.5, 2.345])
def test_a_module_is_as_the_validator_of_hear_wants_it(tmp_path, rng, kind, seconds):
    place = write_model(tmp_path / kind, n_mels=16, config=KINDS[kind])
    model = load_model(place, readout="pooled" if kind == "frequency" else "state")
    assert isinstance(model, torch.nn.Module)
    assert model.sample_rate in (16000, 22050, 32000, 44100, 48000)
    sizes = model.scene_embedding_size, model.timestamp_embedding_size
    assert all(isinstance(size, int) for size in sizes)
    num_samples = int(seconds * model.sample_rate)
    audio = torch.from_numpy(rng.uniform(-1, 1, (70, num_samples)).astype(np.float32))
    scenes = get_scene_embeddings(audio, model)
    assert (scenes.shape, scenes.dtype) == ((70, sizes[0]), torch.float32)
    embeddings, timestamps = get_timestamp_embeddings(audio, model)
    assert embeddings.shape == (*timestamps.shape, sizes[1])
    assert (timestamps.shape[0], embeddings.dtype, timestamps.dtype) == (70, *2 * [torch.float32])
    assert torch.isfinite(embeddings).all()
    assert not embeddings.requires_grad
    times = timestamps[0].numpy()
    assert times[0] == pytest.approx(40, abs=0.1)  # the centre of a window of 80 ms
    assert np.allclose(np.diff(times), 40, atol=0.1)
    assert max(1000 * seconds, 80) - times[-1] <= 2 * 40 + 0.1


@pytest.mark.parametrize("readout", ["state", "pooled"])
def test_a_scene_is_embedded_as_a_recording_is(tmp_path, sounds, readout):
    (tmp_path / "corpus").mkdir()
    for number, sound in enumerate(sounds.numpy()):
        soundfile.write(tmp_path / "corpus" / f"{number}.wav", sound, 16000, subtype="FLOAT")
    places = write_two_models(tmp_path / "models")
    fused = str(tmp_path / "fused")
    manifest, _ = load_manifest(str(tmp_path / "corpus"), labelled=False)
    embedders = [Embedder(name=name, model=place) for name, place in places.items()]
    whole = {}  # their views have a fixed length, which is that of no sound here
    for name, place in places.items():
        trained = load_autoencoder(place)
        whole[name] = replace(trained, input={**trained.input, "fixed_seconds": 1.3})
    embed_corpus(manifest, embedders, fused={readout: fused})
    short = embedding_array(read_table(fused))
    model = load_model(str(tmp_path / "models"), readout=readout, sample_rate=16000)
    cut = get_scene_embeddings(sounds[:, :8000], model)  # half a second, as they were made
    np.testing.assert_allclose(cut.numpy(), short, atol=1e-5)
    assert get_scene_embeddings(sounds, model).shape == short.shape
    one = HearModel(list(whole.values())[1:], readout=readout, sample_rate=16000)
    both = get_scene_embeddings(sounds, model)
    torch.testing.assert_close(
        get_scene_embeddings(sounds, one), both[:, -one.scene_embedding_size :]
    )


def test_timestamps_are_pooled_to_the_pooled_scene(tmp_path, sounds):
    write_two_models(tmp_path)
    model = load_model(str(tmp_path), readout="pooled", sample_rate=16000)
    frames, _ = get_timestamp_embeddings(sounds, model)
    scenes = get_scene_embeddings(sounds, model)
    sizes = [each.frame_size for each in model.autoencoders]
    pieces = [torch.cat([f.mean(1), f.std(1, correction=0)], 1) for f in frames.split(sizes, 2)]
    torch.testing.assert_close(torch.cat(pieces, 1), scenes)


def test_silence_is_embedded(tmp_path):
    model = load_model(write_model(tmp_path / "m", units=8, n_mels=16))
    with pytest.warns(UserWarning, match="some of the sounds hold no sound"):
        assert torch.isfinite(get_scene_embeddings(torch.zeros(2, 44100), model)).all()


def test_what_cannot_be_embedded_is_said(tmp_path, sounds):
    place = write_model(tmp_path / "f", n_mels=16, config=KINDS["frequency"])
    with pytest.raises(ConfigError, match=r"'state' of 'f' is a vector for each frame.*'pooled'"):
        load_model(place)
    with pytest.raises(ConfigError, match=r"a readout is 'state' or 'pooled'\. Got 'mean'"):
        load_model(place, readout="mean")
    with pytest.raises(TableError, match=r"holds no finished autoencoder"):
        load_model(str(tmp_path / "nowhere"))
    model = load_model(place, readout="pooled")
    for shape in ((0, 100), (100,)):
        with pytest.raises(ConfigError, match=r"shape \(n_sounds, n_samples\).*Got shape \("):
            get_scene_embeddings(torch.zeros(shape), model)


def test_autoencoders_of_other_frames_have_scenes_in_common_but_no_timestamps(tmp_path, sounds):
    trained = load_autoencoder(write_model(tmp_path / "m", units=8, n_mels=16))
    other = replace(trained, name="o", input={**trained.input, "overlap_seconds": 0.02})
    model = HearModel([trained, other], sample_rate=16000)
    assert get_scene_embeddings(sounds, model).shape == (3, model.scene_embedding_size)
    with pytest.raises(ConfigError, match=r"'m', 'o' read other frames of a sound"):
        get_timestamp_embeddings(sounds, model)


def test_a_rate_that_gives_other_bands_is_refused(tmp_path, sounds):
    trained = load_autoencoder(write_model(tmp_path / "m", units=8, n_mels=16))
    linear = replace(trained, input={**trained.input, "n_mels": None})
    model = HearModel([linear], sample_rate=16000)
    with pytest.raises(ConfigError, match=r"audio at 16000 Hz gives 641 bands; 'm' takes 16\. "):
        get_scene_embeddings(sounds, model)


def test_the_rate_of_the_audio_is_that_of_the_views(tmp_path):
    trained = load_autoencoder(write_model(tmp_path / "m", units=8, n_mels=16))
    low = replace(trained, input={**trained.input, "sample_rate": 16000})
    rates = {8000: 16000, 16000: 16000, 32000: 44100, 48000: 48000, 96000: 48000}
    for rate, given in rates.items():
        other = replace(trained, input={**trained.input, "sample_rate": rate})
        assert HearModel([other]).sample_rate == given
        assert get_scene_embeddings(torch.rand(1, given), HearModel([other])).shape == (1, 32)
    assert HearModel([trained]).sample_rate == 44100
    assert HearModel([low, trained]).sample_rate == 44100
    assert HearModel([replace(trained, sample_rates=(8000, 22050))]).sample_rate == 22050
    assert HearModel([low], sample_rate=48000).sample_rate == 48000
