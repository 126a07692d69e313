"""The values that a searched field may have: choices, or a range."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Domain", "Value"]

Value = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Domain:
    """Choices, or the range from `low` to `high`, both included."""

    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    """Draw the logarithm evenly instead of the value."""
    steps: int | None = None
    """Only so many evenly spaced values of the range, its ends among them."""
    integer: bool = False

    @property
    def ends(self) -> tuple[Value, Value]:
        """The first and the last value of a range."""
        return self._settled(self.low), self._settled(self.high)

    def values(self) -> Sequence[Value] | None:
        """Return all values; None where there is no end of them."""
        if self.choices:
            return self.choices
        if self.steps is not None:
            # To the digits that one would write: a condition may name 0.3, not 0.30000000000000004.
            spaced = (
                float(f"{self._between(step / (self.steps - 1)):.12g}")
                for step in range(self.steps)
            )
            return tuple(dict.fromkeys(map(self._settled, spaced)))
        if self.integer:
            return range(int(self.low), int(self.high) + 1)
        return None

    def holds(self, value: Value) -> bool:
        """Return whether `value` is one of the values."""
        if (values := self.values()) is not None:
            return value in values
        return isinstance(value, int | float) and self.low <= value <= self.high

    def at(self, share: float) -> Value:
        """Return the value at a share in [0, 1) of the way, on the domain's scale."""
        if self.integer and self.log and self.steps is None:
            # Every integer gets the share of its distance, in logarithms, to the next.
            drawn = self.low * ((self.high + 1) / self.low) ** share
            return min(int(self.high), int(drawn))
        if (values := self.values()) is not None:
            return values[int(share * len(values))]
        return self._settled(self._between(share))

    def to_dict(self) -> dict[str, Any]:
        """Return the domain as a search space writes it."""
        if self.choices:
            return {"choices": list(self.choices)}
        found: dict[str, Any] = dict(zip(("low", "high"), self.ends, strict=True))
        if self.log:
            found["log"] = True
        return found if self.steps is None else found | {"steps": self.steps}

    def _between(self, share: float) -> float:
        if share in (0, 1):  # the ends are what was written, not what rounding makes of them
            return self.high if share else self.low
        if self.log:
            return math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        return self.low + share * (self.high - self.low)

    def _settled(self, value: float) -> Value:
        return round(value) if self.integer else float(value)
