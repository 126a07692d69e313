"""What is printed cannot steer the terminal, whatever files and labels are called."""

import io
import json
import sys

import pytest

from raudeep.cli.app import main
from raudeep.pipeline.runtime.progress import stage_progress

ESCAPE = "\x1b]0;title\x07\x9b2J\u202e"
STEERING = {"\x1b", "\x07", "\r", "\x9b", "\u202e"}


@pytest.fixture
def run(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return run


@pytest.fixture
def corpus(tmp_path):
    for label in (f"a{ESCAPE}", "b\r"):
        (tmp_path / label).mkdir()
        (tmp_path / label / f"x{ESCAPE}.wav").write_bytes(b"")
    return str(tmp_path)


def test_labels_and_names_are_printed_with_escapes(run, corpus):
    code, out, err = run("inspect", corpus)
    assert code == 0
    assert not STEERING & {*out, *err}
    assert r"a\x1b]0;title\x07\x9b2J\u202e" in out


def test_json_has_escapes_of_its_own(run, corpus):
    code, out, err = run("inspect", corpus, "--json")
    assert code == 0
    assert not STEERING & {*out, *err}
    assert f"a{ESCAPE}" in json.loads(out)["labels"]


def test_errors_are_printed_with_escapes(run, tmp_path):
    code, out, err = run("inspect", str(tmp_path / f"x{ESCAPE}"))
    assert code == 1
    assert not STEERING & {*out, *err}
    assert r"\x1b]0;title" in err


def test_the_log_is_printed_and_written_with_escapes(run, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"file,x{ESCAPE}y\na.wav,1\n", "utf-8")
    log = tmp_path / "log"
    code, out, err = run("--log-file", str(log), "inspect", str(manifest))
    assert code == 0
    assert "ignored columns" in err
    assert not STEERING & {*out, *err, *log.read_text("utf-8")}


def test_progress_is_printed_with_escapes(monkeypatch):
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr("raudeep.pipeline.runtime.progress._SECONDS_BETWEEN_LINES", 0.0)
    with stage_progress(f"x{ESCAPE}", unit="rows", total=2) as progress:
        progress.advance(1, f"model{ESCAPE}")
    assert "model" in err.getvalue()
    assert not STEERING & {*err.getvalue()}
