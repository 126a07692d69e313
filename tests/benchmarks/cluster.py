"""A Ray of several nodes on this machine, and nodes of it that vanish."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import psutil

_SCRIPT = """
import sys
from ray.cluster_utils import Cluster
head = {"num_cpus": 1, "object_store_memory": 2**28}
cluster = Cluster(initialize_head=True, head_node_args=head)
others = [cluster.add_node(**head) for _ in range(int(sys.argv[1]) - 1)]
cluster.wait_for_nodes()
raylets = [node.all_processes["raylet"][0].process.pid for node in others]
print("cluster", cluster.address, *raylets, flush=True)
sys.stdin.read()
"""


class Nodes:
    """Nodes of one core each; the first is the head, to which a driver on this machine belongs.

    ``raylets`` are the processes of the others: a node is gone when its own is.
    """

    def __init__(self, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            match line.split():
                case ["cluster", address, *raylets]:
                    self.address, self.raylets = address, [int(raylet) for raylet in raylets]
                    return
        raise AssertionError("no cluster")

    def remove(self, number: int) -> None:
        os.kill(self.raylets[number], signal.SIGKILL)

    def close(self) -> None:
        own = psutil.Process(self._process.pid)
        for process in [*own.children(recursive=True), own]:
            with suppress(psutil.Error):
                process.kill()
        self._process.wait()
