"""The process of the command ``raudeep``, also started by ``python -m raudeep`` and the jobs."""

import atexit
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its code."""
    try:
        from raudeep.cli import main as run

        run(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    except KeyboardInterrupt:  # while the command line itself is imported
        print("raudeep: interrupted.", file=sys.stderr)
        code = 130
    _end(code)


def _end(code: int) -> None:
    """End the process as Python does, but leave the libraries in C++ as they are.

    One was seen to abort as it was taken apart, after all was done.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as `sys.exit` does
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed by its reader
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
