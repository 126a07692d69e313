"""Which recordings a stage uses, and how many of them may fail."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from raudeep.config.fields import check, settle
from raudeep.errors import ConfigError

__all__ = ["Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Which recordings a stage uses, and how many of them may fail."""

    max_duration: float | None = None
    """Longest recording to use, in seconds; longer ones are errors."""
    max_errors: int | str | None = None
    """Stop if more recordings than this fail: a number, or a share such as 1%."""
    retry_errors: bool = False
    """Try failed recordings again; parts that contain one are recomputed."""

    def __post_init__(self) -> None:
        settle(self)
        longest = self.max_duration
        check(self, "max_duration", longest is None or longest > 0, "greater than 0 or None")
        self.allowed_errors(1)

    def allowed_errors(self, num_recordings: int) -> int | None:
        """Return how many of `num_recordings` may fail; None for any number."""
        if self.max_errors is None:
            return None
        given = str(self.max_errors).strip()
        number = given.removesuffix("%")
        is_share = number != given
        try:
            value = Decimal(number) if is_share else Decimal(int(number))
        except (ValueError, InvalidOperation):
            value = Decimal(-1)
        if not value.is_finite() or value < 0 or (is_share and value > 100):
            raise ConfigError(
                "The 'max_errors' parameter of Limits must be a whole number, or a share from 0% "
                f"to 100%. Got {self.max_errors!r}."
            )
        return int(value * num_recordings / 100) if is_share else int(value)
