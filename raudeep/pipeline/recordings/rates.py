"""Warnings of sample rates: bands reach up to half of them, so where they differ, bands do, too."""

import logging
from collections.abc import Iterable

__all__ = ["warn_of_mixed_rates", "warn_of_other_rates"]

logger = logging.getLogger(__name__)


def warn_of_mixed_rates(found: Iterable[Iterable[int]]) -> None:
    """Warn of tables with spectrograms of several sample rates, once for tables that are alike."""
    for rates in {tuple(rates) for rates in found}:
        if len(rates) > 1:
            logger.warning(
                "Spectrograms of recordings at %s are mixed, and their bands are not the same "
                "frequencies. Set sample_rate, to which all are resampled.",
                _listed(rates),
            )


def warn_of_other_rates(found: Iterable[int], trained_at: Iterable[tuple[int, ...]]) -> None:
    """Warn of recordings at rates that none of those had which a model was trained on.

    Nothing is said of models that do not know theirs. Of those that resample, `found` is that rate.
    """
    for known in set(trained_at):
        if known and (other := set(found) - set(known)):
            logger.warning(
                "Recordings at %s are embedded by a model that was trained at %s, whose bands are "
                "other frequencies there. `embed` and `search` with --sample-rate %d resample "
                "them.",
                *(_listed(other), _listed(known), max(known)),
            )


def _listed(rates: Iterable[int]) -> str:
    """Return ``8000, 16000 and 44100 Hz``."""
    *others, last = map(str, sorted(rates))
    return f"{', '.join(others)} and {last} Hz" if others else f"{last} Hz"
