"""`raudeep preview`: a recording as a picture."""

import json

import numpy as np
import pytest
import soundfile

from tests.support import assert_one_line


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    rng = np.random.default_rng(0)
    soundfile.write(folder / "noise.wav", rng.uniform(-0.5, 0.5, (16000, 2)), 16000)
    soundfile.write(folder / "silence.wav", np.zeros(16000), 16000)
    soundfile.write(folder / "short.wav", rng.uniform(-0.5, 0.5, 1600), 16000)
    (folder / "text.wav").write_text("no sound")
    return folder


@pytest.mark.parametrize(
    ("recording", "frames"), [("noise.wav", 49), ("silence.wav", 49), ("short.wav", 4), ("0", 49)]
)
def test_preview_draws_a_recording_and_says_what_it_is(
    cli, recordings, tmp_path, recording, frames
):
    picture = tmp_path / "picture.svg"
    flags = ("--n-mels", 16, "--clip-below-db", -60, "--output", picture, "--json")
    code, out, err = cli("preview", recordings, "--recording", recording, *flags)
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["chunks"], facts["frames"], facts["bands"]) == (1, frames, 16)
    assert facts["minimum_db"] >= -60
    assert facts["maximum_db"] <= 0
    assert "<svg" in picture.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--recording", "text.wav"), ["'text.wav'", "cannot be decoded"]),
        (("--recording", "none.wav"), ["no recording 'none.wav'", "0 to 3"]),
        (("--recording", "9"), ["no recording '9'"]),
        (("--window-seconds", 0), ["--window-seconds must be greater than 0"]),
    ],
)
def test_preview_of_what_cannot_be_drawn_is_one_line(cli, recordings, tmp_path, arguments, words):
    picture = tmp_path / "picture.svg"
    code, out, err = cli("preview", recordings, "--output", picture, *arguments)
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], *words)
    assert not picture.exists()


def test_a_file_that_is_there_is_replaced_only_on_purpose(cli, recordings, tmp_path):
    picture = tmp_path / "picture.svg"
    picture.write_text("mine")
    code, out, err = cli("preview", recordings, "--output", picture)
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], "picture.svg exists", "--overwrite")
    assert picture.read_text() == "mine"
    assert cli("preview", recordings, "--output", picture, "--overwrite")[0] == 0
    assert "<svg" in picture.read_text()


def test_pictures_are_svg_files(cli, recordings, tmp_path):
    code, out, err = cli("preview", recordings, "--output", tmp_path / "a.png")
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], ".svg")
