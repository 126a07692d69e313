"""A recipe as the few lines in which its settings can be read."""

from collections.abc import Mapping
from typing import Any

__all__ = ["settings_of"]

Settings = dict[str, Any]


def settings_of(recipe: Mapping[str, Any]) -> dict[str, Settings]:
    """Return the settings of a recipe by section, without those that are None.

    Parameters
    ----------
    recipe : Mapping
        A recipe as plain values, as a benchmark stores it.

    Returns
    -------
    dict
        What all views have in common, then what each has of its own; the same of the autoencoders;
        evaluation and MLP.
    """
    found: dict[str, Settings] = {}
    for name, kind in (("views", "view"), ("autoencoders", "autoencoder")):
        each = {key: _flat(value) for key, value in (recipe.get(name) or {}).items()}
        shared = _shared(list(each.values()))
        found[name] = shared
        for key, settings in each.items():
            own = {field: value for field, value in settings.items() if field not in shared}
            found[f"{kind} {key}"] = own
    for name in ("evaluation", "mlp"):
        found[name] = _flat(recipe.get(name) or {})
    return {name: settings for name, settings in found.items() if settings}


def _flat(settings: Mapping[str, Any]) -> Settings:
    flat: Settings = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value)
        elif value not in (None, [], ()):
            flat[name] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return flat


def _shared(each: list[Settings]) -> Settings:
    first, *others = each or [{}]
    return {
        name: value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in others)
    }
