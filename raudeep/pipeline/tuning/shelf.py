"""The spectrogram tables of a sweep: one for all trials that have the same configuration."""

from typing import Any

import pyarrow as pa

from raudeep.config import Limits, SpectrogramConfig, fingerprint
from raudeep.manifest import manifest_fingerprint
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.stage import from_ipc, to_ipc
from raudeep.pipeline.tuning.ledger import SweepLayout
from raudeep.storage.index import is_table

__all__ = ["Shelf", "extract_tables", "make_shelf"]


class Shelf:
    """Has the spectrogram tables of a sweep, and makes each that is missing once; an actor."""

    def __init__(self, places: SweepLayout, recordings: bytes, limits: Limits) -> None:
        self._places, self._limits = places, limits
        self._recordings = recordings
        self._fingerprint = manifest_fingerprint(from_ipc(recordings))
        self._made: dict[str, Any] = {}

    async def table(self, config: SpectrogramConfig) -> str:
        """Return the URI of the table of a configuration, as soon as it is there."""
        import ray

        uri = _place(self._places, self._fingerprint, config)
        if uri not in self._made and not is_table(uri):
            # Without a core of its own: what it starts takes those that the trial is yet to use.
            task = ray.remote(num_cpus=0, max_retries=0)(_extract)
            self._made[uri] = task.remote(self._recordings, config, uri, self._limits)
        if (making := self._made.get(uri)) is not None:
            try:
                await making
            except ray.exceptions.RayError:
                if self._made.get(uri) is making:  # the next trial tries again
                    del self._made[uri]
                raise
        return uri


def make_shelf(places: SweepLayout, recordings: pa.Table, limits: Limits) -> Any:
    """Start the actor that has the tables, and return its handle."""
    import ray

    return ray.remote(num_cpus=0)(Shelf).remote(places, to_ipc(recordings), limits)


def extract_tables(
    places: SweepLayout,
    recordings: pa.Table,
    configs: list[SpectrogramConfig],
    limits: Limits,
) -> None:
    """Make the tables of several configurations in one pass over the audio."""
    views = {fingerprint(config): config for config in configs}
    known = manifest_fingerprint(recordings)
    outputs = {name: _place(places, known, config) for name, config in views.items()}
    extract_spectrograms(recordings, views, outputs, limits=limits)


def _place(places: SweepLayout, recordings: str, config: SpectrogramConfig) -> str:
    """Return where the spectrograms lie that trials of a configuration share.

    The name stands for the recordings too: no trial can come to see those of another division.
    """
    return places.spectrograms(fingerprint(recordings, config))


def _extract(recordings: bytes, config: SpectrogramConfig, uri: str, limits: Limits) -> None:
    extract_spectrograms(from_ipc(recordings), {"view": config}, {"view": uri}, limits=limits)
