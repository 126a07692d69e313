"""Processes that work on recordings for another process; one that dies costs a recording at most.

A decoder in C can be killed by what it decodes, or by the kernel for the memory that it asks for.
So recordings are decoded in processes of their own, next to the one that encodes and writes: they
run ahead of it by a few items, and are started again when they die. Where that one can be lost
as well, it decodes by itself until it is: see `raudeep.pipeline.recordings.slice_worker`.
"""

import ctypes
import fcntl
import os
import pickle
import queue
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from raudeep.errors import AudioError
from raudeep.search_path import search_path

__all__ = ["Crew", "keep_memory", "serve"]

_ATTEMPTS = 3  # at an item whose process dies
_AHEAD = 4  # items per process that are begun before the first of them is asked for
_PIPE_BYTES = 2**20  # where it can be had: a piece that does not fit stops whoever sends it
_MAX_QUEUED_PIECES = 16  # of one recording; a long one has thousands
_SECONDS_TO_END = 5.0  # after a kill; what waits for a disc that is gone may never end
_HEADER = struct.Struct(">Q")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_PROGRAM = "from raudeep.pipeline.recordings.isolation import serve; serve()"


class Crew:
    """Processes that each run `function` on one item after the other.

    Parameters
    ----------
    function : callable
        ``function(item)`` yields the pieces of an item. It is pickled, so it is a function of a
        module, or a `functools.partial` of one.
    processes : int
        How many.
    run : int
        How many items that follow each other go to the same process.
    """

    def __init__(
        self, function: Callable[[Any], Iterator[Any]], *, processes: int, run: int = 1
    ) -> None:
        self._function = pickle.dumps(function)
        self._run = run
        self._processes = [_Process(self._function) for _ in range(processes)]

    def map(self, items: Sequence[Any]) -> Iterator[Iterator[Any]]:
        """Yield for each item, in order, the iterator of its pieces.

        The iterator raises what `function` raised or, if the process died each time, `AudioError`.
        Each has to be used up, or left by an error, before the next is asked for.
        """
        # One run more than processes, so that all of them have work.
        runs = max(len(self._processes) + 1, _AHEAD * len(self._processes) // self._run)
        work = _Work(items, run=self._run, runs_ahead=runs)
        threads = [
            threading.Thread(target=work.run, args=(process,), daemon=True)
            for process in self._processes
        ]
        for thread in threads:
            thread.start()
        done = False
        try:
            for index in range(len(items)):
                yield work.pieces(index)
                work.finish(index)
            done = True
        finally:
            work.stop()
            self._leave(threads, at_work=not done)

    def _leave(self, threads: Sequence[threading.Thread], *, at_work: bool) -> None:
        """Wait for the threads, whose processes are killed first if they are `at_work`.

        One may read what never answers. Its thread may just have started another, so all are killed
        until the threads have ended.
        """
        deadline = time.monotonic() + _SECONDS_TO_END
        while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
            for process in self._processes if at_work else ():
                process.kill()
            for thread in threads:
                thread.join(0.05 if at_work else None)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.end()

    def __del__(self) -> None:
        self.close()


class _Work:
    """The items of one call of `Crew.map`: which are begun next, and the pieces of each."""

    def __init__(self, items: Sequence[Any], *, run: int, runs_ahead: int) -> None:
        self._items = items
        self._length = run
        self._lock = threading.Lock()
        self._next = 0
        self._room = threading.Semaphore(runs_ahead)
        self._stopped = threading.Event()
        self._pieces: dict[int, queue.Queue[tuple[str, Any]]] = {}
        self._begun = threading.Condition(self._lock)

    def run(self, process: "_Process") -> None:
        """Let a process work until nothing is left; runs in a thread of its own."""
        while run := self._take():
            for index in run:
                if self._stopped.is_set():
                    return
                try:
                    self._attempt(process, index)
                except Exception as error:  # of the pipe or of pickle: never wait for a dead thread
                    process.end()  # or what it still says would be taken for the next item's
                    self._put(index, ("error", error))

    def pieces(self, index: int) -> Iterator[Any]:
        with self._begun:
            while index not in self._pieces:
                self._begun.wait()
            waiting = self._pieces[index]
        while True:
            kind, value = waiting.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value

    def finish(self, index: int) -> None:
        with self._lock:
            del self._pieces[index]
        if (index + 1) % self._length == 0:
            self._room.release()

    def stop(self) -> None:
        """Let the threads end, whatever they wait for."""
        self._stopped.set()
        self._room.release(len(self._items) + 1)

    def _take(self) -> range:
        """Return the next run; an empty one where there is none."""
        self._room.acquire()
        with self._begun:
            end = min(self._next + self._length, len(self._items))
            run = range(0) if self._stopped.is_set() else range(self._next, end)
            if not run:
                self._room.release()  # the other threads wait as well
            self._next += len(run)
            self._pieces |= {index: queue.Queue(_MAX_QUEUED_PIECES) for index in run}
            self._begun.notify_all()
            return run

    def _attempt(self, process: "_Process", index: int) -> None:
        delivered = 0
        for attempt in range(1, _ATTEMPTS + 1):
            if self._stopped.is_set():
                return
            process.send(self._items[index])
            for number, (kind, value) in enumerate(process.receive()):
                if kind == "died":
                    break
                if kind != "piece" or number >= delivered:
                    if not self._put(index, (kind, value)):
                        process.end()  # nobody wants the rest
                        return
                    delivered += 1
            else:
                return
            if attempt == _ATTEMPTS:
                died = AudioError(
                    f"killed the process that decodes it, {_ATTEMPTS} times ({value})"
                )
                self._put(index, ("error", died))

    def _put(self, index: int, message: tuple[str, Any]) -> bool:
        """Hand on a message; False once nobody wants it."""
        waiting = self._pieces.get(index)
        while waiting is not None and not self._stopped.is_set():
            with suppress(queue.Full):
                waiting.put(message, timeout=0.2)
                return True
            waiting = self._pieces.get(index)
        return False


class _Process:
    """A process that runs `serve`; started when it is first needed, and again after it died."""

    def __init__(self, function: bytes) -> None:
        self._function = function
        self._process: subprocess.Popen[bytes] | None = None

    def send(self, item: Any) -> None:
        if self._process is None:
            self._process = _start()
            self._write(self._function)
        self._write(pickle.dumps(item))

    def receive(self) -> Iterator[tuple[str, Any]]:
        """Yield what the process says of an item: pieces, then how it ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        while True:
            try:
                message = pickle.loads(_read(self._process.stdout))
            except EOFError:
                yield "died", self._cause()
                return
            yield message
            if message[0] != "piece":
                return

    def kill(self) -> None:
        """Kill the process, from another thread than the one that works with it."""
        process = self._process
        if process is not None:
            process.kill()

    def end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_END)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()

    def _write(self, content: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # found when its answer is read
            _write(self._process.stdin, content)

    def _cause(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        self.end()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def serve() -> None:
    """Answer on stdout what comes on stdin: first a function, then items. The child's main."""
    import warnings

    from threadpoolctl import threadpool_limits

    keep_memory()
    warnings.simplefilter("ignore")  # whoever chose the parameters has been told
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's business
    threading.Thread(target=_end_with_parent, daemon=True).start()
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    _silence_libraries()
    try:
        function = pickle.loads(_read(requests))
        # One thread everywhere, or the rounding would depend on where an item is worked on.
        with threadpool_limits(1):
            while True:
                item = pickle.loads(_read(requests))
                try:
                    for piece in function(item):
                        _write(answers, pickle.dumps(("piece", piece), protocol=5))
                    end = pickle.dumps(("end", None))
                except Exception as error:
                    end = pickle.dumps(("error", _portable(error)))
                _write(answers, end)
    except (EOFError, BrokenPipeError):  # the parent has gone
        os._exit(0)


def _silence_libraries() -> None:
    """Let what libraries in C print go nowhere, and what Python prints to stderr.

    mpg123 says on stderr of each damaged frame that there is one, of which file not; stdout is for
    the answers. Nothing but this process has these descriptors.
    """
    sys.stdout = sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def keep_memory() -> None:
    """Let this process keep what it frees for the next array, in place of giving it back.

    Every recording needs some MB, and a sixth of the time would go to the kernel, which fills them
    with zeros page by page. Where the C library is not glibc, nothing is done.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)


def _end_with_parent() -> None:
    """End this process with its parent, also while it reads what never answers."""
    parent = select.poll()
    parent.register(0, 0)  # nothing but that the other end of the pipe is closed
    parent.poll()
    os._exit(0)


def _portable(error: Exception) -> Exception:
    """Return an error that survives pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _start() -> "subprocess.Popen[bytes]":
    path = os.pathsep.join(search_path())
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM],  # -P: or the working directory would come first
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    # Linux alone can; of an ordinary user it refuses it once all pipes together have 64 MiB.
    with suppress(AttributeError, PermissionError):
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return process


def _write(pipe: Any, content: bytes) -> None:
    pipe.write(_HEADER.pack(len(content)))
    pipe.write(content)
    pipe.flush()


def _read(pipe: BinaryIO | Any) -> bytes:
    header = pipe.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise EOFError
    (size,) = _HEADER.unpack(header)
    content: bytes = pipe.read(size)
    if len(content) < size:
        raise EOFError
    return content
