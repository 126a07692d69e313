"""Nothing is imported from the working directory, which may be a corpus from elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import raudeep
from raudeep.pipeline.recordings.isolation import Crew
from raudeep.pipeline.runtime.cluster import _job_config
from raudeep.search_path import leave_out_working_directory, paths_of_ours, search_path
from tests.unit.test_isolation import work

ROOT = str(Path(raudeep.__file__).resolve().parents[1])


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Stand in a folder of modules that fail when they are imported."""
    for name in ("numpy", "signal", "pickle", "soundfile", "sitecustomize", "cyclopts"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the corpus ran')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    return tmp_path


def test_decoders_do_not_import_from_the_working_directory(corpus):
    (corpus / "raudeep.py").write_text("raise SystemExit('a module of the corpus ran')")
    crew = Crew(work, processes=1)
    assert [list(pieces) for pieces in crew.map([("echo", "good")])] == [["good"]]
    crew.close()


def test_the_command_line_does_not_import_from_the_working_directory(corpus):
    command = [sys.executable, "-m", "raudeep", "--version"]
    accident = f"{os.pathsep}{os.environ['PYTHONPATH']}{os.pathsep}"
    for variable in (os.environ["PYTHONPATH"], accident):
        (corpus / "sitecustomize.py").unlink(missing_ok=True)  # Python's own: it runs before all
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": variable}, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_what_was_put_on_the_search_path_on_purpose_stays(corpus, tmp_path, monkeypatch):
    other = str(tmp_path / "other")
    monkeypatch.setattr(sys, "path", ["", str(corpus), other])
    monkeypatch.delenv("PYTHONPATH")
    assert search_path() == [other]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", other]))
    assert search_path() == [other]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([other, str(corpus)]))
    assert search_path() == [str(corpus), other]
    monkeypatch.delenv("PYTHONPATH")
    (corpus / "script.py").touch()
    monkeypatch.setattr(sys, "argv", ["script.py"])  # `python script.py`, its folder comes first
    assert search_path() == [str(corpus), other]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", ["", ROOT, other])
    assert search_path() == [ROOT, other]  # raudeep itself lies there


def test_processes_of_the_command_line_are_told_the_same(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONSAFEPATH", "to be taken back")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "own", str(tmp_path / "other")]))
    leave_out_working_directory()
    assert not {"", str(corpus)} & set(sys.path)
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [
        str(corpus / "own"),
        str(tmp_path / "other"),
    ]
    assert os.environ["PYTHONSAFEPATH"] == "1"


def test_workers_of_ray_are_told_of_raudeep_and_not_of_the_working_directory(corpus, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/nowhere/script.py"])
    assert paths_of_ours() == [ROOT]
    config = _job_config()
    assert config._runtime_env_has_working_dir()  # so that Ray does not add it
    assert list(config._get_proto_job_config().py_driver_sys_path) == [ROOT]


def test_a_working_directory_that_was_deleted_is_none(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "path", ["", ROOT])
    assert search_path() == [ROOT]
