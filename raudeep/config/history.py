"""What older outputs do not say of their configuration, and what no output depends on.

An output keeps the configuration that it was made with. A later raudeep has more fields. Each of
them has, for what is older, the value that says what was done before the field was there.
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
"""By section of a configuration: each field that came later, and its value before.

That value is the field's default, and as JSON gives it back. The sections are those of `settled`.
"""

LIMITS: Mapping[str, frozenset[str]] = {
    "training": frozenset({"in_memory_gb", "shuffle_buffer_gb", "checkpoints_to_keep"}),
}
"""By section: what a run may take or leave behind. It does not say what is made."""

PLANNED: Mapping[str, str] = {"frames": "manifest", "log-mel": "manifest"}
"""By stage: an input that older outputs name, of which a table's plan says all there is to say."""


def settled(config: Any, section: str = "") -> Any:
    """Return a configuration without limits, and without later fields that say what was before.

    Two configurations that are equal so make the same.

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
