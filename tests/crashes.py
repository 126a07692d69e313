"""Killing a command at each point where it changes what lies on the disc.

A crash point lies before and after each name that is given, taken or made, and in the middle of
each file that is written.
"""

import io
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from raudeep.pipeline.recordings import slice_worker
from raudeep.storage.disc import OWN_PREFIX


@dataclass(frozen=True)
class Scenario:
    """A command whose output lies in ``out`` of a folder, which ``@`` in its words stands for."""

    words: str | Callable[[Path], None]
    prepare: Callable[[Path], Any]
    """Makes the inputs in a folder, and what lies in ``out`` before."""
    again: str = ""
    """The command that is run after the kill, if it is another one."""
    same: Callable[[Path], Any] = field(default=lambda out: files_of(out))
    """What is to be equal of what lies in ``out``."""


@dataclass(frozen=True)
class Outcome:
    """How many crash points a scenario has, and what was wrong after a kill at some of them."""

    points: int
    wrong: list[str]


def run(folder: Path, words: str | Callable[[Path], None]) -> int:
    """Run a command line, or what has none, in this process, and return its exit code."""
    from raudeep.cli import main

    if not isinstance(words, str):
        words(folder)
        return 0

    said = io.StringIO()
    # Processes that only decode take longer to start than all the rest.
    alone = mock.patch.object(slice_worker, "is_fresh_cpu_actor", return_value=True)
    with alone, mock.patch.dict(os.environ), redirect_stdout(said), redirect_stderr(said):
        try:
            main([word.replace("@", str(folder)) for word in words.split()])
        except SystemExit as end:
            if end.code and "RAUDEEP_CRASHES" in os.environ:
                print(words, said.getvalue(), file=sys.__stderr__)
            return int(end.code or 0)
    return 0


def files_of(out: Path) -> dict[str, bytes]:
    """Return what lies in a folder, or in a file, without what only processes at work have."""
    files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    named = {str(path.relative_to(out)): path for path in sorted(files)}
    return {name: path.read_bytes() for name, path in named.items() if OWN_PREFIX not in name}


def kill_everywhere(
    scenario: Scenario, folder: Path, points: Iterable[int] | None = None
) -> Outcome:
    """Kill a scenario at each of its crash points, or some, and run its command again each time."""
    base, work = folder / "base", folder / "work"
    work.mkdir(parents=True)
    scenario.prepare(work)
    shutil.copytree(work, base)
    again = scenario.again or scenario.words
    # Before anything is counted: what a child imports, it would compile and write.
    for words in [scenario.words, again] if scenario.again else [again]:
        code = run(work, words)
    assert code == 0, words
    expected = scenario.same(work / "out")
    command = partial(run, work, scenario.words)
    shutil.rmtree(work)
    shutil.copytree(base, work)
    count = count_crash_points(command)
    wrong = []
    for point in range(count) if points is None else points:
        shutil.rmtree(work)
        shutil.copytree(base, work)
        what = kill_at(command, point)
        was_whole = not scenario.again and scenario.same(work / "out") == expected
        if scenario.again and files_of(work / "out") == files_of(base / "out"):
            run(work, scenario.words)  # it was killed before it had done anything
        code = run(work, again)
        left = [str(path.relative_to(work)) for path in work.rglob(f"{OWN_PREFIX}*")]
        if code and not was_whole:
            wrong.append(f"{point} {what}: exit code {code}")
        elif scenario.same(work / "out") != expected:
            wrong.append(f"{point} {what}: another output")
        elif left and not was_whole:
            wrong.append(f"{point} {what}: left {left}")
    return Outcome(count, wrong)


_CHANGES = ("replace", "rename", "link", "unlink", "rmdir", "mkdir")


def count_crash_points(command: Callable[[], None]) -> int:
    """Run a command in a child process and return how many crash points it has."""
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        with _ended_without_a_word():
            found = _Points(None)
            with found:
                command()
            os.write(told, str(found.passed).encode())
            os._exit(0)
    os.close(told)
    with os.fdopen(ready) as answer:
        count = answer.read()
    assert os.waitpid(child, 0)[1] == 0, "the undisturbed command failed"
    return int(count)


def kill_at(command: Callable[[], None], point: int) -> str:
    """Run a command in a child process that is killed at a crash point; return what it was."""
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        with _ended_without_a_word(), _Points(point, told):
            command()
            os._exit(0)
    os.close(told)
    with os.fdopen(ready) as answer:
        what = answer.read()
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), f"it ended with {status} before point {point}"
    return what


@contextmanager
def _ended_without_a_word():
    """Run in a child process, which says nothing and never returns to the caller."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        yield
    except BaseException as error:
        if "RAUDEEP_CRASHES" in os.environ:
            traceback.print_exception(error, file=sys.__stderr__)
    finally:
        os._exit(1)


class _Points:
    """Counts crash points, in all threads of this process, and kills it at one of them."""

    def __init__(self, deadly: int | None, told: int | None = None) -> None:
        self.passed = 0
        self._deadly = deadly
        self._told = told

    def __enter__(self) -> None:
        for name in _CHANGES:
            setattr(os, name, self._around(getattr(os, name), name))
        os.fsync = self._within(os.fsync)

    def __exit__(self, *_) -> None:
        """Nothing is put back: the process ends."""

    def _pass(self, what: str, descriptor: int | None = None) -> None:
        if self.passed == self._deadly:
            if descriptor is not None:
                with suppress(OSError):  # a folder, or opened for reading
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.write(self._told, what.encode())
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed += 1

    def _around(self, function, name):
        def call(*arguments, **settings):
            what = f"{name} {arguments[0]}"
            self._pass(f"before {what}")
            try:
                return function(*arguments, **settings)
            finally:
                if sys.exc_info()[0] is None:
                    self._pass(f"after {what}")

        return call

    def _within(self, fsync):
        def call(descriptor):
            place = os.readlink(f"/proc/self/fd/{descriptor}")
            if not os.path.isdir(place):
                self._pass(f"in {place}", descriptor)
            fsync(descriptor)

        return call
