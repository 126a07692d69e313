"""The application: global options, logging, and how errors are shown."""

import difflib
import logging
import os
import re
import shlex
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from cyclopts import (
    App,
    ArgumentCollection,
    CycloptsError,
    CycloptsPanel,
    Group,
    MissingArgumentError,
    Parameter,
    UnknownCommandError,
)

from raudeep.cli.parameters import shown_default
from raudeep.credentials import public_text
from raudeep.errors import ConfigError, RaudeepError, error_for_user
from raudeep.foreign import visible

__all__ = ["app", "main"]

_SPINS = "10000"
"""How often a waiting thread of PyTorch looks again before it leaves its core to others.

About a tenth of a millisecond. libgomp's default is much longer: on a busy machine the thread that
others wait for then gets no core, and commands took ten times as long.
"""
_REPEAT_SECONDS = 2.0  # a SIGTERM within this time after the first is ignored


def _version() -> str:
    try:
        return f"raudeep {version('raudeep')}, Apache License 2.0"
    except PackageNotFoundError:  # in the working directory of a job
        return "raudeep, not installed, Apache License 2.0"


def _choices_in_any_case(
    app: App, commands: tuple[str, ...], arguments: ArgumentCollection
) -> None:
    """Accept choices in upper and lower case; called by cyclopts."""
    for argument in arguments:
        choices = {choice.lower(): choice for choice in argument.get_choices(force=True) or ()}
        argument.tokens = [
            token.evolve(value=choices.get(token.value.lower(), token.value))
            for token in argument.tokens
        ]


def _explain(error: CycloptsError) -> Any:
    """Return the message of wrong usage; called by cyclopts."""
    if isinstance(error, UnknownCommandError) and (said := _without_kind(error)):
        return CycloptsPanel(public_text(said))
    argument = error.argument
    if argument is None or not isinstance(error, MissingArgumentError) or error.keyword is not None:
        return CycloptsPanel(public_text(str(error)))
    is_positional = argument.field_info.is_positional
    name = argument.name.removeprefix("--").upper() if is_positional else argument.name
    said = f"parameter {argument.name} requires an argument."
    return CycloptsPanel(str(error).replace(said, f"needs {name}: {argument.parameter.help}"))


def _without_kind(error: UnknownCommandError) -> str | None:
    """Return the message if a path stands where a command or a kind belongs; None otherwise."""
    if error.app is None or not error.unused_tokens:
        return None
    kinds = [kind for kind in error.app if not kind.startswith("-")]
    given = error.unused_tokens[0]
    if difflib.get_close_matches(given, kinds, n=1):
        return None
    if not error.command_chain:
        example = f"`raudeep inspect {shlex.quote(given)}`"
        says = f"a command stands before {given!r}, such as {example}. `raudeep --help` lists all."
        return says if os.path.exists(given) else None
    name = error.command_chain[-1]
    example = f"raudeep {name} {kinds[0]} {shlex.quote(given)}"
    return f"{name} needs one of {', '.join(kinds)} before {given!r}: `{example}`."


_INPUT_AND_OUTPUT = Group("Input and output", sort_key=0)
"""Of the flags that belong to the command, and to no class of settings."""

app = App(
    name="raudeep",
    version=_version,
    config=_choices_in_any_case,
    error_formatter=_explain,
    default_parameter=Parameter(
        negative_iterable=(), consume_multiple=1, show_default=shown_default
    ),
    help="Sound to vectors, without labels: autoencoders on spectrograms.\n\n"
    "The usual way: extract, train, embed, then evaluate, search or export.",
    help_epilogue="`raudeep COMMAND --help` shows the flags of a command and an example.",
    help_format="markdown",
    group_parameters=_INPUT_AND_OUTPUT,
    group_arguments=_INPUT_AND_OUTPUT,
)
app.meta.group_parameters = Group("Global options", sort_key=99)


