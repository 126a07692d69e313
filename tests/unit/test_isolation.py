"""Processes that decode: order, pieces, errors, and what happens when one of them dies."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from raudeep.errors import AudioError
from raudeep.pipeline.recordings import isolation
from raudeep.pipeline.recordings.isolation import Crew
from tests.support import heeding_interrupts

pytestmark = pytest.mark.long


def work(item, *, folder=""):
    """Do what the item says; runs in a process of its own."""
    kind, value = item
    match kind:
        case "count":
            yield from range(value)
        case "pid":
            time.sleep(0.01)
            yield os.getpid()
        case "echo":
            yield value
        case "sleep":
            time.sleep(value)
            yield value
        case "fail":
            yield "before"
            raise AudioError(value)
        case "odd error":
            raise OddError(value, 2)
        case "hang":
            yield os.getpid()
            time.sleep(3600)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "die once":
            yield "first"
            marker = Path(folder, str(value))
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield "second"
        case "print":
            print(value, flush=True)
            yield "quiet"
        case "chatter":
            os.write(1, value)
            os.write(2, value)
            yield "quiet"


class OddError(Exception):
    """An error that pickle cannot make again."""

    def __init__(self, one, two):
        super().__init__(one)


@pytest.fixture
def crew(tmp_path):
    crew = Crew(partial(work, folder=str(tmp_path)), processes=2)
    yield crew
    crew.close()


def run(crew, items):
    """Return the pieces of each item, with the error that ended it."""
    found = []
    for pieces in crew.map(items):
        got = []
        try:
            for piece in pieces:
                got.append(piece)
        except Exception as error:
            got.append(f"{type(error).__name__}: {error}")
        found.append(got)
    return found


def test_pieces_come_in_the_order_of_the_items(crew):
    items = [("sleep", 0.2), ("count", 3), ("count", 0), ("sleep", 0.0)]
    assert run(crew, items) == [[0.2], [0, 1, 2], [], [0.0]]


def test_a_user_who_may_have_no_larger_pipes_has_those_that_there_are(monkeypatch):
    asked = []

    def refuse(pipe, *request):
        asked.append(request)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(isolation.fcntl, "fcntl", refuse)
    crew = Crew(work, processes=2)
    large = b"x" * 2**21
    assert [list(pieces) for pieces in crew.map([("echo", large)] * 6)] == [[large]] * 6
    assert len(asked) == 2
    crew.close()


def test_processes_are_used_again_and_items_may_be_none(crew):
    assert run(crew, []) == []
    for _ in range(3):
        assert run(crew, [("count", 2)] * 20) == [[0, 1]] * 20


def test_an_item_of_many_pieces_waits_for_whoever_takes_them(crew):
    (pieces,) = run(crew, [("count", 5000)])
    assert pieces == list(range(5000))


def test_errors_arrive_after_the_pieces_before_them_and_cost_nothing_else(crew):
    items = [("fail", "is empty"), ("odd error", "x"), ("count", 1)]
    assert run(crew, items) == [
        ["before", "AudioError: is empty"],
        ["RuntimeError: OddError: x"],
        [0],
    ]


@pytest.mark.parametrize(("kind", "cause"), [("die", "signal SIGKILL"), ("exit", "exit code 3")])
def test_poison_is_an_error_after_three_attempts_and_the_others_are_done(crew, kind, cause):
    found = run(crew, [("count", 1), (kind, None), *[("count", 2)] * 9])
    poison = f"AudioError: killed the process that decodes it, 3 times ({cause})"
    assert found == [[0], [poison], *[[0, 1]] * 9]


def test_a_process_that_dies_once_does_not_repeat_what_it_said(crew):
    found = run(crew, [("die once", number) for number in range(4)])
    assert found == [["first", "second"]] * 4


def test_items_that_follow_each_other_go_to_the_same_process(tmp_path):
    crew = Crew(work, processes=3, run=4)
    found = run(crew, [("pid", None)] * 22)
    crew.close()
    assert all(len({pid for (pid,) in found[n : n + 4]}) == 1 for n in range(0, 22, 4))
    assert len({pid for (pid,) in found}) == 3


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_runs_keep_all_processes_at_work(processes):
    crew = Crew(work, processes=processes, run=8)
    found = run(crew, [("pid", None)] * 8 * processes * 3)
    crew.close()
    assert len({pid for (pid,) in found}) == processes


def test_an_answer_that_cannot_be_taken_costs_its_own_item_alone(crew, monkeypatch):
    def read(pipe):
        content = isolation_read(pipe)
        if b"too large" in content:
            raise MemoryError
        return content

    isolation_read = isolation._read
    monkeypatch.setattr(isolation, "_read", read)
    found = run(crew, [("echo", n) for n in ("a", "too large", "b", "c", "d", "e")])
    assert found == [["a"], ["MemoryError: "], ["b"], ["c"], ["d"], ["e"]]


def test_what_is_printed_does_not_get_between_the_answers(crew):
    assert run(crew, [("print", "noise")] * 3) == [["quiet"]] * 3


def test_what_libraries_print_by_themselves_is_not_shown(crew, capfd):
    assert run(crew, [("chatter", b"Note: Illegal Audio-MPEG-Header\n")]) == [["quiet"]]
    assert run(crew, [("print", "of Python")]) == [["quiet"]]
    assert capfd.readouterr() == ("", "of Python\n")


def test_a_map_that_is_left_early_frees_the_processes(crew):
    for pieces in crew.map([("count", 1000)] * 30):
        assert next(pieces) == 0
        break
    assert run(crew, [("count", 1)] * 3) == [[0]] * 3


def assert_ends(pid):
    """Wait for a process that was killed; the timeout of the test is for one that was not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)


def test_what_never_answers_is_left_at_the_first_ctrl_c(crew):
    """The process is killed first: its thread waits for it, and nobody else would end it."""
    pids = []

    def take_all():
        for pieces in crew.map([("hang", None)] * 8):
            for pid in pieces:
                pids.append(pid)
                threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()

    with heeding_interrupts(), pytest.raises(KeyboardInterrupt):
        take_all()
    assert len(pids) == 1
    assert_ends(pids[0])
    assert run(crew, [("count", 1)] * 3) == [[0]] * 3


def test_a_decoder_that_never_answers_ends_with_the_process_that_started_it():
    program = (
        "import os, signal\n"
        "from raudeep.pipeline.recordings.isolation import Crew\n"
        "from tests.unit.test_isolation import work\n"
        "for pieces in Crew(work, processes=1).map([('hang', None)]):\n"
        "    print(next(pieces), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGKILL
    assert_ends(int(done.stdout))


def test_closing_ends_the_processes(tmp_path):
    crew = Crew(work, processes=2)
    run(crew, [("count", 1)] * 8)
    children = [each._process.pid for each in crew._processes if each._process]
    assert children
    crew.close()
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")
def test_memory_that_is_kept_is_not_asked_of_the_kernel_again():
    program = """if True:
        import resource, numpy as np
        from raudeep.pipeline.recordings.isolation import keep_memory
        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(20):
                np.ones(2**20)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        given_back = faults()
        keep_memory()
        faults()
        print(given_back, faults())
    """
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    given_back, kept = map(int, said.stdout.split())
    assert kept < 100 < given_back
