"""The core of every autoencoder: encode a sequence into a vector, decode it backwards from there.

What a step of the sequence is (a frame, a window over the bands of a frame) is the business of
`raudeep.models.autoencoder`. Shapes: B sequences, N the sum of their lengths, F values of a step,
S size of the representation.
"""

from typing import Any

import torch
from torch import Tensor, nn

from raudeep.config import AutoencoderConfig
from raudeep.models.packing import Packing
from raudeep.models.recurrent import RecurrentStack

__all__ = ["SequenceAutoencoder"]


class SequenceAutoencoder(nn.Module):
    """Encode sequences step by step, decode them backwards from the final states.

    The final states of all encoder layers, through a linear layer and tanh, are the representation.
    It initialises the decoder's states and has their size. The decoder reconstructs the
    reversed sequence; its input is the expected previous step, or with `feed_previous_prob` at
    times its own output.

    Parameters
    ----------
    size : int
        F.
    config : AutoencoderConfig
        Architecture.

    Notes
    -----
    ``teacher="audeep"`` does what auDeep's uni-directional decoders do: the expected input lags by
    two steps instead of one, its own output by one, and two tanh layers follow one another, of
    which the first is what is fed back. A bidirectional decoder has neither there.

    References
    ----------
    Freitag et al., auDeep, JMLR 18(173), section 2.
    """

    def __init__(self, size: int, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        shared: dict[str, Any] = {
            "num_units": config.num_units,
            "num_layers": config.num_layers,
            "cell": config.cell,
            "dropout": config.dropout,
            "dropout_placement": config.dropout_placement,
            "initialisation": config.initialisation,
        }
        self.encoder = RecurrentStack(size, bidirectional=config.bidirectional_encoder, **shared)
        self.decoder = RecurrentStack(size, bidirectional=config.bidirectional_decoder, **shared)
        self.representation = nn.Linear(self.encoder.state_size, self.decoder.state_size)
        self.output = nn.Linear(self.decoder.output_size, size)
        self._lags_twice = config.teacher == "audeep" and not config.bidirectional_decoder
        self.second_output = nn.Linear(size, size) if self._lags_twice else None
        if config.initialisation != "pytorch":
            for linear in (self.representation, self.output, self.second_output):
                if linear is not None:
                    nn.init.xavier_uniform_(linear.weight)
                    limit = (3 / linear.out_features) ** 0.5  # TensorFlow draws biases likewise
                    nn.init.uniform_(linear.bias, -limit, limit)

    @property
    def representation_size(self) -> int:
        """Size S of the representation."""
        return self.decoder.state_size

    def encode(self, sequences: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
        """Return the representation (B, S) and the encoder's top-layer outputs (N, H).

        Parameters
        ----------
        sequences : Tensor, shape (N, F)
            Values in [-1, 1], packed by `packing`.
        packing : Packing
            The lengths of the sequences.
        """
        if self.training and self.config.encoder_noise > 0:
            # A whole step of one instance is dropped, without scaling up the others.
            noise = torch.rand(len(sequences), 1, device=sequences.device)
            sequences = sequences * (noise >= self.config.encoder_noise)
        outputs, states = self.encoder(sequences, packing)
        return torch.tanh(self.representation(states)), outputs

    def decode(
        self,
        representation: Tensor,
        sequences: Tensor,
        packing: Packing,
        *,
        free_running: bool = False,
    ) -> Tensor:
        """Return the reconstruction of `sequences`, in the same order and shape (N, F).

        The decoder is fed the expected steps of `sequences`; in training, own outputs as often as
        the configuration says; with `free_running` only own outputs, so that nothing but the
        representation and the number of steps is known to it.
        """
        previous = packing.delay(packing.reverse(sequences), 2 if self._lags_twice else 1)
        own = 1.0 if free_running else self.config.feed_previous_prob if self.training else 0.0
        if own > 0:
            decoded = self._decode_with_own_outputs(previous, packing, representation, own)
        else:
            hidden, _ = self.decoder(previous, packing, representation)
            decoded = self._second(torch.tanh(self.output(hidden)))
        return packing.reverse(decoded)

    def _second(self, outputs: Tensor) -> Tensor:
        if self.second_output is None:
            return outputs
        return torch.tanh(self.second_output(outputs))

    def _decode_with_own_outputs(
        self, previous: Tensor, packing: Packing, state: Tensor, probability: float
    ) -> Tensor:
        """Decode step by step, replacing a share of the expected previous steps by own outputs."""
        own = torch.rand(len(previous), 1, device=previous.device) < probability
        state = packing.sort(state)
        outputs: list[Tensor] = []
        active = packing.active.tolist()
        for step, drawn in zip(
            torch.split(previous, active), torch.split(own, active), strict=True
        ):
            if outputs:
                step = torch.where(drawn, outputs[-1][: len(step)].to(step), step)
            hidden, state = self.decoder(step, Packing((1, len(step))), state[: len(step)])
            outputs.append(torch.tanh(self.output(hidden)))
        return self._second(torch.cat(outputs))
