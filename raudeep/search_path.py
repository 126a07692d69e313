"""Where Python looks for modules: not in the working directory, which may be a corpus.

A corpus from elsewhere may hold a ``numpy.py``. Nothing is imported here but what Python has loaded
before: until `leave_out_working_directory` is called, it would be taken from there.
"""

import os
import site
import sys

__all__ = ["leave_out_working_directory", "paths_of_ours", "search_path"]


def search_path() -> list[str]:
    """Return the search path of this process without the working directory.

    It stays where it was put there on purpose: PYTHONPATH names it, it is the folder of the script
    that runs, or raudeep itself lies there.
    """
    here = _resolved(".")
    chosen = {*_variable(), *paths_of_ours()}
    return [entry for entry in sys.path if entry and (_resolved(entry) != here or here in chosen)]


def paths_of_ours() -> list[str]:
    """Return the folders of the script that runs, if any, and of raudeep unless it is installed."""
    package = os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    installed = {*map(os.path.realpath, [*site.getsitepackages(), site.getusersitepackages()])}
    found = [] if package in installed else [package]
    script = _resolved(sys.argv[0]) if sys.argv and sys.argv[0] else ""
    folder = os.path.dirname(script)
    # With `python -m` the script is a module, and its folder is on no path.
    if os.path.isfile(script) and folder in map(_resolved, filter(None, sys.path)):
        found.append(folder)
    return found


def leave_out_working_directory() -> None:
    """Take the working directory off the search path of this process and of those it starts."""
    sys.path[:] = search_path()
    os.environ["PYTHONSAFEPATH"] = "1"
    if "PYTHONPATH" in os.environ:
        os.environ["PYTHONPATH"] = os.pathsep.join(_variable())


def _variable() -> list[str]:
    """Return the folders in PYTHONPATH; an empty entry is an accident and left out."""
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [found for entry in named if entry and (found := _resolved(entry))]


def _resolved(path: str) -> str:
    """Return the absolute path without links, or "" if it begins in a folder that was deleted."""
    try:
        return os.path.realpath(path)
    except FileNotFoundError:  # there is no working directory any more
        return ""
