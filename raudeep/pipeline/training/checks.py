"""Whether runs can be trained, asked before a worker is started."""

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from raudeep.config import TrainingConfig, settled
from raudeep.errors import ConfigError, TableError
from raudeep.models.autoencoder import build_autoencoder
from raudeep.pipeline.artifacts import load_autoencoder, read_history, read_optimizer_state
from raudeep.pipeline.training.run import Run
from raudeep.storage.index import read_index
from raudeep.storage.table import read_table

__all__ = ["check_names", "check_trainable", "warn_of_epochs"]

logger = logging.getLogger(__name__)


def check_names(runs: Sequence[Run]) -> None:
    """Raise `ConfigError` where two runs have one name."""
    for name, times in Counter(run.name for run in runs).items():
        if times > 1:
            raise ConfigError(f"{times} runs have the name {name!r}; each needs its own.")


def check_trainable(run: Run) -> None:
    """Raise `ConfigError` or `TableError` for what the workers of a run could not use."""
    if "/" in run.name:
        raise ConfigError(
            f"the name of a run is that of a folder. Got {run.name!r}; leave out '/'."
        )
    _check_alike(run.spectrograms)
    bands: set[int] = set()
    for uri in run.spectrograms:
        bands.update(read_table(uri, columns=["bands"])["bands"].unique().to_pylist())
    if len(bands) != 1:
        found = ", ".join(map(str, sorted(bands)[:5])) or "no rows"
        raise TableError(
            f"{', '.join(run.spectrograms)}: an autoencoder takes spectrograms of equally many "
            f"bands; found: {found}. Extract with n_mels, or with sample_rate."
        )
    # The architecture is refused here, not by a worker that has to be started first.
    model = build_autoencoder(bands.pop(), run.model)
    if run.continue_from is not None:
        earlier = load_autoencoder(run.continue_from)
        read_history(run.continue_from)
        read_optimizer_state(run.continue_from)
        if earlier.model.config != run.model:
            raise ConfigError(
                f"{run.continue_from} has another architecture: {earlier.model.config}. Leave it "
                "out to continue with the same."
            )
        if earlier.model.bands != model.bands:
            raise TableError(
                f"{run.continue_from} was trained on {earlier.model.bands} bands; "
                f"{', '.join(run.spectrograms)} has {model.bands}."
            )
        _warn_of_other_split(run, earlier.training)


def _warn_of_other_split(run: Run, earlier: TrainingConfig) -> None:
    """Say that recordings are held out on which the earlier training was trained."""
    names = ("validation_fraction", "seed")
    if run.training.validation_fraction is None or all(
        getattr(run.training, name) == getattr(earlier, name) for name in names
    ):
        return
    if earlier.validation_fraction is None:
        advice = "which held out none"
    else:
        fraction, seed = earlier.validation_fraction, earlier.seed
        advice = f"which held out others: validation_fraction={fraction} and seed={seed} do again"
    logger.warning(
        "%s: its validation loss is of recordings that %s was trained on, %s.",
        run.name,
        run.continue_from,
        advice,
    )


def warn_of_epochs(run: Run) -> None:
    """Warn where a finished artifact kept fewer epochs than are asked for now."""
    wanted = run.training.checkpoints_to_keep
    kept = 1 if wanted == 1 else load_autoencoder(run.output).training.checkpoints_to_keep
    if kept is not None and (wanted is None or kept < wanted):
        logger.warning(
            "%s was trained with checkpoints_to_keep=%d, and has no more epochs. Train it in "
            "another place to keep more.",
            run.output,
            kept,
        )


def _check_alike(spectrograms: Sequence[str]) -> None:
    """Refuse tables of several configurations: what the model embeds is to be made as they were."""
    configs = {uri: settled(read_index(uri).config, "spectrograms") for uri in spectrograms}
    for (first, wanted), (uri, config) in pairwise(configs.items()):
        for key in {**wanted, **config}:
            if config.get(key) != wanted.get(key):
                raise TableError(
                    f"an autoencoder takes spectrograms that were made alike. {first} has "
                    f"{key}={wanted.get(key)!r}, {uri} has {key}={config.get(key)!r}."
                )
