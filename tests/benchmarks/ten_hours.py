"""One recording of ten hours, looped from real clips, in overlapping chunks."""

import os
import shutil
from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile

from raudeep.storage.table import read_table
from tests.benchmarks.corpus import BUILD, audio_folder
from tests.benchmarks.process import Watched
from tests.models import write_model

HOURS = float(os.environ.get("RAUDEEP_HOURS", "10"))
CHUNK, HOP = 10.0, 5.0
RATE = 44100


def bench_ten_hours() -> dict[str, str]:
    folder = BUILD / "ten-hours"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    length = _write_recording(folder / "long.flac")
    model = write_model(folder / "model", fixed_seconds=CHUNK)
    chunks = ("--chunk-seconds", CHUNK, "--chunk-hop-seconds", HOP)
    command = ("embed", folder / "long.flac", "--model", model, *chunks)
    run = Watched(*command, "--output", folder / "table", interval=0.25)
    print(run.wait().strip()[-300:], flush=True)
    run.plot(folder / "memory.svg")
    rows = read_table(str(folder / "table"))
    starts, ends = rows["start"].to_numpy(), rows["end"].to_numpy()
    hop = round(HOP * RATE)
    expected = np.arange(len(rows)) * hop
    assert len(rows) == 1 + -(-(length - round(CHUNK * RATE)) // hop)
    assert np.array_equal(np.round(starts * RATE), expected)
    assert np.array_equal(np.round(ends * RATE), np.minimum(expected + round(CHUNK * RATE), length))
    assert np.abs(starts * RATE - expected).max() < 1e-3
    worst = _compare_with_cuts(folder, rows, model)
    (folder / "long.flac").unlink()
    return {
        "hours, chunks": f"{HOURS:g} {len(rows)}",
        "seconds": f"{run.seconds:.0f}",
        "peak MiB of driver, worker, decoder": " ".join(
            f"{run.peak(role):.0f}" for role in ("driver", "worker", "decoder")
        ),
        "start and end": "right to the sample",
        "largest difference to chunks that were cut out": f"{worst:.1e}",
    }


def _write_recording(place: Path) -> int:
    clips = sorted(p for p in audio_folder(place.parent).rglob("*") if p.suffix in (".ogg", ".wav"))
    total = int(HOURS * 3600 * RATE) + 12345  # the last chunk is shorter
    written = 0
    with soundfile.SoundFile(place, "w", RATE, 1) as sound:
        for clip in cycle(clips):
            samples, _ = soundfile.read(clip, dtype="float32", always_2d=True)
            piece = samples[: total - written, :1]
            sound.write(piece)
            written += len(piece)
            if written == total:
                return total
    raise AssertionError("no clips")


def _compare_with_cuts(folder: Path, rows: object, model: str) -> float:
    """Cut some of the chunks out, embed each as a recording, and return the largest difference."""
    places = np.unique(np.linspace(0, len(rows) - 2, 12).astype(int)).tolist()
    cuts = folder / "cuts"
    cuts.mkdir()
    with soundfile.SoundFile(folder / "long.flac") as sound:
        for number in places:
            sound.seek(number * round(HOP * RATE))
            samples = sound.read(round(CHUNK * RATE), dtype="int16")
            soundfile.write(cuts / f"{number:06d}.wav", samples, RATE)
    Watched("embed", cuts, "--model", model, "--output", folder / "cut-table").wait()
    alone = np.array(read_table(str(folder / "cut-table"))["embedding"].to_pylist())
    inside = np.array(rows["embedding"].take(places).to_pylist())
    return float(np.abs(alone - inside).max())
