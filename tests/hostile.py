"""Hostile files: good ones with damage and with payloads, and what reads them, in a process apart.

    python -m tests.hostile FOLDER --cases 500 [--kind KIND] [--seed 0]

prints a line of JSON: how many were refused and taken, and what went wrong. A payload that were run
would touch a file in FOLDER. What is not one line for the user, or takes more than 2 GiB, is wrong.
"""

import argparse
import copy
import json
import logging
import os
import pickle
import random
import resource
import shutil
import sys
import warnings
from pathlib import Path

from raudeep.errors import error_for_user
from tests.hostile_seeds import KINDS

GIB = 2**30
WEIRD = [
    None,
    [],
    {},
    "x",
    "",
    -1,
    0,
    10**9,
    10**30,
    1e308,
    float("nan"),
    True,
    "../../x",
    "\x1b[2J",
]
WEIRD += ["/etc/passwd", [[]], {"a": {}}, "a\0b", "..\\x", "\ud800", ["x"] * 50, "os:system"]
TOKENS = [b"999999999999", b"-1", b"[", b"{", b"\0", b"\xff\xfe", b"'", b'"', b",", b"\n", b"nan"]
TOKENS += [
    b"!!python/object/apply:os.system ['true']",
    b"../",
    b"1e999",
    b"true",
    b"=",
    b"[" * 5000,
]


class Payload:
    """Unpickled, it touches a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def payloads(canary):
    """Return contents that would touch the canary if they were run."""
    yield pickle.dumps(Payload(canary))
    yield f"!!python/object/apply:os.mkdir ['{canary}']\n".encode()
    yield f"import pathlib\npathlib.Path({str(canary)!r}).touch()\n".encode()
    yield b"[" * 200_000
    yield b'{"a":' * 200_000
    yield b"9" * 20_000
    yield b""


def places(value):
    """Return the containers in a JSON document with each of their keys."""
    found, waiting = [], [value]
    while waiting:
        each = waiting.pop()
        pairs = each.items() if isinstance(each, dict) else enumerate(each)
        for key, inner in list(pairs):
            found.append((each, key))
            if isinstance(inner, dict | list):
                waiting.append(inner)
    return found


def with_other_values(content, rng):
    """Return JSON of which some values are of other types, sizes and names."""
    value = json.loads(content)
    for _ in range(rng.randint(1, 3)):
        if not (found := places(value)):
            break
        holder, key = rng.choice(found)
        action = rng.random()
        if action < 0.2 and isinstance(holder, dict):
            holder.pop(key)
        elif action < 0.3 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(rng.choice(WEIRD))
    return json.dumps(value).encode()


def damaged(content, rng):
    """Return content with bytes cut off, changed, put in or taken out."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(6):
            case 0:
                del changed[at:]
            case 1:
                for place in range(at, min(len(changed), at + rng.randint(1, 8))):
                    changed[place] = rng.randrange(256)
            case 2:
                changed[at:at] = rng.choice(TOKENS)
            case 3:
                del changed[at : at + rng.randint(1, 40)]
            case 4:
                changed[at : at + 4] = rng.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
            case 5:
                changed[at:at] = changed[at // 2 : at]
    return bytes(changed)


def mutated(content, name, canary, rng):
    """Return what is put in place of a good file."""
    if rng.random() < 0.1:
        return rng.choice(list(payloads(canary)))
    if name.endswith(".json") and rng.random() < 0.7:
        return with_other_values(content, rng)
    return damaged(content, rng)


def run(folder, *, kinds, cases, seed):
    """Return counts and failures of so many cases of each kind."""
    canary, scratch = folder / "canary", folder / "case"
    seeds = {kind: KINDS[kind].make(folder / "seeds" / kind) for kind in kinds}
    for kind, place in seeds.items():  # what is imported late, and that good files are read
        shutil.copytree(place, scratch)
        KINDS[kind].read(scratch)
        shutil.rmtree(scratch)
    _limit_memory()
    counts = {kind: {"cases": 0, "refused": 0, "taken": 0} for kind in kinds}
    failures = []
    for kind in kinds:
        for number in range(cases):
            rng = random.Random(f"{seed} {kind} {number}")
            shutil.copytree(seeds[kind], scratch)
            targets = sorted(p for p in scratch.rglob("*") if p.is_file() and KINDS[kind].takes(p))
            target = rng.choice(targets)
            target.write_bytes(mutated(target.read_bytes(), target.name, canary, rng))
            (folder / "last").write_text(f"{kind} {number} {target.name}")
            counts[kind]["cases"] += 1
            try:
                KINDS[kind].read(scratch)
                counts[kind]["taken"] += 1
            except Exception as error:
                if (said := error_for_user(error)) is None or "\n" in str(said):
                    failures.append(
                        f"{kind} {number} {target.name}: {type(error).__name__}: {error!s:.300}"
                    )
                    if "-v" in sys.argv:
                        logging.exception("%s", failures[-1])
                counts[kind]["refused"] += 1
            if canary.exists():
                failures.append(f"{kind} {number} {target.name}: code was run")
                shutil.rmtree(canary) if canary.is_dir() else canary.unlink()
            shutil.rmtree(scratch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if peak > 2 * GIB:
        failures.append(f"{peak / GIB:.1f} GiB of memory")
    return {"counts": counts, "failures": failures, "peak_gib": round(peak / GIB, 2)}


def _limit_memory():
    """Allow 2 GiB more than what is mapped already: what asks for more fails."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 2 * GIB, hard))


def main():
    """Run cases in this process, which a crash ends: FOLDER/last says what was read."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-v", action="store_true")
    given = parser.parse_args()
    logging.getLogger("raudeep").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    kinds = given.kind or list(KINDS)
    result = run(given.folder, kinds=kinds, cases=given.cases, seed=given.seed)
    print(json.dumps(result), flush=True)
    os._exit(0)  # libraries that end in little memory may not


if __name__ == "__main__":
    main()
