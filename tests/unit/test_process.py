"""The process of the command line: its exit code and its streams, from its start to its end."""

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from tests.support import heeding_interrupts, start

pytestmark = pytest.mark.long


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_that_has_enough_is_no_error(tmp_path, form):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "raudeep", "benchmark", "demo", "--dry-run", *form]
    done = subprocess.run(
        [*command, "--output", tmp_path / "o"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, "rror" in done.stderr) == (141, False), done.stderr


@pytest.mark.parametrize(("arguments", "code"), [("--version", 0), ("inspect /nowhere", 1)])
def test_streams_that_were_closed_before_its_start_are_no_error(tmp_path, arguments, code):
    command = f"{sys.executable} -m raudeep {arguments}"
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        done = subprocess.run(f"{command} {closed}", shell=True, capture_output=True, text=True)
        assert done.returncode == code
        assert "Traceback" not in done.stderr


# As a library in C++ may as it is taken apart, after all is done.
ABORTS = "at_exit(libc.abort, None, None)"
INTERRUPTED = "raise KeyboardInterrupt"


@pytest.mark.parametrize(
    ("on_import", "arguments", "code", "said"),
    [
        (ABORTS, ["--version"], 0, ""),
        (ABORTS, ["inspect", "/nowhere"], 1, "raudeep: no corpus at /nowhere"),
        # Ctrl-C before there is a command line that could take it.
        (INTERRUPTED, ["--version"], 130, "raudeep: interrupted."),
    ],
)
def test_the_code_of_a_process_is_that_of_its_command(on_import, arguments, code, said):
    source = (
        "import atexit, ctypes, sys\n"
        "from raudeep.__main__ import main\n"
        "libc = ctypes.CDLL(None)\n"
        "at_exit = libc.__cxa_atexit\n"
        "class Watcher:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'raudeep.cli':\n"
        "            atexit.register(print, 'ended')\n"
        f"            {on_import}\n"
        "sys.meta_path.insert(0, Watcher())\n"
        f"main({arguments!r})\n"
    )
    process = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert process.returncode == code
    assert process.stdout.splitlines()[-1] == "ended"
    assert process.stderr.startswith(said)
    assert process.stderr.count("\n") == bool(said)


def test_ctrl_c_while_a_process_only_ends_shows_no_traceback():
    source = (
        "import os, signal, threading\n"
        "from raudeep.__main__ import main\n"
        "def wait():\n"
        "    threading.main_thread().join()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    threading.Event().wait(5)\n"
        "threading.Thread(target=wait).start()\n"
        "main(['--version'])\n"
    )
    with heeding_interrupts():
        process = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize(
    ("command", "sent", "said"),
    [
        (["inspect"], signal.SIGINT, "interrupted"),
        (["pack", "--output", "pack"], signal.SIGTERM, "terminated"),
    ],
)
def test_a_server_that_never_answers_is_left_at_the_first_signal(tmp_path, command, sent, said):
    with socket.create_server(("127.0.0.1", 0)) as server, heeding_interrupts():
        place = f"http://127.0.0.1:{server.getsockname()[1]}"
        manifest = tmp_path / "m.csv"
        manifest.write_text(f"file,uri,bytes\na,{place}/a.wav,5\nb,{place}/b.wav,5\n")
        process = start(command[0], manifest, *command[1:], cwd=tmp_path)
        asking, _ = server.accept()
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
        asking.close()
    assert (process.returncode, out) == (128 + sent, "")
    assert err == f"raudeep: {said}. What is finished stays; the same command goes on from there.\n"
    assert not psutil.wait_procs(children, timeout=60)[1]
