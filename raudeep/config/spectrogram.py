"""How audio becomes spectrograms."""

from dataclasses import dataclass
from typing import Literal

from raudeep.config.fields import check, settle
from raudeep.errors import ConfigError

__all__ = ["Channels", "SpectrogramConfig"]

Channels = Literal["mean", "left", "right", "difference"]
"""Mixes of the channels of a recording."""


@dataclass(frozen=True, kw_only=True)
class SpectrogramConfig:
    """How audio becomes spectrograms: one view of a corpus."""

    window_seconds: float = 0.04
    """Length of the analysis window in seconds, cut to whole samples."""
    overlap_seconds: float = 0.02
    """Overlap of neighbouring windows in seconds, cut to whole samples."""
    n_mels: int | None = None
    """Number of mel bands. None: the linear spectrum."""
    mel: Literal["audeep", "exact"] = "audeep"
    """Edges of the mel bands: rounded down to FFT bins (auDeep), or exact."""
    channels: Channels = "mean"
    """Mix of the channels; mono recordings are used as they are."""
    pre_emphasis: float | None = 0.95
    """Coefficient c of y[n] = x[n] - c x[n-1]. None: off."""
    fixed_seconds: float | None = None
    """Cut every recording to this length, or pad it with zeros. None: as long as it is."""
    center: bool = False
    """With fixed_seconds: cut and pad on both sides, not only at the end."""
    clip_below_db: float | None = None
    """Clipping floor in dB: quieter values are set to it. 0 dB is the recording's maximum."""
    clip_above_db: float | None = None
    """Clipping ceiling in dB: louder values are set to it."""
    chunk_seconds: float | None = None
    """Cut each recording into chunks of this length; needs chunk_count."""
    chunk_count: int | None = None
    """Chunks of each recording. The rest is not used; too short recordings are errors."""
    normalise: bool = True
    """Scale each chunk to [-1, 1]; otherwise values stay decibels."""
    sample_rate: int | None = None
    """Resample to this rate in Hz. None: each recording's own rate."""

    def __post_init__(self) -> None:
        settle(self)
        check(self, "window_seconds", self.window_seconds > 0, "greater than 0")
        check(
            self,
            "overlap_seconds",
            0 <= self.overlap_seconds < self.window_seconds,
            f"in the range [0, window_seconds={self.window_seconds})",
        )
        check(self, "n_mels", self.n_mels is None or self.n_mels >= 1, "at least 1 or None")
        check(
            self,
            "pre_emphasis",
            self.pre_emphasis is None or 0 < self.pre_emphasis <= 1,
            "in the range (0, 1] or None",
        )
        for name in ("fixed_seconds", "chunk_seconds", "chunk_count", "sample_rate"):
            value = getattr(self, name)
            check(self, name, value is None or value > 0, "greater than 0 or None")
        # What would fail for every recording is refused before the first.
        fixed, rate = self.fixed_seconds, self.sample_rate
        check(
            self,
            "fixed_seconds",
            fixed is None or fixed >= self.window_seconds,
            f"at least window_seconds = {self.window_seconds:g}",
        )
        check(
            self,
            "sample_rate",
            rate is None
            or int(self.window_seconds * rate) >= max(2, int(self.overlap_seconds * rate) + 1),
            f"high enough for windows of {self.window_seconds:g} s with an overlap of "
            f"{self.overlap_seconds:g} s",
        )
        floor, ceiling = self.clip_below_db, self.clip_above_db
        check(self, "clip_below_db", floor is None or floor < 0, "less than 0 or None")
        check(
            self,
            "clip_above_db",
            ceiling is None or (ceiling <= 0 and (floor is None or ceiling > floor)),
            "at most 0 and above clip_below_db, or None",
        )
        if (self.chunk_seconds is None) != (self.chunk_count is None):
            raise ConfigError(
                "'chunk_seconds' and 'chunk_count' of SpectrogramConfig go together. "
                f"Got chunk_seconds={self.chunk_seconds!r}, chunk_count={self.chunk_count!r}."
            )
        hop = round(self.window_seconds - self.overlap_seconds, 9)
        check(
            self,
            "chunk_seconds",
            self.chunk_seconds is None or self.chunk_seconds >= hop,
            f"at least window_seconds - overlap_seconds = {hop:g}",
        )
