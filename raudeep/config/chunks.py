"""How `embed` reads recordings: chunks, channels, sample rate."""

from dataclasses import dataclass

from raudeep.config.fields import check, settle
from raudeep.config.spectrogram import Channels
from raudeep.errors import ConfigError

__all__ = ["ChunkConfig"]


@dataclass(frozen=True, kw_only=True)
class ChunkConfig:
    """How `embed` reads recordings: chunks, channels, sample rate."""

    chunk_seconds: float | None = None
    """Make a row for each chunk of this length. None: a row for each recording."""
    chunk_hop_seconds: float | None = None
    """Seconds from the start of a chunk to the start of the next. None: chunk_seconds."""
    channels: Channels | None = None
    """Mix of the channels. None: as in the training of the model."""
    sample_rate: int | None = None
    """Resample to this rate in Hz, for example the rate of the training. None: do not."""
    salvage: bool = False
    """Use the readable start of recordings that are cut off or damaged."""

    def __post_init__(self) -> None:
        settle(self)
        for name in ("chunk_seconds", "chunk_hop_seconds", "sample_rate"):
            value = getattr(self, name)
            check(self, name, value is None or value > 0, "greater than 0 or None")
        if self.chunk_seconds is None and self.chunk_hop_seconds is not None:
            raise ConfigError(
                "'chunk_hop_seconds' of ChunkConfig needs chunk_seconds. "
                f"Got chunk_hop_seconds={self.chunk_hop_seconds!r}."
            )

    @property
    def hop_seconds(self) -> float | None:
        """Seconds between the starts of two chunks; None for whole recordings."""
        return self.chunk_hop_seconds or self.chunk_seconds