@app.command(name="help")
def show_help(
    *command: Annotated[str, Parameter(show=False)],
) -> None:
    """Show this page, or the help of a command: `raudeep help train time`."""
    app.help_print(command)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    verbose: Annotated[
        bool, Parameter(name=["--verbose", "-v"], negative="", help="Print more on stderr.")
    ] = False,
    quiet: Annotated[
        bool, Parameter(name=["--quiet", "-q"], negative="", help="Print errors only.")
    ] = False,
    debug: Annotated[
        bool, Parameter(negative="", help="Show tracebacks and the output of Ray.")
    ] = False,
    log_file: Annotated[Path | None, Parameter(help="Write the log to this file, too.")] = None,
    endpoint_url: Annotated[
        str | None, Parameter(help="URL of the S3 store, if it is not Amazon's.")
    ] = None,
    anonymous: Annotated[
        bool, Parameter(negative="", help="Read public S3 buckets without credentials.")
    ] = False,
) -> int:
    if debug:
        os.environ["RAUDEEP_DEBUG"] = "1"  # read where Ray is started
    # By the environment, in which they reach all processes of a run.
    if endpoint_url is not None:
        os.environ |= dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"), endpoint_url)
    if anonymous:
        os.environ |= dict.fromkeys(("FSSPEC_S3_ANON", "FSSPEC_S3A_ANON"), "true")
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    termination = _Termination()
    try:
        _configure_logging(verbose=verbose or debug, quiet=quiet, log_file=log_file)
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=True)
        with termination:
            command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except CycloptsError:
        return 2
    except BrokenPipeError:  # whoever read the output has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        said = error if isinstance(error, OSError) else error_for_user(error)
        if said is None or debug:
            print(visible(public_text(traceback.format_exc())), end="", file=sys.stderr)
            return 1
        message = " ".join(public_text(str(said)).split())
        if isinstance(said, ConfigError):
            message = _as_typed(message, tokens)
        print(f"raudeep: {visible(message)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        terminated = termination.was_asked_for
        print(
            f"raudeep: {'terminated' if terminated else 'interrupted'}. What is finished stays; "
            "the same command goes on from there.",
            file=sys.stderr,
        )
        return 128 + (signal.SIGTERM if terminated else signal.SIGINT)
    return 0


def _as_typed(message: str, tokens: Sequence[str]) -> str:
    """Return the message with the name of a field replaced by the flag that was typed."""
    flags = {token.partition("=")[0] for token in tokens if token.startswith("--")}

    def typed(found: re.Match[str]) -> str:
        named = [f for f in flags if f[2:].rpartition(".")[2].replace("-", "_") == found[1]]
        return named[0] if len(named) == 1 else found[0]

    return re.sub(r"The '(\w+)' parameter of \w+", typed, message)


class _Termination:
    """Ends a command on SIGTERM (a scheduler, ``ray job stop``) as Ctrl-C does."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._before: Any = None

    @property
    def was_asked_for(self) -> bool:
        """Whether a SIGTERM came. The exception does not tell, since Ray replaces it."""
        return self._last is not None

    def __enter__(self) -> "_Termination":
        self._before = signal.getsignal(signal.SIGTERM)
        if self._before is not signal.SIG_IGN:
            with suppress(ValueError):  # not the main thread: whoever has that takes the signals
                signal.signal(signal.SIGTERM, self._end)
        return self

    def __exit__(self, *_: object) -> None:
        if signal.getsignal(signal.SIGTERM) == self._end:
            signal.signal(signal.SIGTERM, self._before or signal.SIG_DFL)

    def _end(self, *_: object) -> None:
        before, self._last = self._last, time.monotonic()
        if before is None or self._last - before > _REPEAT_SECONDS:
            raise KeyboardInterrupt


class _PublicFormatter(logging.Formatter):
    """Formats the message alone, without secrets of URIs and without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(public_text(super().format(record)))


def _configure_logging(*, verbose: bool, quiet: bool, log_file: Path | None) -> None:
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        from raudeep.storage.outputs import check_kept

        check_kept(str(log_file))
        try:
            handlers.append(logging.FileHandler(log_file))
        except OSError as error:
            reason = error.strerror or error
            raise RaudeepError(f"--log-file {log_file} cannot be written: {reason}") from error
    for handler in handlers:
        handler.setFormatter(_PublicFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.getLogger("raudeep").setLevel(level)
    warnings.formatwarning = lambda message, *_, **__: str(message)  # not the line of code as well
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
