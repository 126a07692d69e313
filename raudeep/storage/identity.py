"""What an output is made from: the test of whether what is there is what is wanted."""

import json
import re
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from raudeep.config import fingerprint, settled
from raudeep.config.history import PLANNED
from raudeep.schema import SCHEMA_VERSION

__all__ = ["LABELS_INPUT", "Identity", "package_versions"]

LABELS_INPUT = "labels"
"""Names the labels of an input among the inputs of what depends on them."""

_FINGERPRINT = re.compile("[0-9a-f]{16}")
_NAMED = 3  # differences that a message names


@dataclass(frozen=True, eq=False)
class Identity:
    """Stage, configuration and inputs of an output: equal identities hold equal content.

    They are compared without what does not tell their content: see `raudeep.config.settled`.
    """

    stage: str
    config: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)
    """Name of each input and the fingerprint of its identity."""

    def __post_init__(self) -> None:
        # As JSON would give it back: an identity from storage compares equal to a new one.
        object.__setattr__(self, "config", json.loads(json.dumps(self.config)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self._compared() == other._compared()

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that stand for this identity, as it was written down.

        An equal identity of another version of raudeep may have others: who finds an equal one on
        storage goes on with that one.
        """
        return fingerprint(SCHEMA_VERSION, self.stage, self.config, self.inputs)

    def differs_in_labels(self, other: "Identity") -> bool:
        """Return whether the labels of an input are all that is another one."""

        def without(identity: Identity) -> Identity:
            inputs = {n: value for n, value in identity.inputs.items() if n != LABELS_INPUT}
            return replace(identity, inputs=inputs)

        return self != other and without(self) == without(other)

    def _compared(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "config": settled(self.config, self.stage),
            "inputs": {
                name: value
                for name, value in self.inputs.items()
                if name != PLANNED.get(self.stage)
            },
        }

    def conflict(self, wanted: "Identity", *, place: str) -> str:
        """Return the message for a place that holds this identity where `wanted` is to be made."""
        return (
            f"{place} was made with another configuration: {self._difference(wanted)}. "
            "Choose another output, or pass --overwrite to replace it."
        )

    def _difference(self, wanted: "Identity") -> str:
        before, after = _flatten(self._compared()), _flatten(wanted._compared())
        found = [
            _changed(name, before.get(name), after.get(name))
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
        ]
        return ", ".join(found[:_NAMED]) or "its fields are the same in another form"


def package_versions() -> dict[str, str]:
    """Return the versions of raudeep and of what its numbers depend on."""
    found = {}
    for name in ("raudeep", "numpy", "pyarrow", "ray", "scipy", "soundfile", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from an uploaded folder, not installed
            found[name] = "unknown"
    return found


def _changed(name: str, before: Any, after: Any) -> str:
    section, _, source = name.partition(".")
    name = f"input {source!r}" if section == "inputs" else name
    if all(_FINGERPRINT.fullmatch(str(value)) for value in (before, after)):
        return f"{name} is another one now"  # what they are tells a reader nothing
    return f"{name} is {before!r} there and {after!r} now"


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(_flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat
