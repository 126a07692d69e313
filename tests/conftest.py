"""Fixtures of all tests."""

import logging
import os
import sys
from pathlib import Path
from unittest import mock

# Workers of Ray find `tests.poison`, wherever the test stood that started it.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])
)

# Before anything imports torch: on a busy machine, waiting for a second thread makes small
# networks 1000 times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

# The longest files of tests, these first: started last, one would keep a worker of xdist busy
# while the others have nothing left to do.
_LONGEST = (
    "test_s3.py",
    "test_tuning.py",
    "test_data_parallel.py",
    "test_embedding_commands.py",
    "test_model_commands.py",
    "test_archives.py",
    "test_packing.py",
    "test_baselines.py",
    "test_quick_start.py",
    "test_resume.py",
    "test_autoencoders.py",
    "test_predicting.py",
    "test_process.py",
    "test_stages.py",
    "test_sklearn.py",
    "test_searching.py",
    "test_recipes.py",
    "test_reading.py",
    "test_stream.py",
    "test_reachable.py",
    "test_projection.py",
)


def pytest_collection_modifyitems(items):
    """Put the longest files first; all else stays as it was."""
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="module")
def decoding_here():
    """Decode recordings in this process: processes for it start longer than a small corpus takes.

    What such processes protect from is shown by the tests of isolation, archives, bad recordings
    and hostile files.
    """
    place = "raudeep.pipeline.recordings.slice_worker.is_fresh_cpu_actor"
    with mock.patch(place, return_value=True):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def cli(capsys, monkeypatch):
    """Run a command line; return exit code, stdout and stderr. Logging is put back afterwards."""
    from raudeep.cli import main

    monkeypatch.setenv("COLUMNS", "300")
    root, own = logging.getLogger(), logging.getLogger("raudeep")
    before = root.handlers[:], root.level, own.level

    def run_command(*arguments):
        with pytest.raises(SystemExit) as exit_info:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return exit_info.value.code or 0, captured.out, captured.err

    with mock.patch.dict(os.environ):  # what options set there is not for the next test
        yield run_command
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = before[0], before[1]
    own.setLevel(before[2])


def pytest_sessionfinish():
    """Stop Ray before the summary, so that nothing it still says comes after that."""
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
