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
