"""What a plan says where there is nothing to plan."""

import json

import numpy as np
import pytest
import soundfile

from raudeep.corpora.demo import write_demo_corpus
from tests.models import write_model
from tests.support import assert_one_line

pytestmark = pytest.mark.usefixtures("decoding_here")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max-duration", "0.1"], "': lasts 1 s"),
        (["--chunk-seconds", "1", "--chunk-count", "9"], "Set fixed_seconds to 9.04,"),
    ],
)
def test_a_plan_says_why_no_recording_can_be_used(cli, tmp_path, flags, said):
    corpus = tmp_path / "corpus"
    write_demo_corpus(corpus, clips_per_class=5)
    code, out, err = cli("extract", corpus, "--output", tmp_path / "o", "--dry-run", *flags)
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], "recordings could be used, e.g. '", said)


def test_what_is_planned_of_recordings_whose_headers_were_read_is_what_they_give(cli, tmp_path):
    """Their sizes alone say little: one is compressed."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    model = write_model(tmp_path / "model", units=4, n_mels=16)
    soundfile.write(corpus / "a.wav", np.zeros(5 * 8000), 8000, subtype="FLOAT")
    soundfile.write(corpus / "b.flac", np.zeros(9 * 8000), 8000)
    command = ("embed", corpus, "--model", model, "--output", tmp_path / "o", "--dry-run", "--json")
    code, out, err = cli(*command, "--chunk-seconds", 2, "--chunk-hop-seconds", 1)
    assert code == 0, err
    plan = json.loads(out)
    assert (plan["recordings"], plan["rows"]) == (2, 4 + 8)


def test_what_the_run_refuses_is_not_planned(cli, tmp_path):
    corpus, output = tmp_path / "corpus", tmp_path / "o"
    write_demo_corpus(corpus, clips_per_class=5)
    output.mkdir()
    (output / "of-the-user.txt").write_text("x")
    code, out, err = cli("extract", corpus, "--output", output, "--dry-run")
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], "holds files but no table", "Choose another output")


@pytest.mark.parametrize("flag", ["--dry-run", "--overwrite"])
def test_a_length_that_memory_does_not_hold_is_one_line(cli, tmp_path, flag):
    corpus = tmp_path / "corpus"
    write_demo_corpus(corpus, clips_per_class=5)
    command = ("extract", corpus, "--output", tmp_path / "o", "--fixed-seconds", "1e12", flag)
    code, out, err = cli(*command)
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], "not enough memory: Unable to allocate", "fixed_seconds")


@pytest.mark.parametrize("hop", [0.25, 0.5, 0.9])
def test_as_many_chunks_are_planned_as_are_embedded(cli, tmp_path, rng, hop):
    """Of lengths around whole chunks, with gaps between chunks, too."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, seconds in enumerate([0.3, 0.5, 0.52, 0.9, 0.95, 1.0, 1.3, 1.8, 1.95, 2.7]):
        samples = 0.1 * rng.standard_normal(int(16000 * seconds))
        soundfile.write(folder / f"{number}.wav", samples, 16000)
    model = write_model(tmp_path / "model", units=4, n_mels=16, fixed_seconds=0.5)
    command = ("embed", folder, "--model", model, "--output", tmp_path / "table", "--json")
    chunks = ("--chunk-seconds", 0.5, "--chunk-hop-seconds", hop)
    code, planned, err = cli(*command, *chunks, "--dry-run")
    assert code == 0, err
    code, made, err = cli(*command, *chunks)
    assert code == 0, err
    assert json.loads(planned)["rows"] == json.loads(made)[0]["rows"]
