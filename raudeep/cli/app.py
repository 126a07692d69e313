"""The application: global options, logging, what becomes of errors."""

import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

from cyclopts import App, ArgumentCollection, CycloptsError, Group, Parameter

from raudeep.errors import RaudeepError

__all__ = ["app", "main"]


def _version() -> str:
    try:
        return f"raudeep {version('raudeep')}, Apache License 2.0"
    except PackageNotFoundError:  # in the working directory of a job
        return "raudeep, not installed, Apache License 2.0"


def _choices_in_any_case(
    app: App, commands: tuple[str, ...], arguments: ArgumentCollection
) -> None:
    """Take a word that is one of several in upper and lower case alike; called by cyclopts."""
    for argument in arguments:
        choices = {choice.lower(): choice for choice in argument.get_choices(force=True) or ()}
        argument.tokens = [
            token.evolve(value=choices.get(token.value.lower(), token.value))
            for token in argument.tokens
        ]


app = App(
    name="raudeep",
    version=_version,
    config=_choices_in_any_case,
    default_parameter=Parameter(negative_iterable=(), consume_multiple=1),
    help="Unsupervised representations of sound: recurrent autoencoders on spectrograms, on Ray.",
    help_format="plaintext",
)
app.meta.group_parameters = Group("Global options", sort_key=99)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    verbose: Annotated[
        bool, Parameter(name=["--verbose", "-v"], negative="", help="Say more on stderr.")
    ] = False,
    quiet: Annotated[
        bool, Parameter(name=["--quiet", "-q"], negative="", help="Say only what went wrong.")
    ] = False,
    debug: Annotated[
        bool, Parameter(negative="", help="Show tracebacks and the output of Ray.")
    ] = False,
    log_file: Annotated[Path | None, Parameter(help="Write the log to this file as well.")] = None,
    endpoint_url: Annotated[
        str | None, Parameter(help="Where the S3 store answers, if it is not Amazon's.")
    ] = None,
    anonymous: Annotated[
        bool, Parameter(negative="", help="Read public S3 buckets without credentials.")
    ] = False,
) -> int:
    if debug:
        os.environ["RAUDEEP_DEBUG"] = "1"  # read where Ray is started
    # By the environment, in which they reach all processes of a run.
    if endpoint_url is not None:
        os.environ["AWS_ENDPOINT_URL"] = endpoint_url
    if anonymous:
        os.environ["FSSPEC_S3_ANON"] = "true"
    try:
        _configure_logging(verbose=verbose or debug, quiet=quiet, log_file=log_file)
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=True)
        with _termination_as_interrupt():
            command(*bound.args, **bound.kwargs)
    except CycloptsError:
        return 2
    except (RaudeepError, OSError) as error:
        if debug:
            raise
        print(f"raudeep: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        terminated = isinstance(interrupt, _Terminated)
        print(
            f"raudeep: {'terminated' if terminated else 'interrupted'}. What is finished stays; "
            "the same command goes on from there.",
            file=sys.stderr,
        )
        return 128 + (signal.SIGTERM if terminated else signal.SIGINT)
    return 0


class _Terminated(KeyboardInterrupt):
    """SIGTERM: from a scheduler, ``ray job stop``, a machine that goes down."""


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """End a command on SIGTERM as on Ctrl-C."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the ending itself is not interrupted
        raise _Terminated

    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, end)
    except ValueError:  # not the main thread: whoever has that takes the signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: it was not Python's


def _configure_logging(*, verbose: bool, quiet: bool, log_file: Path | None) -> None:
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        try:
            handlers.append(logging.FileHandler(log_file))
        except OSError as error:
            reason = error.strerror or error
            raise RaudeepError(f"--log-file {log_file} cannot be written: {reason}") from error
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=handlers, force=True)
    logging.getLogger("raudeep").setLevel(level)
    logging.captureWarnings(capture=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        code = app.meta(
            arguments, exit_on_error=False, print_error=True, result_action="return_value"
        )
    except CycloptsError:
        code = 2
    sys.exit(code)
