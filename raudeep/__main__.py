"""The process of the command ``raudeep``, also started by ``python -m raudeep`` and the jobs."""

# First of all: `python -m` puts the working directory first, from which all else would come.
from raudeep.search_path import leave_out_working_directory

leave_out_working_directory()

import atexit  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from contextlib import suppress  # noqa: E402

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its code."""
    # Where whoever started it has closed one of them.
    sys.stdout, sys.stderr = (
        stream or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
        for stream in (sys.stdout, sys.stderr)
    )
    code = 1  # of an error that nobody expected
    atexit.register(lambda: _leave(code))  # as the first of them, so it is called as the last
    try:
        from raudeep.cli import main as run

        run(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    except KeyboardInterrupt:  # while the command line itself is imported
        print("raudeep: interrupted.", file=sys.stderr)
        code = 130
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of what only ends
    sys.exit(code)


def _leave(code: int) -> None:
    """End the process after all else that is done at its end, with libraries in C++ left alone.

    One was seen to abort as it was taken apart, after all was done.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed by its reader
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
