"""Errors of recordings that hold less than they say, or more: one sentence for each, everywhere."""

from raudeep.errors import AudioError

__all__ = ["LAST_PAGE", "SEVERAL", "cut_off", "longer"]

_HELP = "Copy it again, or take what is there: `raudeep embed --salvage`"
LAST_PAGE = f"is cut off: its last page is not whole. {_HELP}"
SEVERAL = (
    "holds several streams, one behind the other, of which only the first can be read; split it, "
    "or encode it as one"
)


def cut_off(promised: str, held: str) -> AudioError:
    """Return the error of a file that ends before its header says; both lengths in words."""
    return AudioError(f"is cut off: the header says {promised}, the file has {held}. {_HELP}")


def longer(promised: str, held: str, remedy: str = "") -> AudioError:
    """Return the error of a file that holds more than its header says; both lengths in words.

    `remedy` is a command that makes a file whose header is right.
    """
    said = f"is longer than its header: the header says {promised}, the file has {held}"
    return AudioError(f"{said}. To use all of it: {remedy}" if remedy else said)
