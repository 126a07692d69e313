"""Bad recordings become rows of errors; no good row is lost."""

import shutil
import wave

import numpy as np
import pytest
import soundfile

from raudeep.config import (
    AutoencoderConfig,
    FrequencyAutoencoderConfig,
    FrequencyTimeAutoencoderConfig,
    SpectrogramConfig,
)
from raudeep.manifest import Recording, manifest_table
from raudeep.pipeline.artifacts import load_autoencoder
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_tables
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.tables.reconstruction import reconstruct_table
from raudeep.storage.table import read_errors, read_table
from raudeep.storage.verification import verify_table
from tests.models import write_model


@pytest.fixture
def damaged_corpus(corpus, tmp_path):
    """Return the small corpus with six odd recordings among the good ones."""
    folder = tmp_path / "corpus"
    shutil.copytree(corpus, folder)
    odd = folder / "fold_1" / "hum"
    good = np.sin(np.arange(16000) / 10).astype(np.float32)
    soundfile.write(odd / "corrupt.ogg", good, 16000)
    content = bytearray((odd / "corrupt.ogg").read_bytes())
    content[20:400] = bytes(380)
    (odd / "corrupt.ogg").write_bytes(bytes(content))
    (odd / "empty.wav").write_bytes(b"")
    (odd / "text.wav").write_text("this is not audio")
    soundfile.write(odd / "short.wav", good[:160], 16000)
    with wave.open(str(odd / "silence.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(2 * 16000))
    soundfile.write(odd / "three.wav", np.stack([good, -good, good], axis=1), 16000)
    return folder


@pytest.mark.parametrize("fixed", [0.5, None])
def test_bad_recordings_are_rows_of_errors_and_odd_ones_give_rows(damaged_corpus, tmp_path, fixed):
    manifest, _ = load_manifest(str(damaged_corpus))
    output = str(tmp_path / "table")
    config = SpectrogramConfig(window_seconds=0.064, overlap_seconds=0.032, fixed_seconds=fixed)
    (summary,) = extract_spectrograms(manifest, {"view": config}, {"view": output})

    errors = {row["file"].rsplit("/", 1)[-1]: row for row in read_errors(output).to_pylist()}
    expected = {"corrupt.ogg", "empty.wav", "text.wav"} | (set() if fixed else {"short.wav"})
    assert set(errors) == expected
    assert all(row["stage"] == "decode" and row["message"] for row in errors.values())
    assert "empty" in errors["empty.wav"]["message"]
    rows = {row["file"]: row for row in read_table(output).to_pylist()}
    assert len(rows) == summary.rows == 31 - len(expected)
    silence = rows["fold_1/hum/silence.wav"]["spectrogram"]
    assert set(silence) == {-1.0}
    assert np.isfinite(rows["fold_1/hum/three.wav"]["spectrogram"]).all()


def test_a_recording_that_vanished_after_the_listing_is_a_row_of_errors(damaged_corpus, tmp_path):
    manifest, _ = load_manifest(str(damaged_corpus))
    (damaged_corpus / "fold_1" / "hum" / "three.wav").unlink()
    output = str(tmp_path / "table")
    extract_spectrograms(manifest, {"view": SpectrogramConfig(fixed_seconds=0.5)}, {"view": output})
    errors = {row["file"]: row for row in read_errors(output).to_pylist()}
    assert errors["fold_1/hum/three.wav"]["error"] == "FileNotFoundError"
    assert errors["fold_1/hum/three.wav"]["stage"] == "read"
    place = damaged_corpus / "fold_1" / "hum" / "three.wav"
    assert errors["fold_1/hum/three.wav"]["message"] == f"there is no file {place}"


def test_a_manifest_whose_paths_are_all_wrong_says_where_they_start(tmp_path, cli):
    lines = [f"sounds/{number}.wav,a" for number in range(40)]
    (tmp_path / "m.csv").write_text("\n".join(["file,label", *lines]))
    first = f"'sounds/0.wav': there is no file {tmp_path}/sounds/0.wav"
    code, out, err = cli("extract", tmp_path / "m.csv", "--output", tmp_path / "table")
    assert (code, out) == (1, "")
    assert err == (
        f"raudeep: 40 of 40 recordings could not be used, e.g. {first}. Relative paths start in "
        f"{tmp_path}\n"
    )
    code, _, err = cli("extract", tmp_path / "m.csv", "--output", tmp_path / "new", "--dry-run")
    assert code == 1
    assert f"recordings could be used, e.g. {first}" in err
    code, _, err = cli("inspect", tmp_path / "m.csv")
    assert code == 1
    assert f"40 of 40 recordings are not found, e.g. {first}. Paths are relative to the" in err


def test_bad_recordings_of_several_tables_are_named_once(damaged_corpus, tmp_path, caplog):
    manifest, _ = load_manifest(str(damaged_corpus))
    outputs = {name: str(tmp_path / name) for name in ("a", "b")}
    views = {"a": SpectrogramConfig(n_mels=16, fixed_seconds=0.5)}
    extract_spectrograms(manifest, views | {"b": SpectrogramConfig(fixed_seconds=0.5)}, outputs)
    said = [line for line in caplog.messages if "could not be used" in line]
    assert len(said) == 1
    assert said[0].startswith("3 of 31 recordings could not be used, e.g. 'fold_1/hum/corrupt.ogg'")
    assert all(read_errors(output).num_rows == 3 for output in outputs.values())


def test_the_most_common_error_is_the_example(tmp_path, caplog):
    for number in range(5):
        samples = np.random.default_rng(number).normal(0, 0.1, 4000)
        # The first decides the bands; a file that holds nothing lies before all.
        soundfile.write(tmp_path / f"{number}.wav", samples, 16000 if number == 0 else 44100)
    (tmp_path / "00.wav").write_bytes(b"")
    manifest, _ = load_manifest(str(tmp_path), labelled=False)
    view = SpectrogramConfig(n_mels=None, fixed_seconds=0.2)
    extract_spectrograms(manifest, {"v": view}, {"v": str(tmp_path / "table")})
    (said,) = [line for line in caplog.messages if "could not be used" in line]
    assert said.startswith("5 of 6 recordings could not be used, e.g. '1.wav': gives ")


@pytest.mark.parametrize("fixed", [0.5, None])
def test_empty_mel_bands_are_warned_of(corpus, tmp_path, fixed):
    view = SpectrogramConfig(n_mels=1000, fixed_seconds=fixed)
    with pytest.warns(UserWarning, match="of 1000 filters empty"):
        extract_spectrograms(
            load_manifest(str(corpus))[0], {"view": view}, {"view": str(tmp_path / "table")}
        )


def test_a_run_that_goes_on_keeps_the_shape_that_it_began_with(tmp_path):
    """Recordings of two rates, so of two shapes; the first by name is the last by place."""
    recordings = []
    for number in range(32):
        rate = 8000 if number % 2 else 16000
        place = tmp_path / "corpus" / f"{31 - number:02d}.wav"
        place.parent.mkdir(exist_ok=True)
        soundfile.write(place, np.sin(np.arange(rate)), rate)
        recordings.append(Recording(file=f"{number:02d}", uri=str(place)))
    manifest, table = manifest_table(recordings), tmp_path / "table"

    def extract():
        views = {"view": SpectrogramConfig(fixed_seconds=1.0)}
        extract_spectrograms(manifest, views, {"view": str(table)})
        return read_table(str(table))

    undisturbed = extract()
    (table / "__raudeep__/index.json").unlink()
    for part in sorted(table.glob("part-*"))[4:]:
        part.unlink()
    assert extract().equals(undisturbed)
    assert set(undisturbed["file"].to_pylist()) == {f"{number:02d}" for number in range(0, 32, 2)}


@pytest.mark.filterwarnings("ignore:window_bands=6.*bands out")
@pytest.mark.parametrize("fixed", [0.5, None])
@pytest.mark.parametrize(
    "config",
    [
        AutoencoderConfig(num_units=4),
        FrequencyAutoencoderConfig(num_units=4, window_bands=6, overlap_bands=3),
        FrequencyTimeAutoencoderConfig(num_units=4, window_bands=6, overlap_bands=3),
    ],
    ids=lambda config: config.kind,
)
def test_parts_without_a_good_recording_have_the_columns_of_the_others(tmp_path, config, fixed):
    """Of three recordings each is a part of its own."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in "ac":
        soundfile.write(folder / f"{name}.wav", np.sin(np.arange(8000) / 9), 8000)
    (folder / "b.wav").write_bytes(b"")
    model = write_model(tmp_path / "model", n_mels=16, fixed_seconds=fixed, config=config)
    table, made = str(tmp_path / "table"), str(tmp_path / "made")
    outputs = {readout: str(tmp_path / readout) for readout in ("state", "pooled")}
    manifest, _ = load_manifest(str(folder), labelled=False)
    view = load_autoencoder(model).spectrogram
    extract_spectrograms(manifest, {"view": view}, {"view": table})

    reconstruct_table(table, model, made)
    embed_tables([Embedder(name="model", model=model, outputs=outputs)], {"model": table})
    for place in (table, made, *outputs.values()):
        assert read_table(place)["file"].to_pylist() == ["a.wav", "c.wav"]
        assert verify_table(place) == []
