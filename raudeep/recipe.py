"""Recipes: a named experiment as TOML, made into one frozen dataclass.

The sections ``[spectrogram]``, ``[autoencoder]`` and ``[training]`` hold what all views and
autoencoders share; ``[views.NAME]`` and ``[autoencoders.NAME]`` name each one and say how it
differs. The recipes that raudeep ships lie in ``raudeep/recipes``. Files are read by
`raudeep.storage.recipes`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from raudeep.config import (
    BASELINES,
    ArchitectureConfig,
    AutoencoderConfig,
    Baseline,
    CnnConfig,
    EvaluationConfig,
    MlpConfig,
    Readout,
    SparseCodingConfig,
    SpectrogramConfig,
    TrainingConfig,
    architecture_of,
    autoencoder_kinds,
    build,
    fingerprint,
    reject_text,
    reject_unknown,
)
from raudeep.errors import ConfigError

__all__ = [
    "FUSED",
    "LAYOUTS_WITH_FIELD",
    "NamedAutoencoder",
    "Recipe",
    "autoencoder_seed",
    "is_own_layout",
    "parse_recipe",
    "shipped_recipes",
]

FUSED = "fused"
"""The name of the vectors of all autoencoders side by side, which none of them can have."""
LAYOUTS_WITH_FIELD = ("lhotse", "audformat")
"""Layouts that can be told which of their fields is the label, as ``audformat:emotion``."""
SECTIONS: dict[str, type[Any]] = {
    "spectrogram": SpectrogramConfig,
    "autoencoder": AutoencoderConfig,
    "training": TrainingConfig,
    "evaluation": EvaluationConfig,
    "mlp": MlpConfig,
    "cnn": CnnConfig,
    "sparse_coding": SparseCodingConfig,
}
_SCALARS: dict[str, type[Any]] = {
    "name": str,
    "description": str,
    "corpus_layout": str,
    "readouts": list,
    "baselines": list,
    "seed": int,
}
_NAMED = ("views", "autoencoders")
_SHARED = {"spectrogram": "views", "autoencoder": "autoencoders", "training": "autoencoders"}


@dataclass(frozen=True, kw_only=True)
class NamedAutoencoder:
    """An autoencoder of a recipe: the view it is trained on, its shape and its training."""

    view: str
    model: ArchitectureConfig
    training: TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A named experiment: views, autoencoders, readouts, classifier and baselines.

    It has no seed of its own: that of a file is the evaluation's, and makes each autoencoder's.
    """

    name: str
    description: str = ""
    corpus_layout: str | None = None
    readouts: tuple[Readout, ...] = ("state", "pooled")
    views: dict[str, SpectrogramConfig] = field(default_factory=dict)
    autoencoders: dict[str, NamedAutoencoder] = field(default_factory=dict)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    mlp: MlpConfig = field(default_factory=MlpConfig)
    baselines: tuple[Baseline, ...] = ()
    cnn: CnnConfig = field(default_factory=CnnConfig)
    sparse_coding: SparseCodingConfig = field(default_factory=SparseCodingConfig)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the kind of each autoencoder."""
        values = dataclasses.asdict(self)
        for name, each in self.autoencoders.items():
            values["autoencoders"][name]["model"]["kind"] = each.model.kind
        return values

    def __post_init__(self) -> None:
        reject_text(self.readouts, f"recipe {self.name!r}: readouts")
        reject_text(self.baselines, f"recipe {self.name!r}: baselines")
        for name in [*self.views, *self.autoencoders]:
            # Names become folders, so they may not reach outside the output.
            if not name.replace("-", "").replace("_", "").isalnum() or name == FUSED:
                raise ConfigError(
                    f"recipe {self.name!r}: a view or autoencoder is named in letters, digits, "
                    f"'-' and '_', and not 'fused'. Got {name!r}."
                )
        for names in (self.views, self.autoencoders):
            if len({name.lower() for name in names}) < len(names):
                raise ConfigError(
                    f"recipe {self.name!r}: names must differ in more than case. "
                    f"Got {', '.join(names)}."
                )
        if not self.views:
            raise ConfigError(f"recipe {self.name!r} names no view. Add [views.NAME].")
        if not self.autoencoders:
            raise ConfigError(
                f"recipe {self.name!r} names no autoencoder. Add [autoencoders.NAME]."
            )
        for name, autoencoder in self.autoencoders.items():
            if autoencoder.view not in self.views:
                raise ConfigError(
                    f"recipe {self.name!r}: autoencoder {name!r} is trained on view "
                    f"{autoencoder.view!r}, which is none of: {', '.join(self.views)}."
                )
            if (bands := self.views[autoencoder.view].n_mels) is not None:
                autoencoder.model.check_bands(bands)
        keeping = [n for n, each in self.autoencoders.items() if each.model.keeps_time]
        if keeping and "state" in self.readouts:
            raise ConfigError(
                f"recipe {self.name!r}: the representation of autoencoder {keeping[0]!r} is one "
                'for each frame and cannot be scored. Set readouts = ["pooled"].'
            )
        unknown = [readout for readout in self.readouts if readout not in get_args(Readout)]
        if unknown or not self.readouts or len(set(self.readouts)) < len(self.readouts):
            raise ConfigError(
                f"recipe {self.name!r}: readouts are 'state' and 'pooled'. "
                f"Got {list(self.readouts)!r}."
            )
        strange = [name for name in self.baselines if name not in BASELINES]
        if strange or len(set(self.baselines)) < len(self.baselines):
            raise ConfigError(
                f"recipe {self.name!r}: baselines are {', '.join(map(repr, BASELINES))}, each "
                f"once. Got {list(self.baselines)!r}."
            )


def shipped_recipes() -> list[str]:
    """Return the names of the recipes that raudeep ships."""
    files = resources.files("raudeep.recipes").iterdir()
    return sorted(
        entry.name.removesuffix(".toml") for entry in files if entry.name.endswith(".toml")
    )


def parse_recipe(
    content: Mapping[str, Any],
    *,
    where: str,
    seed: int | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Recipe:
    """Return the recipe of a table as TOML gives it; `where` names it in messages.

    Without a name of its own it is called as the file `where`. `seed` and `overrides` are those of
    `raudeep.storage.recipes.load_recipe`.

    Raises
    ------
    ConfigError
        If a key is unknown, a value is out of its range, or an override reaches nothing.
    """
    _check_forms(content, where)
    reject_unknown(overrides or {}, SECTIONS, where=f"overrides of {where}")
    content = dict(content)
    for section, values in (overrides or {}).items():
        content[section] = {**content.get(section, {}), **values}
    if seed is not None:
        content["seed"] = seed
    _check_forms(content, where)
    _check_reach(content, overrides or {}, where)
    return _parse(content, where)


def _check_forms(content: Mapping[str, Any], where: str) -> None:
    """Refuse keys that a recipe does not have and values that are not of the right form."""
    forms: dict[str, type[Any]] = {**_SCALARS, **dict.fromkeys((*SECTIONS, *_NAMED), dict)}
    reject_unknown(content, forms, where=where)
    for key, value in content.items():
        inner = list(value.items()) if key in _NAMED and isinstance(value, dict) else []
        places: list[tuple[str, Any, type[Any]]] = [(key, value, forms[key])]
        places += [(f"{key}.{name}", table, dict) for name, table in inner]
        for place, found, form in places:
            if type(found) is not form:
                kind = {"dict": "a table", "list": "a list"}.get(form.__name__, form.__name__)
                raise ConfigError(f"{where}: {place!r} must be {kind}. Got {found!r}.")
    layout = content.get("corpus_layout", "")
    if is_own_layout(layout):
        raise ConfigError(
            f"{where}: a recipe runs no code, so its 'corpus_layout' cannot be {layout!r}. Leave "
            f"it out, and pass --corpus-layout {layout} if you trust that code."
        )
    _check_kinds(content, where)
    for key, cls in SECTIONS.items():
        known = [field.name for field in dataclasses.fields(cls)]
        known = sorted(_shape_keys()) if key == "autoencoder" else known
        reject_unknown(content.get(key, {}), known, where=f"{where}: [{key}]")


def _check_kinds(content: Mapping[str, Any], where: str) -> None:
    """Refuse a kind of autoencoder that is not known, rather than the keys that it brings."""
    named = {f"autoencoders.{name}": each for name, each in content.get("autoencoders", {}).items()}
    for place, values in {"autoencoder": content.get("autoencoder", {}), **named}.items():
        architecture_of(values.get("kind", AutoencoderConfig.kind), where=f"{where}: [{place}]")


def _check_reach(
    content: Mapping[str, Any], overrides: Mapping[str, Mapping[str, Any]], where: str
) -> None:
    """Refuse an override of a key that every view or every autoencoder sets itself."""
    for section, named in _SHARED.items():
        tables = content.get(named, {})
        for key in overrides.get(section, {}):
            if tables and all(key in table for table in tables.values()):
                raise ConfigError(
                    f"--{section}.{key.replace('_', '-')} changes nothing: {key!r} is set by each "
                    f"of the {named} of {where}: {', '.join(tables)}. Edit the recipe, or a copy "
                    "of a shipped one."
                )


def _parse(content: Mapping[str, Any], where: str) -> Recipe:
    name = content.get("name", Path(where).stem)
    seed = content.get("seed", 0)

    def section(key: str, extra: Mapping[str, Any], place: str, own_seed: int = seed) -> Any:
        values = {**content.get(key, {}), **extra}
        if key == "autoencoder":
            return _autoencoder(values, place=f"{where}: [{place}]")
        if "seed" in {f.name for f in dataclasses.fields(SECTIONS[key])}:
            values.setdefault("seed", own_seed)
        return build(SECTIONS[key], values, where=f"{where}: [{place}]")

    views = {
        view: section("spectrogram", extra, f"views.{view}")
        for view, extra in content.get("views", {}).items()
    }
    shapes = _shape_keys()
    trainings = {f.name for f in dataclasses.fields(TrainingConfig)}
    autoencoders = {}
    for key, extra in content.get("autoencoders", {}).items():
        place = f"autoencoders.{key}"
        own = autoencoder_seed(seed, key)
        reject_unknown(extra, ["view", *sorted(shapes), *trainings], where=f"{where}: [{place}]")
        autoencoders[key] = NamedAutoencoder(
            view=str(extra.get("view", key)),
            model=section("autoencoder", {k: v for k, v in extra.items() if k in shapes}, place),
            training=section(
                "training", {k: v for k, v in extra.items() if k in trainings}, place, own
            ),
        )
    return Recipe(
        name=name,
        description=content.get("description", ""),
        corpus_layout=content.get("corpus_layout"),
        readouts=tuple(content.get("readouts", ("state", "pooled"))),
        views=views,
        autoencoders=autoencoders,
        evaluation=section("evaluation", {}, "evaluation"),
        mlp=section("mlp", {}, "mlp"),
        baselines=tuple(content.get("baselines", ())),
        cnn=section("cnn", {}, "cnn"),
        sparse_coding=section("sparse_coding", {}, "sparse_coding"),
    )


def is_own_layout(layout: str) -> bool:
    """Return whether a layout is a function of somebody's own, as ``FILE.py:FUNCTION``."""
    name, _, field = layout.partition(":")
    return bool(field) and name not in LAYOUTS_WITH_FIELD


def autoencoder_seed(seed: int, name: str) -> int:
    """Return the seed of the autoencoder of this name in a recipe.

    Autoencoders that begin alike and are shown alike find much the same, and fusing them gains
    little: each has a seed of its own.
    """
    return int(fingerprint(seed, name)[:8], 16)


def _shape_keys() -> set[str]:
    """Return what a recipe may say of the shape of an autoencoder, of whatever kind."""
    kinds = autoencoder_kinds().values()
    return {"kind", *(field.name for kind in kinds for field in dataclasses.fields(kind))}


def _autoencoder(values: dict[str, Any], *, place: str) -> ArchitectureConfig:
    """Return the architecture of the kind that `values` name; ``time`` without."""
    kind = values.pop("kind", AutoencoderConfig.kind)
    return build(architecture_of(kind, where=place), values, where=place)
