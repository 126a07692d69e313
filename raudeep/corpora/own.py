"""A user's own layout: a function named ``module:function`` or ``file.py:function``."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raudeep.corpora.tree import Tree
from raudeep.errors import ManifestError
from raudeep.manifest import Recording

__all__ = ["load_layout"]


def load_layout(name: str) -> Callable[[Tree], list[Recording]]:
    """Return the layout function that `name` (``FILE.py:FUNCTION``) names.

    The last colon divides, so that a path may hold others.

    Raises
    ------
    ManifestError
        If there is no such file, module or function, or it fails when it is imported. The returned
        function raises it if the user's fails or returns something else.
    """
    place, _, function = name.rpartition(":")
    try:
        module = (
            _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        )
        layout: Any = getattr(module, function)
    except Exception as error:  # whatever the user's file does
        raise ManifestError(
            f"the corpus layout {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not callable(layout):
        raise ManifestError(f"the corpus layout {name!r} is no function.")

    def read(tree: Tree) -> list[Recording]:
        try:
            recordings = list(layout(tree))
        except Exception as error:
            raise ManifestError(
                f"the corpus layout {name!r} failed: {type(error).__name__}: {error}"
            ) from error
        strange = [each for each in recordings if not isinstance(each, Recording)]
        if strange:
            raise ManifestError(
                f"the corpus layout {name!r} must return recordings (`Tree.recording` makes them). "
                f"Got {strange[0]!r}."
            )
        return recordings

    return read


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    spec = importlib.util.spec_from_file_location(f"raudeep_layout_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
