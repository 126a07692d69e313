"""The time-recurrent sequence-to-sequence autoencoder (auDeep's t-rae).

Shapes: B batch, T frames, F mel bands, S state size, E embedding size.
"""

from typing import Any

import torch
from torch import Tensor, nn

from raudeep.config import AutoencoderConfig, Readout
from raudeep.models.recurrent import RecurrentStack

__all__ = ["TimeAutoencoder", "reconstruction_error"]


class TimeAutoencoder(nn.Module):
    """Encode a spectrogram frame by frame, decode it backwards from the final states.

    The final states of all encoder layers, through a linear layer and tanh, are the representation.
    Its size is that of the decoder's states, which it initialises. The decoder reconstructs the
    reversed spectrogram; its input is the expected previous frame, or with `feed_previous_prob` at
    times its own output.

    Parameters
    ----------
    bands : int
        F.
    config : AutoencoderConfig
        Architecture.

    References
    ----------
    Freitag et al., auDeep, JMLR 18(173), section 2.
    """

    def __init__(self, bands: int, config: AutoencoderConfig) -> None:
        super().__init__()
        self.bands = bands
        self.config = config
        shared: dict[str, Any] = {
            "num_units": config.num_units,
            "num_layers": config.num_layers,
            "cell": config.cell,
            "dropout": config.dropout,
            "dropout_placement": config.dropout_placement,
            "initialisation": config.initialisation,
        }
        self.encoder = RecurrentStack(bands, bidirectional=config.bidirectional_encoder, **shared)
        self.decoder = RecurrentStack(bands, bidirectional=config.bidirectional_decoder, **shared)
        self.representation = nn.Linear(self.encoder.state_size, self.decoder.state_size)
        self.output = nn.Linear(self.decoder.output_size, bands)
        if config.initialisation == "glorot":
            for linear in (self.representation, self.output):
                nn.init.xavier_uniform_(linear.weight)
                limit = (3 / linear.out_features) ** 0.5  # TensorFlow draws biases likewise
                nn.init.uniform_(linear.bias, -limit, limit)

    def embedding_size(self, readout: Readout) -> int:
        """Return E: the decoder's state size, or twice the encoder's output size when pooled."""
        return self.decoder.state_size if readout == "state" else 2 * self.encoder.output_size

    def encode(self, spectrograms: Tensor) -> tuple[Tensor, Tensor]:
        """Return the representation (B, S) and the encoder's top-layer outputs (T, B, H).

        Parameters
        ----------
        spectrograms : Tensor, shape (B, T, F)
            Values in [-1, 1].
        """
        frames = spectrograms.transpose(0, 1)
        if self.training and self.config.encoder_noise > 0:
            # A whole frame of one instance is dropped, without scaling up the others.
            noise = torch.rand(frames.shape[:2], device=frames.device)
            frames = frames * (noise >= self.config.encoder_noise).unsqueeze(-1)
        outputs, states = self.encoder(frames)
        return torch.tanh(self.representation(states)), outputs

    def embed(self, spectrograms: Tensor, readouts: tuple[Readout, ...]) -> dict[Readout, Tensor]:
        """Return an embedding (B, E) for each readout.

        ``state`` is the representation; ``pooled`` the mean and the standard deviation over time of
        the encoder's top-layer outputs.
        """
        state, outputs = self.encode(spectrograms)
        embeddings: dict[Readout, Tensor] = {}
        for readout in readouts:
            if readout == "state":
                embeddings[readout] = state
            else:
                mean, std = outputs.mean(0), outputs.std(0, correction=0)
                embeddings[readout] = torch.cat([mean, std], dim=-1)
        return embeddings

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return the reconstruction of `spectrograms`, in the same order and shape (B, T, F)."""
        state, _ = self.encode(spectrograms)
        targets = spectrograms.transpose(0, 1).flip(0)
        # The expected previous frame; nothing precedes the first.
        previous = torch.cat([torch.zeros_like(targets[:1]), targets[:-1]])
        if self.training and self.config.feed_previous_prob > 0:
            decoded = self._decode_with_own_outputs(previous, state)
        else:
            decoded = self._outputs(self.decoder(previous, state)[0])
        return decoded.flip(0).transpose(0, 1)

    def _outputs(self, hidden: Tensor) -> Tensor:
        return torch.tanh(self.output(hidden))

    def _decode_with_own_outputs(self, previous: Tensor, state: Tensor) -> Tensor:
        """Decode step by step, replacing a share of the expected previous frames by own outputs."""
        own = torch.rand(previous.shape[:2], device=previous.device)
        own = own < self.config.feed_previous_prob
        decoded: list[Tensor] = []
        for step, expected in enumerate(previous):
            frame = expected
            if decoded:
                frame = torch.where(own[step].unsqueeze(-1), decoded[-1].to(expected), expected)
            hidden, state = self.decoder(frame.unsqueeze(0), state)
            decoded.append(self._outputs(hidden[0]))
        return torch.stack(decoded)


def reconstruction_error(
    reconstruction: Tensor, spectrograms: Tensor, *, mask_silence: bool = False
) -> Tensor:
    """Return the squared error of each value, shape (B, T, F), in float32.

    With `mask_silence`, values whose target is exactly -1 (below the clipping floor) cost nothing.
    The loss is the square root of the mean over the whole batch.
    """
    error = (reconstruction.float() - spectrograms).square()
    if mask_silence:
        error = error * (spectrograms != -1.0)
    return error
