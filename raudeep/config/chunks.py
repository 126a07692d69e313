"""How recordings are read to be embedded: in which chunks, which channels, at which rate."""

from dataclasses import dataclass

from raudeep.config.fields import check, settle
from raudeep.config.spectrogram import Channels
from raudeep.errors import ConfigError

__all__ = ["ChunkConfig"]


@dataclass(frozen=True, kw_only=True)
class ChunkConfig:
    """How recordings are read to be embedded: in which chunks, which channels, at which rate."""

    chunk_seconds: float | None = None
    """Embed chunks of this length, read one after the other; None embeds whole recordings."""
    chunk_hop_seconds: float | None = None
    """From the start of one chunk to that of the next; chunk_seconds if not given."""
    channels: Channels | None = None
    """Which mix of the channels is embedded; the model's own if not given."""
    sample_rate: int | None = None
    """Resample to this rate in Hz before, such as that of what a model was trained on."""
    salvage: bool = False
    """Embed what can be read of recordings that are cut off or damaged; the errors name them."""

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
        """From the start of one chunk to that of the next; None for whole recordings."""
        return self.chunk_hop_seconds or self.chunk_seconds
