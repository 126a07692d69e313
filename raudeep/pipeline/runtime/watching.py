"""Whether the Ray that this process works with is still there.

Where its raylet on this machine or the head of the cluster is lost, Ray ends this process after
some seconds or a minute, without a word and whatever waits in it. Who watches says why before.
"""

import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["watch_process", "watch_server"]

Needed = Callable[[], bool]
"""Says whether what is watched is still needed: not after Ray was shut down."""

_SECONDS_BETWEEN = 1.0  # two tries, or two looks at whether it is needed
_SECONDS_TO_RETRY = 0.02
_CREDENTIALS = struct.Struct("3i")  # of who listens: process, user, group


def watch_process(place: str, message: str, is_needed: Needed) -> None:
    """Wait in a thread for the end of the process that listens at a Unix socket.

    Then this one ends with a line. Only Linux can; elsewhere nothing is watched. A connection to
    its port would not tell: processes that it started hold that, too.
    """
    with suppress(AttributeError, OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        found = connection.getsockopt(
            socket.SOL_SOCKET,
            socket.SO_PEERCRED,  # type: ignore[attr-defined,unused-ignore]
            _CREDENTIALS.size,
        )
        process = os.pidfd_open(_CREDENTIALS.unpack(found)[0])
        _start(_wait_for_end, process, message, is_needed)


def watch_server(
    place: tuple[str, int], message: str, is_needed: Needed, *, patience_seconds: float = 0.0
) -> None:
    """Hold a connection to a server in a thread; where that is gone, this process ends with a line.

    It may be away for `patience_seconds`: the head of some clusters is started again.
    """
    _start(_keep_connected, place, message, is_needed, patience_seconds)


def _start(function: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=function, args=arguments, daemon=True).start()


def _wait_for_end(process: int, message: str, is_needed: Needed) -> None:
    ended = select.poll()
    ended.register(process, select.POLLIN)
    while is_needed():
        if ended.poll(1000 * _SECONDS_BETWEEN):
            _end(message, is_needed)
            break
    os.close(process)


def _keep_connected(
    place: tuple[str, int], message: str, is_needed: Needed, patience_seconds: float
) -> None:
    alone_since: float | None = None
    while is_needed():
        try:
            _hold_connection(place, is_needed)
        except OSError as error:
            # A busy machine says nothing of another process, nor does one without sockets to spare.
            is_known = isinstance(error, ConnectionRefusedError)
            if is_known or (isinstance(error, TimeoutError) and patience_seconds):
                alone_since = alone_since or time.monotonic()
                if time.monotonic() - alone_since >= patience_seconds:
                    _end(message, is_needed)
            time.sleep(_SECONDS_BETWEEN)
        else:  # it ended, as when a server closes one that says nothing: there is another try
            alone_since = None
            time.sleep(_SECONDS_TO_RETRY)


def _hold_connection(place: tuple[str, int], is_needed: Needed) -> None:
    """Return when the connection ends; the system ends it when the server does."""
    with socket.create_connection(place, timeout=_SECONDS_BETWEEN) as connection:
        while is_needed():
            with suppress(TimeoutError):
                try:
                    if not connection.recv(1024):
                        return
                except ConnectionError:
                    return


def _end(message: str, is_needed: Needed) -> None:
    if is_needed():
        print(f"raudeep: {message}", file=sys.stderr, flush=True)
        os._exit(1)  # as Ray would; what waits for it cannot be interrupted
