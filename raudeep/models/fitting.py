"""The training loop of an autoencoder: spectrograms in, a trained model out.

It knows nothing of Ray, files or progress. Data-parallel workers call it alike: each computes its
share of every global batch, and all arrive at the same weights.
"""

import time
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from raudeep.config import TrainingConfig
from raudeep.models.autoencoder import Autoencoder, reconstruction_error
from raudeep.models.batching import Batch, Shard, SpectrogramSource, generator, mix_seed
from raudeep.models.memory import kept_memory

__all__ = ["EpochResult", "Fit", "bfloat16_is_faster", "split_by_recording"]


@dataclass(frozen=True)
class EpochResult:
    """One pass over the data; losses are RMSE, means over the steps."""

    epoch: int
    loss: float
    validation_loss: float | None
    seconds: float
    chunks_per_second: float


class Fit:
    """An autoencoder in training: Adam on the RMSE, gradients clipped by value.

    Everything random of an epoch follows from the seed and the epoch's number, so that training
    resumed after an epoch equals training that was never interrupted.

    Parameters
    ----------
    model : Autoencoder
        On the device to train on.
    config : TrainingConfig
        Batch size, learning rate, clipping, precision and seed.
    """

    def __init__(self, model: Autoencoder, config: TrainingConfig) -> None:
        self.model = model
        self.config = config
        self.device = next(model.parameters()).device
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self._shard = Shard(
            rank=torch.distributed.get_rank() if distributed else 0,
            world_size=torch.distributed.get_world_size() if distributed else 1,
            device=self.device,
        )
        self._network: nn.Module = DistributedDataParallel(model) if self._is_shared else model
        self._optimizer = torch.optim.Adam(
            model.parameters(), lr=config.learning_rate, fused=self.device.type in ("cpu", "cuda")
        )
        self._bfloat16 = config.precision == "bfloat16" or (
            config.precision == "auto" and bfloat16_is_faster(self.device)
        )

    @property
    def rank(self) -> int:
        """Which of the data-parallel workers this one is."""
        return self._shard.rank

    def agreed(self, choice: bool) -> bool:
        """Return on all data-parallel workers what the one of rank 0 chose."""
        if not self._is_shared:
            return choice
        chosen = torch.tensor(int(choice), device=self.device)
        torch.distributed.broadcast(chosen, src=0)
        return bool(chosen)

    @property
    def _is_shared(self) -> bool:
        return self._shard.world_size > 1

    def run_epoch(
        self,
        epoch: int,
        spectrograms: SpectrogramSource,
        validation: SpectrogramSource | None = None,
    ) -> EpochResult:
        """Train on as many spectrograms as there are, in full batches, and return the losses.

        Parameters
        ----------
        epoch : int
            From 1; seeds the order and the dropout.
        spectrograms : SpectrogramSource
            Values in [-1, 1].
        validation : SpectrogramSource, optional
            What the validation loss is computed on.
        """
        started = time.perf_counter()
        torch.manual_seed(mix_seed(self.config.seed, epoch, self.rank))
        self.model.train()
        config = self.config
        losses, num_rows = [], 0
        batches = spectrograms.shuffled(epoch, config.batch_size, config.seed, self._shard)
        with kept_memory():
            for batch in batches:
                losses.append(self._step(batch))
                num_rows += batch.num_rows
        loss = float(torch.stack(losses).mean())
        seconds = time.perf_counter() - started
        return EpochResult(
            epoch=epoch,
            loss=loss,
            validation_loss=None if validation is None else self.validate(validation),
            seconds=seconds,
            chunks_per_second=num_rows / seconds,
        )

    def weights(self) -> dict[str, Tensor]:
        """Return the model's weights by name; they change as training goes on."""
        return self.model.state_dict()

    def optimizer_state(self) -> dict[str, Tensor]:
        """Return Adam's moments and step counts, by name of the weight and of what it is."""
        state = self._optimizer.state
        names = self.model.named_parameters()
        return {f"{name}.{key}": value for name, p in names for key, value in state[p].items()}

    def restore(self, weights: dict[str, Tensor], optimizer_state: dict[str, Tensor]) -> None:
        """Continue from what `weights` and `optimizer_state` returned."""
        self.model.load_state_dict(weights)
        moments: dict[str, dict[str, Tensor]] = {}
        for name, value in optimizer_state.items():
            weight, _, key = name.rpartition(".")
            moments.setdefault(weight, {})[key] = value
        names = [name for name, _ in self.model.named_parameters()]
        state = {index: moments[name] for index, name in enumerate(names) if name in moments}
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _step(self, batch: Batch) -> Tensor:
        """Update the weights on one global batch and return its RMSE, shape ()."""
        error = self._error(self._network, batch)
        # The workers' gradients are averaged; scaled like this they add up to the global mean's.
        cells = batch.num_frames * error[0, 0].numel()
        mean_square = error.sum() * (batch.weight * self._shard.world_size / cells)
        overall = mean_square.detach()
        if self._is_shared:
            overall = overall.clone()
            torch.distributed.all_reduce(overall)
            overall /= self._shard.world_size
        rmse = overall.sqrt()
        self._optimizer.zero_grad()
        # d sqrt(m) = dm / (2 sqrt(m)); each worker computes its part of dm.
        (mean_square / (2 * rmse).clamp_min(1e-12)).backward()  # type: ignore[no-untyped-call]
        if self.config.gradient_clip is not None:
            nn.utils.clip_grad_value_(self.model.parameters(), self.config.gradient_clip)
        self._optimizer.step()
        return rmse

    def _error(self, network: nn.Module, batch: Batch) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            reconstruction, target = network(batch.values, batch.lengths)
        mask_silence = self.model.config.mask_silence
        return reconstruction_error(
            reconstruction, target, batch.lengths, mask_silence=mask_silence
        )

    @torch.inference_mode()
    def validate(self, spectrograms: SpectrogramSource) -> float:
        """Return the RMSE over all cells, of which each worker computes its part."""
        self.model.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        for batch in spectrograms.ordered(self.config.batch_size, self._shard):
            error = self._error(self.model, batch)
            sums[0] += error.sum()
            sums[1] += batch.num_frames * error[0, 0].numel()
        if self._is_shared:
            torch.distributed.all_reduce(sums)
        return float((sums[0] / sums[1]).sqrt())


def bfloat16_is_faster(device: torch.device) -> bool:
    """Return whether `device` multiplies matrices in bfloat16 faster than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def split_by_recording(
    files: list[str], *, fraction: float | None, seed: int
) -> tuple[Tensor, Tensor]:
    """Return row indices for training and validation; chunks of a recording stay together."""
    if fraction is None:
        return torch.arange(len(files)), torch.empty(0, dtype=torch.int64)
    recordings = sorted(set(files))
    order = torch.randperm(len(recordings), generator=generator(seed))
    # At least one on either side; a single recording is trained on.
    count = min(len(recordings) - 1, max(1, round(fraction * len(recordings))))
    held_out = {recordings[i] for i in order[:count]}
    held = torch.tensor([file in held_out for file in files])
    return (~held).nonzero().flatten(), held.nonzero().flatten()
