"""Running the command line as a user would, and watching the memory of all its processes."""

import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psutil

MIB = 2**20


def start(*arguments: object, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "raudeep", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    )


def finish(process: "subprocess.Popen[str]") -> str:
    """Return what a process printed, once it ended well."""
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


class Watched:
    """A run of the command line whose processes are weighed from time to time.

    ``samples`` are pairs of seconds and, by role of the process, the largest resident memory in MiB
    of one with that role. ``totals`` are pairs of the time and the memory in MiB of all processes,
    of which a page that several share counts once; only with ``weighs_all``, since it takes some
    10 ms of a core for each process.
    """

    def __init__(self, *arguments: object, interval: float = 1.0, weighs_all: bool = False) -> None:
        self.samples: list[tuple[float, dict[str, float]]] = []
        self.totals: list[tuple[float, float]] = []
        self.started = time.perf_counter()
        self.process = start(*arguments)
        self._interval, self._weighs_all = interval, weighs_all
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def wait(self) -> str:
        """Return what it printed, once it ended well."""
        said = finish(self.process)
        self.seconds = time.perf_counter() - self.started
        self._thread.join()
        return said

    def peak(self, role: str) -> float:
        return max((found.get(role, 0.0) for _, found in self.samples), default=0.0)

    def plot(self, place: Path) -> None:
        """Draw the memory of each role over time."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.subplots()
        for role in sorted({role for _, found in self.samples for role in found}):
            points = [(at / 60, found[role]) for at, found in self.samples if role in found]
            axes.plot(*zip(*points, strict=True), label=role)
        axes.set(xlabel="minutes", ylabel="resident memory of the largest, MiB", ylim=(0, None))
        axes.legend()
        place.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(place)

    def _watch(self) -> None:
        while self.process.poll() is None:
            found: dict[str, float] = defaultdict(float)
            total = 0.0
            with suppress(psutil.Error):
                driver = psutil.Process(self.process.pid)
                for process in [driver, *driver.children(recursive=True)]:
                    with suppress(psutil.Error):
                        role = "driver" if process == driver else role_of(process)
                        found[role] = max(found[role], process.memory_info().rss / MIB)
                        if self._weighs_all:
                            total += process.memory_full_info().pss / MIB
            self.samples.append((time.perf_counter() - self.started, dict(found)))
            if self._weighs_all:
                self.totals.append((time.time(), total))
            time.sleep(self._interval)


def role_of(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    if "raudeep.pipeline.recordings.isolation" in command:
        return "decoder"
    if command.startswith("ray::"):
        return "worker" if "Map" in command or "_Actor" in command else "ray"
    return "ray"
