"""What a stage over recordings will cost, from a sample of them: before it is paid for."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from raudeep.audio.decode import Header
from raudeep.config import ChunkConfig, Limits, Readout, SpectrogramConfig
from raudeep.errors import AudioError, RaudeepError, ResourceError
from raudeep.pipeline.costs import check_disk
from raudeep.pipeline.recordings.decoding import RecordingRow, Views, load_header, load_views
from raudeep.pipeline.recordings.encoding import EmbeddingCollector
from raudeep.pipeline.recordings.isolation import Crew
from raudeep.pipeline.recordings.rates import warn_of_mixed_rates, warn_of_other_rates
from raudeep.pipeline.recordings.reachable import Places, needed_places
from raudeep.pipeline.recordings.slice_worker import num_decoders
from raudeep.pipeline.recordings.spectrograms import (
    bytes_per_recording,
    spectrograms_identity,
    view_shapes,
)
from raudeep.pipeline.recordings.targets import (
    Embedder,
    embedding_targets,
    input_views,
    load_models,
)
from raudeep.pipeline.runtime.cluster import Resources, find_resources
from raudeep.pipeline.stage import recording_slices
from raudeep.storage.opening import check_tables
from raudeep.storage.recordings import reason_of
from raudeep.storage.writer import TableWriter

__all__ = ["plan_embedding", "plan_spectrograms"]

_SAMPLED = 24  # recordings whose headers are read
_TIMED = 16  # of them that are computed
_TIMED_SECONDS = 60.0  # of audio at most in each of these, where there are such
_TIMED_CHUNKS = 8  # at most of each
_FLOATS_PER_SAMPLE = 10  # frames overlap, and exist windowed, transformed and squared
_DECODER_BYTES = 150 * 2**20
_ENCODER_BYTES = 600 * 2**20


@dataclass(frozen=True)
class _Sample:
    """What some recordings of a corpus are."""

    headers: Mapping[int, Header]
    """By row of the manifest."""
    failed: int
    decoders: int
    """Processes that decode, of a worker with one core."""

    @property
    def rates(self) -> list[int]:
        """Sample rates of them in Hz, each once."""
        return sorted({header.sample_rate for header in self.headers.values()})

    @property
    def longest(self) -> Header:
        """Header of the longest of them."""
        return max(self.headers.values(), key=lambda header: header.duration)


def plan_embedding(
    manifest: pa.Table,
    embedders: Sequence[Embedder],
    *,
    fused: Mapping[Readout, str] | None = None,
    chunks: ChunkConfig | None = None,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Return what `embed_corpus` would do with a corpus, estimated from a sample of it.

    Parameters
    ----------
    manifest : pa.Table
        The recordings.
    embedders : sequence of Embedder
        The models and their outputs.
    fused, chunks, limits, overwrite
        As `embed_corpus` takes them.

    Returns
    -------
    dict
        Recordings, hours, rows, parts, bytes, seconds on this machine or cluster, memory per
        worker.

    Raises
    ------
    ResourceError
        If a recording needs more memory than a worker has, or the output more than the disc.
    AudioError
        If no recording of the sample could be used.
    TableError
        If `embed_corpus` would refuse an output, or a store or drive is away.
    """
    chunks, limits = chunks or ChunkConfig(), limits or Limits()
    trained = load_models(embedders)
    views = input_views(trained, chunks)
    targets = embedding_targets(embedders, trained, fused=fused, chunks=chunks)
    check_tables([target.writer for target in targets.values()], overwrite=overwrite)
    collector = EmbeddingCollector(embedders, targets)

    def compute(pieces: Sequence[Views]) -> None:
        collector.begin(list(targets))
        for piece in pieces:
            collector.add(0, piece)
        collector.flush()

    whole = replace(chunks, salvage=False)  # a sample of what is whole tells enough
    load = partial(load_views, views=views, chunks=whole, max_duration=limits.max_duration)
    sample = _sample(manifest, limits)
    cluster = find_resources()
    memory = _memory(sample, chunks) + _ENCODER_BYTES
    _check_memory(memory, sample.longest, cluster)  # before anything is decoded
    durations = _durations(manifest, sample)
    rows = _count_rows(durations, views, chunks)
    size = sum(
        4 * trained[name].model.embedding_size(readout)
        for target in targets.values()
        for name, readout in target.pieces
    )
    parts = len(recording_slices(manifest, bytes_per_row=size))
    speed = _time(manifest, sample, load, compute, chunks)
    as_they_are = [name for name, view in views.items() if view.sample_rate is None]
    warn_of_other_rates(sample.rates, [trained[name].sample_rates for name in as_they_are])
    return _plan(sample, durations, cluster, speed) | {
        "rows": rows,
        "parts": parts,
        "output_bytes": check_disk(rows * size, next(iter(targets.values())).writer.uri),
        "memory_per_worker_bytes": memory,
    }


