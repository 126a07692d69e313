"""An autoencoder of another package, in one file: convolutions over time in place of recurrence."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from raudeep import ArchitectureConfig, Autoencoder
from raudeep.config.fields import check
from raudeep.models.autoencoder import frame_mask


@dataclass(frozen=True, kw_only=True)
class ConvolutionalConfig(ArchitectureConfig):
    """Architecture of a convolutional autoencoder."""

    kind: ClassVar[str] = "convolutional"
    implementation: ClassVar[str] = "convolutional:Convolutional"

    num_channels: int = 16
    """Values that stand for a frame and its neighbours."""
    kernel_frames: int = 5
    """Frames that one value sees, an odd number."""

    def __post_init__(self):
        super().__post_init__()
        check(self, "num_channels", self.num_channels >= 1, "at least 1")
        check(self, "kernel_frames", self.kernel_frames % 2 == 1, "odd")


class Convolutional(Autoencoder):
    """One convolution down to a few channels, one back; the state is the maximum over time."""

    def __init__(self, bands, config):
        super().__init__(bands, config)
        size = {"kernel_size": config.kernel_frames, "padding": config.kernel_frames // 2}
        self.encoder = nn.Sequential(nn.Conv1d(bands, config.num_channels, **size), nn.Tanh())
        self.decoder = nn.Sequential(nn.Conv1d(config.num_channels, bands, **size), nn.Tanh())

    @property
    def representation_size(self):
        return self.config.num_channels

    @property
    def frame_size(self):
        return self.config.num_channels

    def encode(self, spectrograms, lengths=None):
        channels = self.encoder(spectrograms.transpose(1, 2))  # (B, C, T)
        frames = channels.permute(2, 0, 1)
        if lengths is not None:
            is_frame = frame_mask(lengths, len(frames)).to(channels.device)
            channels = channels.masked_fill(~is_frame.unsqueeze(1), -1)
        return channels.amax(2), frames

    def forward(self, spectrograms, lengths=None, *, free_running=False):
        channels = self.encoder(spectrograms.transpose(1, 2))
        return self.decoder(channels).transpose(1, 2), spectrograms
