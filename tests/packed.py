"""Recurrent stacks and sequence autoencoders on padded sequences (T, B, F)."""

from raudeep.models.packing import Packing


def run_stack(stack, inputs, state=None, lengths=None):
    """Return outputs (T, B, H) and the final states of a `RecurrentStack`."""
    packing = Packing(inputs.shape, lengths)
    outputs, final = stack(packing.pack(inputs), packing, state)
    return packing.unpack(outputs), final


def encode(core, sequences, lengths=None):
    """Return the representation (B, S) and outputs (T, B, H) of a `SequenceAutoencoder`."""
    packing = Packing(sequences.shape, lengths)
    state, outputs = core.encode(packing.pack(sequences), packing)
    return state, packing.unpack(outputs)


def decode(core, state, sequences, lengths=None, **settings):
    """Return the reconstruction (T, B, F) of a `SequenceAutoencoder`."""
    packing = Packing(sequences.shape, lengths)
    return packing.unpack(core.decode(state, packing.pack(sequences), packing, **settings))
