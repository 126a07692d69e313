"""Recipes and search spaces as TOML files, local or by URI."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from raudeep.config import TuneConfig
from raudeep.errors import ConfigError
from raudeep.foreign import parse_toml
from raudeep.recipe import Recipe, parse_recipe, shipped_recipes
from raudeep.storage import uri as uris
from raudeep.sweep.space import SearchSpace, parse_sweep

__all__ = ["load_recipe", "load_space"]


def load_recipe(
    recipe: str | Path,
    *,
    seed: int | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Recipe:
    """Return a recipe with overrides applied.

    Parameters
    ----------
    recipe : str or Path
        A shipped recipe's name, or the path or URI of a TOML file.
    seed : int, optional
        Replaces the recipe's seed: that of the evaluation, from which each autoencoder's is made.
    overrides : mapping of section to mapping, optional
        Values for the shared sections, ``{"training": {"num_epochs": 2}}``; they win over the
        sections but not over what a view or an autoencoder says of itself, and must reach one.

    Raises
    ------
    ConfigError
        If there is no such recipe, a key is unknown, a value is out of its range, or an override
        reaches no view or autoencoder.
    """
    where = str(recipe)
    absent = (
        f"no recipe {where!r}. Give the path or URI of a TOML file or one of: "
        f"{', '.join(shipped_recipes())}."
    )
    if where in shipped_recipes():
        shipped = resources.files("raudeep.recipes").joinpath(f"{where}.toml")
        content = parse_toml(shipped.read_bytes(), where, ConfigError)
    elif where.endswith(".toml"):
        content = _read(where, absent=absent)
    else:
        raise ConfigError(absent)
    return parse_recipe(content, where=where, seed=seed, overrides=overrides)


def load_space(
    path: str | Path, *, overrides: Mapping[str, Any] | None = None
) -> tuple[SearchSpace, TuneConfig]:
    """Return the search space of a TOML file and how it is to be searched.

    Parameters
    ----------
    path : str or Path
        Path or URI; what the file says is in `raudeep.sweep.space`.
    overrides : mapping, optional
        Fields of `TuneConfig` that win over the file's.

    Raises
    ------
    ConfigError
        If there is no such file, a key is unknown, or a value is not one of its field.
    """
    where = str(path)
    content = _read(
        where, absent=f"no search space at {where}. Give the path or URI of a TOML file."
    )
    return parse_sweep(content, where=where, overrides=overrides)


def _read(where: str, *, absent: str) -> dict[str, Any]:
    """Return what a TOML file says; `absent` is the message where there is none."""
    try:
        content = uris.read_bytes(where)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ConfigError(absent) from error
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error}") from error
    return parse_toml(content, f"{where}: not valid TOML", ConfigError)
