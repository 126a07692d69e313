"""Recordings whose headers, payloads and ends are wrong, and what raudeep makes of them.

    python -m tests.damaged --cases 5000 [--format "wav"] [--seed 0]

prints a line for each recording of which sound was lost without a word, that crashed or took longer
than a minute, that was read in another way in chunks, or was refused without a fault; then counts.
Who makes a recording knows how much sound is in it.
"""

import argparse
import contextlib
import faulthandler
import io
import multiprocessing
import random
from collections import Counter
from dataclasses import dataclass

import numpy as np

from raudeep.audio.decode import decode, decode_blocks, read_header
from raudeep.errors import AudioError
from tests.recordings import FORMATS, noise

__all__ = ["Case", "make_case", "verdict"]

SPARE = 0.3  # seconds that encoders and decoders add or leave out
PACKET = 4096  # samples that encoders fill up
SLOWEST = 60.0


@dataclass(frozen=True)
class Case:
    """A recording and what is known of it."""

    name: str
    content: bytes
    seconds: float
    """Of sound that is there."""
    is_whole: bool = False
    """Whether it must be read without an error."""


def make_case(kind, seed):
    """Return a recording of a format with one kind of damage; the same for the same seed."""
    rng = random.Random(f"{kind} {seed}")
    form = FORMATS[kind]
    channels, rate = rng.choice((1, 2)), rng.choice(form.rates)
    seconds = rng.choice((1.0, 2.5, rng.uniform(0.8, 6.0)))

    def encoded(length, hz=rate, count=channels):
        return form.encode(noise(length, rate=hz, channels=count, seed=seed), hz)

    content = encoded(seconds)
    begin = payload_of(content, form)
    damage = rng.choice(DAMAGES)
    is_whole = False
    match damage:
        case "none":
            is_whole = True
        case "count":
            if form.counts:
                factor = rng.choice((0, 0.01, 0.5, 0.9, 1.1, 2, 100))
                damage += f" x {factor}"
                with contextlib.suppress(LookupError):  # not all encoders write all of them
                    content = rng.choice(form.counts)(content, factor)
        case "doubled":
            content += content[begin:]
            seconds *= 2
        case "halved":
            content = content[: (begin + len(content)) // 2]
            seconds /= 2
        case "junk in front":
            content = junk(rng) + content
        case "junk behind":
            content += junk(rng)
        case "tag behind":
            content += b"TAG" + bytes(125)
            is_whole = kind not in ("amr", "wv")  # of which FFmpeg takes no such tag
        case "second stream":
            other = rng.uniform(0.8, 3.0)
            hz, count = rng.choice((rate, rng.choice(form.rates))), rng.choice((1, 2))
            content += encoded(other, hz, count)
            seconds += other
        case "other stream":
            other = rng.choice(list(FORMATS))
            hz = FORMATS[other].rates[0]
            content += FORMATS[other].encode(noise(1.5, rate=hz, channels=channels), hz)
            damage += f" ({other})"
        case "hole":
            at, size = rng.randrange(begin, len(content)), rng.randint(1, 2000)
            content = content[:at] + content[at + size :]
            seconds = 0.0 if kind in UNKNOWN_AFTER_HOLES else seconds * (1 - size / len(content))
        case "zeros":
            at, size = rng.randrange(begin, len(content)), rng.randint(1, 2000)
            content = content[:at] + bytes(min(size, len(content) - at)) + content[at + size :]
            seconds *= 1 - size / len(content)
    return Case(
        f"{kind}, {channels} x {rate} Hz, {damage}, seed {seed}", content, seconds, is_whole
    )


DAMAGES = (
    *("none", "count", "count", "count", "doubled", "halved", "junk in front", "junk behind"),
    *("tag behind", "second stream", "other stream", "hole", "zeros"),
)
UNKNOWN_AFTER_HOLES = ("amr",)  # whose frames have no mark


def payload_of(content, form):
    """Return where the sound of a recording begins."""
    if form.payload is None:
        return 0
    if form.payload == b"OggS":  # two pages of headers
        return content.index(b"OggS", content.index(b"OggS", 4) + 4)
    return content.index(form.payload) + (4 if form.payload != b"\xff\xf8" else 0)


def junk(rng):
    """Return bytes that are no sound."""
    size = rng.choice((1, 100, 1000, 5000, 100_000))
    return rng.choice((bytes(size), rng.randbytes(size), (b"no sound, but text\n" * size)[:size]))


def read_whole(content):
    """Return samples and rate of a recording, or its error."""
    try:
        return decode(content)
    except AudioError as error:
        return str(error)


def read_chunks(content):
    """Return the same, read in chunks."""
    try:
        blocks = list(decode_blocks(io.BytesIO(content), length_seconds=0.7, hop_seconds=0.7))
    except AudioError as error:
        return str(error)
    return np.concatenate([block.samples for block in blocks], axis=1), blocks[0].sample_rate


def verdict(case):
    """Return what is wrong with what raudeep makes of a recording, else "refused" or "read"."""
    whole, chunks = read_whole(case.content), read_chunks(case.content)
    with contextlib.suppress(AudioError):
        read_header(case.content)
    errors = [found if isinstance(found, str) else None for found in (whole, chunks)]
    if errors[0] != errors[1]:
        return f"differs: whole {errors[0]!r}, in chunks {errors[1]!r}"
    if errors[0] is not None:
        return f"false alarm: {whole}" if case.is_whole else "refused"
    if whole[1] != chunks[1] or not np.array_equal(whole[0], chunks[0]):
        return f"differs: {whole[0].shape} whole, {chunks[0].shape} in chunks"
    found = whole[0].shape[1] / whole[1]
    if found < case.seconds - SPARE - PACKET / whole[1]:
        return f"loss: {found:.3f} of {case.seconds:.3f} s"
    return "read"


def serve(pipe):
    """Judge the cases that come through a pipe, in a process that may die of them."""
    faulthandler.enable()
    while True:
        kind, seed = pipe.recv()
        try:
            case = make_case(kind, seed)
        except Exception as error:
            pipe.send((f"{kind}, seed {seed}", f"cannot be made: {error!r}"))
            continue
        try:
            pipe.send((case.name, verdict(case)))
        except Exception as error:
            pipe.send((case.name, f"crash: {type(error).__name__}: {error}"))


def run(kinds, cases, seed):
    """Yield name and verdict of so many cases."""
    context = multiprocessing.get_context("spawn")
    worker = ours = None
    for number in range(cases):
        if worker is None:
            ours, theirs = context.Pipe()
            worker = context.Process(target=serve, args=(theirs,), daemon=True)
            worker.start()
            theirs.close()
        kind = kinds[number % len(kinds)]
        ours.send((kind, seed + number))
        try:
            if ours.poll(SLOWEST):
                yield ours.recv()
                continue
            end = "hang"
        except EOFError:
            end = "crash of the process"
        worker.kill()
        worker = None
        yield f"{kind}, seed {seed + number}", end
    if worker is not None:
        worker.kill()


def main():
    """Judge cases, and print what is wrong and how many are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--format", choices=list(FORMATS), action="append")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    counts = Counter()
    for name, said in run(settings.format or list(FORMATS), settings.cases, settings.seed):
        counts[said.partition(":")[0]] += 1
        if said not in ("read", "refused"):
            print(f"{name}: {said}", flush=True)
    print(dict(counts))
    return int(bool(set(counts) - {"read", "refused"}))


if __name__ == "__main__":
    raise SystemExit(main())
