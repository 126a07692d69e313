"""A Ray that is lost is said, and nothing waits for it."""

import socket
import subprocess
import sys
import time

import pytest

from raudeep.pipeline.runtime.watching import watch_process, watch_server

SERVERS = """
import socket, threading
from raudeep.pipeline.runtime.watching import watch_server
first, second = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
for number, server in enumerate((first, second)):
    watch_server(server.getsockname(), f"{number} was lost.", lambda: True)
held, _ = second.accept()
first.accept()[0].close()  # as one that said nothing, by a server that is still there
second.close()
held.close()
threading.Event().wait(30)
"""
PROCESS = """
import subprocess, sys, threading
from raudeep.pipeline.runtime.watching import watch_process
program = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen();"
program += "print(flush=True); input()"
listening = [sys.executable, "-c", program, sys.argv[1]]
child = subprocess.Popen(listening, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
watch_process(sys.argv[1], "it was lost.", lambda: True)
child.kill()
threading.Event().wait(30)
"""


@pytest.mark.parametrize(("program", "said"), [(SERVERS, "1 was lost."), (PROCESS, "it was lost.")])
def test_a_process_whose_ray_is_lost_ends_with_a_line(tmp_path, program, said):
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "s"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"raudeep: {said}\n")


def test_what_was_shut_down_is_not_missed(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = server.getsockname()
    asked = []
    watch_server(gone, "was lost", lambda: bool(asked.append(None)))
    watch_process(str(tmp_path / "gone"), "was lost", lambda: True)
    time.sleep(0.1)
    assert len(asked) == 1