def plan_spectrograms(
    manifest: pa.Table,
    views: Mapping[str, SpectrogramConfig],
    output: str,
    *,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Return what `extract_spectrograms` would do with a corpus; see `plan_embedding`."""
    limits = limits or Limits()
    writers = [TableWriter(output, spectrograms_identity(view)) for view in views.values()]
    check_tables(writers, overwrite=overwrite)
    load = partial(load_views, views=dict(views), max_duration=limits.max_duration)
    found: list[int] = []

    def compute(pieces: Sequence[Views]) -> None:
        found[:] = [sum(4 * s.values.size for v in piece.values() for s in v) for piece in pieces]

    sample = _sample(manifest, limits)
    cluster = find_resources()
    _check_memory(_memory(sample, ChunkConfig()), sample.longest, cluster)
    durations = _durations(manifest, sample)
    rows = _count_rows(durations, views, ChunkConfig())
    shapes = view_shapes(views, next(iter(sample.headers.values())))
    parts = len(recording_slices(manifest, bytes_per_row=bytes_per_recording(views, shapes)))
    speed = _time(manifest, sample, load, compute, ChunkConfig())
    if any(view.sample_rate is None for view in views.values()):
        warn_of_mixed_rates([sample.rates])
    size = int(np.mean(found) * manifest.num_rows)
    memory = _memory(sample, ChunkConfig()) + size // max(1, parts)
    _check_memory(memory, sample.longest, cluster)
    return _plan(sample, durations, cluster, speed) | {
        "rows": rows,
        "parts": parts,
        "output_bytes": check_disk(size, output),
        "memory_per_worker_bytes": memory,
    }


def _sample(manifest: pa.Table, limits: Limits) -> _Sample:
    """Read the headers of recordings all over the corpus, and of the largest."""
    spread = np.linspace(0, manifest.num_rows - 1, min(_SAMPLED, manifest.num_rows)).astype(int)
    sizes = manifest["bytes"].fill_null(0)
    largest = np.argsort(sizes.to_numpy())[-3:]
    rows = sorted({*spread.tolist(), *largest.tolist()})
    recordings = manifest.select(["file", "uri"]).take(rows).to_pylist()
    headers: dict[int, Header] = {}
    reasons: list[str] = []
    places = Places(needed_places(manifest))
    reader = Crew(load_header, processes=1)
    for row, recording, pieces in zip(rows, recordings, reader.map(recordings), strict=True):
        try:
            (header,) = pieces
            places.check(recording["uri"], None)
        except (OSError, ValueError, RaudeepError) as error:
            places.check(recording["uri"], error)
            reasons.append(f"{recording['file']!r}: {reason_of(error, recording['uri'])}")
            continue
        if limits.max_duration is None or header.duration <= limits.max_duration:
            headers[row] = header
        else:
            reasons.append(f"{recording['file']!r}: lasts {header.duration:.0f} s")
    reader.close()
    if not headers:
        raise AudioError(f"none of {len(rows)} recordings could be used, e.g. {reasons[0]}")
    decoders = num_decoders(recordings[0]["uri"], 1)
    return _Sample(headers, len(rows) - len(headers), decoders)


def _time(
    manifest: pa.Table,
    sample: _Sample,
    load: Callable[[RecordingRow], Iterator[Any]],
    compute: Callable[[Sequence[Views]], None],
    chunks: ChunkConfig,
) -> float:
    """Return the seconds that a core takes for a second of audio, from a few short recordings.

    Of one that is read in chunks only the first ones are.
    """
    shortest = sorted(sample.headers, key=lambda row: sample.headers[row].duration)
    timed = [row for row in shortest if sample.headers[row].duration <= _TIMED_SECONDS][:_TIMED]
    timed = timed or shortest[:1]
    recordings = manifest.select(["file", "uri"]).take([timed[0], *timed]).to_pylist()
    worker = Crew(partial(_begin, load=load), processes=1)
    loaded: list[Views] = []
    reasons: list[str] = []
    spent = seconds = 0.0
    for number, row in enumerate([timed[0], *timed]):
        started = time.perf_counter()
        try:
            (found,) = map(list, worker.map([recordings[number]]))
        except (OSError, ValueError, RaudeepError) as error:
            recording = recordings[number]
            reasons.append(f"{recording['file']!r}: {reason_of(error, recording['uri'])}")
            continue
        if number:  # the first starts the process
            spent += time.perf_counter() - started
            duration = sample.headers[row].duration
            hop = chunks.hop_seconds or duration
            seconds += min(duration, len(found) * hop)
            loaded += found
    worker.close()
    if not loaded:
        raise AudioError(f"none of {len(timed)} recordings could be used, e.g. {reasons[0]}")
    compute(loaded[:1])  # the first loads libraries
    started = time.perf_counter()
    compute(loaded)
    return (spent + time.perf_counter() - started) / seconds


def _begin(
    recording: RecordingRow, *, load: Callable[[RecordingRow], Iterator[Any]]
) -> Iterator[Views]:
    """Yield the first chunks of a recording."""
    yield from islice(load(recording), _TIMED_CHUNKS)


def _durations(manifest: pa.Table, sample: _Sample) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the seconds of each recording: as the manifest says, or as the sample suggests."""
    known = manifest["duration"]
    sampled = np.array([header.duration for header in sample.headers.values()])
    sizes = manifest["bytes"]
    if known.null_count == 0:
        return np.asarray(known.to_numpy(), dtype=np.float64)
    rows = list(sample.headers)
    durations = np.full(manifest.num_rows, sampled.mean(), np.float64)
    if sizes.null_count == 0:
        weights = np.asarray(sizes.to_numpy(), dtype=np.float64)
        durations = weights * (sampled.sum() / max(1.0, weights[rows].sum()))
    durations[rows] = sampled
    return durations


def _count_rows(
    durations: np.ndarray[Any, np.dtype[np.float64]],
    views: Mapping[str, SpectrogramConfig],
    chunks: ChunkConfig,
) -> int:
    if chunks.chunk_seconds is None or chunks.hop_seconds is None:
        return len(durations) * max(view.chunk_count or 1 for view in views.values())
    # Chunks begin every hop until one ends with the recording; less than a window is none.
    hop, window = chunks.hop_seconds, max(view.window_seconds for view in views.values())
    begun = np.ceil(np.maximum(0, durations - max(chunks.chunk_seconds, hop)) / hop)
    whole = np.floor(np.maximum(0, durations - window) / hop)
    return int((1 + np.minimum(begun, whole)).sum())


def _memory(sample: _Sample, chunks: ChunkConfig) -> int:
    """Return the bytes that a worker takes to decode: each of its processes, the longest."""
    needed = 0.0
    for header in sample.headers.values():
        seconds = min(header.duration, chunks.chunk_seconds or header.duration)
        samples = seconds * header.sample_rate
        needed = max(needed, 4 * samples * (2 * header.channels + _FLOATS_PER_SAMPLE))
    return sample.decoders * (int(needed) + _DECODER_BYTES)


def _plan(
    sample: _Sample,
    durations: np.ndarray[Any, np.dtype[np.float64]],
    cluster: Resources,
    speed: float,
) -> dict[str, Any]:
    """Return what is known of the input, and the time; `speed` is what `_time` returns."""
    workers = max(1, int(cluster.cpus))
    hours = float(durations.sum()) / 3600
    seconds = 3600 * hours * speed / workers
    return {
        "recordings": len(durations),
        "hours": round(hours, 3),
        "sampled": {
            "recordings": len(sample.headers) + sample.failed,
            "unreadable": sample.failed,
            "longest_seconds": round(sample.longest.duration, 3),
            "sample_rates": sample.rates,
            "channels": sorted({header.channels for header in sample.headers.values()}),
        },
        "cores": workers,
        "gpus": int(cluster.gpus),
        "estimated_seconds": round(seconds, 3),
    }


def _check_memory(memory: int, longest: Header, cluster: Resources) -> None:
    node = max(cluster.nodes, key=lambda node: node.memory / max(1.0, node.cpus))
    share = int(node.memory / max(1.0, node.cpus))
    if node.memory and memory > share:
        raise ResourceError(
            f"a recording of {longest.duration:.0f} s needs about {memory / 2**30:.1f} GB in a "
            f"worker; there are {share / 2**30:.1f} GB for each of {node.cpus:g}. Pass "
            "--chunk-seconds to read recordings piece by piece, or --max-duration to leave long "
            "ones out."
        )
