"""Running the command line in a process of its own, as a user would."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager


def start(*arguments, cwd=None, **environment) -> subprocess.Popen:
    """Start the command line in a process of its own, as a user would, with these variables."""
    return subprocess.Popen(
        [sys.executable, "-m", "raudeep", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | environment,
    )


@contextmanager
def heeding_interrupts():
    """Let the processes that are started within heed Ctrl-C.

    In the background of a shell this one was told to ignore it, and what it starts would, too.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run(*arguments, cwd=None, **environment) -> tuple[int, str, str]:
    """Run the command line and return its exit code, stdout and stderr."""
    process = start(*arguments, cwd=cwd, **environment)
    stdout, stderr = process.communicate()
    return process.returncode, stdout, stderr


def assert_one_line(err, *words):
    assert len(err.splitlines()) == 1, err
    assert err.startswith("raudeep: ")
    for word in words:
        assert word in err


def refused(result, *words):
    """Assert that a command failed with one line that holds these words."""
    code, out, err = result
    assert (code, out) == (1, "")
    assert_one_line(err, *words)
