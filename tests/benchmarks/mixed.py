"""Two autoencoders trained side by side on recordings of about 7 s, and with one of a minute."""

import multiprocessing
from collections.abc import Iterator

import torch

from raudeep.config import AutoencoderConfig, TrainingConfig
from raudeep.models.autoencoder import TimeAutoencoder
from raudeep.models.batching import Spectrograms
from raudeep.models.fitting import Fit

RECORDINGS, BANDS = 457, 64
SHORTEST, LONGEST = 325, 355  # frames of 20 ms
MINUTE = 3000
EPOCHS = 4
CONFIG = AutoencoderConfig(num_layers=2, num_units=128, bidirectional_decoder=True)
KINDS = ("one length", "mixed lengths", "mixed lengths and one of a minute")


def bench_mixed() -> dict[str, str]:
    return dict(_facts())


def _facts() -> Iterator[tuple[str, str]]:
    context = multiprocessing.get_context("spawn")
    for kind in KINDS:
        with context.Pool(2) as pool:
            epochs = pool.map(_train, [kind] * 2, chunksize=1)
        chunks = sum(max(rates) for rates in epochs)
        frames = int(_lengths(kind).sum()) / RECORDINGS * chunks
        yield f"{kind}: chunks, frames per second", f"{chunks:.0f} {frames:.0f}"


def _train(kind: str) -> list[float]:
    """Return the chunks per second of each epoch."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lengths = _lengths(kind)
    spectrograms = Spectrograms(torch.rand(int(lengths.sum()), BANDS) * 2 - 1, lengths)
    fit = Fit(TimeAutoencoder(BANDS, CONFIG), TrainingConfig(batch_size=64))
    return [fit.run_epoch(epoch, spectrograms).chunks_per_second for epoch in range(1, EPOCHS + 1)]


def _lengths(kind: str) -> torch.Tensor:
    if kind == KINDS[0]:
        return torch.full((RECORDINGS,), (SHORTEST + LONGEST) // 2)
    random = torch.Generator().manual_seed(0)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (RECORDINGS,), generator=random)
    if kind == KINDS[2]:
        lengths[100] = MINUTE
    return lengths
