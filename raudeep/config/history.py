"""Fields that older outputs lack, and fields that no output depends on.

An output keeps the configuration that it was made with. A later raudeep has more fields. For older
outputs such a field has the value that describes what raudeep did before the field existed.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from raudeep.config.training import TrainingConfig

__all__ = ["ADDED", "LIMITS", "PLANNED", "at_default_limits", "settled"]

ADDED: Mapping[str, Mapping[str, Any]] = {
    "chunks": {"channels": None, "sample_rate": None, "salvage": False},
    "evaluation": {"group_pattern": None, "folds": []},
    "mlp": {"batch_size": None},
}
"""By section: fields that were added later, with the value that holds for older outputs.

The value is the default of the field, as JSON writes it. `settled` names the sections.
"""

LIMITS: Mapping[str, frozenset[str]] = {
    "training": frozenset({"in_memory_gb", "shuffle_buffer_gb", "checkpoints_to_keep"}),
}
"""By section: fields that limit a run and do not change its result."""

PLANNED: Mapping[str, str] = {"frames": "manifest", "log-mel": "manifest"}
"""By stage: an input that older outputs name; today the plan of the table holds it."""


def settled(config: Any, section: str = "") -> Any:
    """Return a configuration without limits, and without later fields that have the older value.

    Two configurations that are equal in this form give the same output.

    Parameters
    ----------
    config : dict, list or plain value
        The configuration; those within it are settled as well.
    section : str
        What it configures: the stage of an output, or the key under which it stands in another
        configuration.
    """
    if isinstance(config, list | tuple):
        return [settled(each, section) for each in config]
    if not isinstance(config, Mapping):
        return config
    added, limits = ADDED.get(section, {}), LIMITS.get(section, ())
    found = {key: settled(value, key) for key, value in config.items()}
    return {
        key: value
        for key, value in found.items()
        if key not in limits and not (key in added and value == added[key])
    }


def at_default_limits(training: TrainingConfig) -> TrainingConfig:
    """Return a training with the limits that it has without any said, to be named by."""
    limits = LIMITS["training"]
    defaults: dict[str, Any] = {
        each.name: each.default for each in fields(training) if each.name in limits
    }
    return replace(training, **defaults)
