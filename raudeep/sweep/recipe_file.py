"""A recipe as the TOML file that `raudeep.storage.recipes.load_recipe` reads."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from raudeep.config import AutoencoderConfig, EvaluationConfig, SpectrogramConfig, TrainingConfig
from raudeep.errors import ConfigError
from raudeep.recipe import SECTIONS, Recipe, autoencoder_seed, is_own_layout

__all__ = ["recipe_toml"]


def recipe_toml(recipe: Recipe, *, comment: str = "") -> str:
    """Return a recipe as TOML: values that are no defaults, and whole views and autoencoders.

    Raises
    ------
    ConfigError
        If a value is None where the default is not: TOML has nothing to write for it.
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    seed = recipe.evaluation.seed
    plain = {"name": recipe.name, "description": recipe.description, "seed": seed}
    layout = recipe.corpus_layout
    if layout is not None and is_own_layout(layout):
        lines.append(f"# The corpus layout is code, which no recipe runs: {json.dumps(layout)}")
    elif layout is not None:
        plain["corpus_layout"] = layout
    lines += _pairs({**plain, "readouts": recipe.readouts, "baselines": recipe.baselines})
    for name, view in recipe.views.items():
        lines += ["", f"[views.{_key(name)}]", *_differences(view, SpectrogramConfig())]
    for name, each in recipe.autoencoders.items():
        model = _differences(each.model, type(each.model)())
        kind = {} if each.model.kind == AutoencoderConfig.kind else {"kind": each.model.kind}
        # A seed that follows from the name is left out.
        made = TrainingConfig(seed=autoencoder_seed(seed, name))
        training = _differences(each.training, made)
        header = _pairs({"view": each.view, **kind})
        lines += ["", f"[autoencoders.{_key(name)}]", *header, *model, *training]
    defaults = {name: SECTIONS[name]() for name in ("mlp", "cnn", "sparse_coding")}
    for section, default in {"evaluation": EvaluationConfig(seed=seed), **defaults}.items():
        if found := _differences(getattr(recipe, section), default):
            lines += ["", f"[{section}]", *found]
    return "\n".join(lines) + "\n"


def _differences(config: Any, default: Any) -> list[str]:
    """Return the lines of the fields that are not as in `default`."""
    before = dataclasses.asdict(default)
    found = {k: v for k, v in dataclasses.asdict(config).items() if v != before[k]}
    if absent := [key for key, value in found.items() if value is None]:
        raise ConfigError(
            f"{absent[0]!r} of {type(config).__name__} is None, which a recipe file cannot say; "
            f"without the key it is {before[absent[0]]!r}."
        )
    return _pairs(found)


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in values.items()]


def _key(name: str) -> str:
    """Return a name as the key of a table: TOML wants quotes around letters beyond ASCII."""
    return name if name.isascii() else _value(name)


def _value(value: Any) -> str:
    """Return a value as TOML; texts and numbers are as in JSON."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)
