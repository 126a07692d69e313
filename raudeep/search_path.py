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
    try:
        here = os.path.realpath(os.getcwd())
    except FileNotFoundError:  # it was deleted
        here = ""
    chosen = {*map(os.path.realpath, _variable()), *paths_of_ours()}
    return [
        entry for entry in sys.path if entry and (os.path.realpath(entry) != here or here in chosen)
    ]


def paths_of_ours() -> list[str]:
    """Return the folders of the script that runs, if any, and of raudeep unless it is installed."""
    package = os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    installed = {*map(os.path.realpath, [*site.getsitepackages(), site.getusersitepackages()])}
    found = [] if package in installed else [package]
    script = os.path.realpath(sys.argv[0]) if sys.argv and sys.argv[0] else ""
    folder = os.path.dirname(script)
    # With `python -m` the script is a module, and its folder is on no path.
    if os.path.isfile(script) and folder in map(os.path.realpath, filter(None, sys.path)):
        found.append(folder)
    return found


def leave_out_working_directory() -> None:
    """Take the working directory off the search path of this process and of those it starts."""
    sys.path[:] = search_path()
    os.environ["PYTHONSAFEPATH"] = "1"
    if "PYTHONPATH" in os.environ:
        os.environ["PYTHONPATH"] = os.pathsep.join(_variable())


def _variable() -> list[str]:
    """Return what PYTHONPATH names; an entry without a name, as by accident, is of no use."""
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [os.path.abspath(entry) for entry in named if entry]
