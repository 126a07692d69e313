"""The synthetic demo corpus: real audio files, the same for the same seed."""

import numpy as np
import pytest
import soundfile

from raudeep.corpora import Tree, read_corpus
from raudeep.corpora.demo import DEMO_CLASSES, write_demo_corpus
from raudeep.errors import ConfigError
from raudeep.manifest import summarise


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    write_demo_corpus(folder)
    return folder


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_demo_corpus_is_cross_validated_with_equal_classes_and_folds(demo):
    files = {path.relative_to(demo).as_posix(): path.stat().st_size for path in files_of(demo)}
    table, layout = read_corpus(Tree(root=str(demo), files=files, read=lambda _: b""))
    summary = summarise(table)
    assert layout == "cross-validated"
    assert summary["recordings"] == len(files) == 100
    assert summary["labels"] == dict.fromkeys(sorted(DEMO_CLASSES), 20)
    assert summary["folds"] == [{"train": 80, "valid": 20}] * 5


def test_demo_clips_are_decodable_finite_and_varied(demo):
    infos = [soundfile.info(path) for path in files_of(demo)]
    assert {info.samplerate for info in infos} == {16000}
    assert sum(info.format == "WAV" for info in infos) == 50
    assert sum(info.format == "FLAC" for info in infos) == 50
    assert {info.channels for info in infos} == {1, 2}
    assert sum(info.channels == 1 for info in infos) > 60
    assert all(1.0 <= info.duration <= 1.5 for info in infos)
    assert len({info.frames for info in infos}) > 50
    for path in files_of(demo):
        samples, _ = soundfile.read(path)
        assert 0.01 < np.abs(samples).max() < 1


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path, demo):
    write_demo_corpus(tmp_path / "same", clips_per_class=5)
    write_demo_corpus(tmp_path / "other", clips_per_class=5, seed=1)
    for path in files_of(tmp_path / "same"):
        relative = path.relative_to(tmp_path / "same")
        other = (tmp_path / "other" / relative).read_bytes()
        assert path.read_bytes() == (demo / relative).read_bytes() != other


def test_rising_and_falling_chirps_differ_in_direction(demo):
    def centroid_moves_up(path):
        samples, rate = soundfile.read(path, always_2d=True)
        halves = np.array_split(samples[:, 0], 2)
        spectra = [np.abs(np.fft.rfft(half)) ** 2 for half in halves]
        peaks = [spectrum.argmax() / len(spectrum) * rate / 2 for spectrum in spectra]
        return peaks[1] > peaks[0]

    assert all(centroid_moves_up(path) for path in demo.glob("fold_*/chirp-up/*"))
    assert not any(centroid_moves_up(path) for path in demo.glob("fold_*/chirp-down/*"))


def test_writing_again_replaces_the_files_and_leaves_no_temporary_ones(tmp_path):
    write_demo_corpus(tmp_path, clips_per_class=5)
    before = {path: path.read_bytes() for path in files_of(tmp_path)}
    write_demo_corpus(tmp_path, clips_per_class=5)
    assert before == {path: path.read_bytes() for path in files_of(tmp_path)}
    assert len(before) == 25


def test_too_few_clips_for_the_folds_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'clips_per_class' .* at least 5. Got 4"):
        write_demo_corpus(tmp_path, clips_per_class=4)
