"""How the process of Ray Train's controller ends."""

import pickle
import subprocess
import sys

from raudeep.pipeline.training.controller import EndsAtOnce

PROCESS = """
import atexit, pickle, sys
atexit.register(print, "taken apart", flush=True)
pickle.loads(bytes.fromhex(sys.argv[1]))
print("worked", flush=True)
"""


def test_nothing_that_is_taken_apart_at_the_end_can_wait_for_ever():
    sent = pickle.dumps(EndsAtOnce()).hex()
    done = subprocess.run([sys.executable, "-c", PROCESS, sent], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "worked\n", "")
