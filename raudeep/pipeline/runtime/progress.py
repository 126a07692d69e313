"""One progress line per stage: a bar on a terminal, plain lines elsewhere, always on stderr.

Whoever silences warnings, as --quiet does, sees none.
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from raudeep.foreign import visible

__all__ = ["StageProgress", "stage_progress"]

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0


@dataclass
class StageProgress:
    """What a stage reports to: how much is done, and a short note."""

    title: str
    unit: str
    total: int
    done: int = 0
    _bar: Progress | None = None
    _task: TaskID | None = None
    _started: float = field(default_factory=time.monotonic)
    _printed: float = field(default_factory=time.monotonic)
    _quiet: bool = field(default_factory=lambda: not logger.isEnabledFor(logging.WARNING))
    _first: tuple[float, int] | None = None  # when the first units were done, and how many

    def advance(self, count: int, note: str = "") -> None:
        """Say that `count` more units are done."""
        note = visible(note)
        self.done += count
        now = time.monotonic()
        if count:
            self._first = self._first or (now, self.done)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, note=note)
        elif not self._quiet and now - self._printed >= _SECONDS_BETWEEN_LINES:
            self._printed = now
            # The rate leaves out the start, in which processes are started and nothing is done.
            since, count_then = self._first or (now, self.done)
            rate = (self.done - count_then) / max(now - since, 1e-9)
            left = f", about {(self.total - self.done) / rate:.0f} s left" if rate else ""
            print(
                f"{self.title}: {self.done} of {self.total} {self.unit}, "
                f"{now - self._started:.0f} s{left}{', ' + note if note else ''}",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def stage_progress(title: str, *, unit: str, total: int) -> Iterator[StageProgress]:
    """Show the progress of a stage of `total` units while the context lasts."""
    console = Console(stderr=True)
    title = visible(title)
    progress = StageProgress(title, unit, total)
    if progress._quiet or not console.is_terminal:
        yield progress
        return
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        progress._bar, progress._task = bar, bar.add_task(title, total=total, note="")
        yield progress
