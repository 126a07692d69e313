"""Ray: started once and quietly, or joined; what the cluster has, and this process of it."""

import atexit
import logging
import os
import re
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raudeep.errors import ResourceError
from raudeep.pipeline.runtime.machine import machine_memory
from raudeep.pipeline.runtime.watching import watch_process, watch_server
from raudeep.search_path import paths_of_ours

__all__ = [
    "DEBUG_VARIABLE",
    "Node",
    "Resources",
    "assigned_cores",
    "ensure_ray",
    "find_resources",
    "is_fresh_cpu_actor",
    "silence",
]

logger = logging.getLogger(__name__)

DEBUG_VARIABLE = "RAUDEEP_DEBUG"
"""Set in the environment, Ray's own output is shown."""

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Runs have helper processes without a core of their own; Ray warns of them on stdout.
    "RAY_worker_maximum_startup_concurrency": "16",
}
# A Ray of this process's own has no dashboard to show these, and a machine that nobody takes away;
# each of a dozen helper processes would spend a percent of a core on them.
_EMBEDDED_SETTINGS = {
    "RAY_enable_metrics_collection": "0",
    "RAY_task_events_report_interval_ms": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}
_QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TQDM": "0",
}
_CONNECT_SECONDS = 10.0
_AFAR = "ray://"  # another machine starts the work; Ray's processes are there
_HEAD_LOST_SECONDS = 45.0  # that of a cluster may be started again; Ray ends this process after 60
_STARTS = 2
_CORE_LOG = re.compile(rb".*Set ray log level|\[\d{4}-\d\d-\d\d .*\] \w+\.(cc|h):\d+: ")
_HANDED_ON = ("AWS_", "FSSPEC_", "GOOGLE_", "AZURE_STORAGE_", "MLFLOW_", "WANDB_", "RAUDEEP_")


@dataclass(frozen=True)
class Node:
    """What one machine of the cluster has."""

    cpus: float
    gpus: float
    memory: float = 0.0
    """Bytes; 0 where it is not known."""


@dataclass(frozen=True)
class Resources:
    """What the cluster has, machine by machine: a worker never spans two."""

    nodes: tuple[Node, ...]

    @property
    def cpus(self) -> float:
        """Cores in all."""
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> float:
        """GPUs in all."""
        return sum(node.gpus for node in self.nodes)


def ensure_ray() -> Resources:
    """Start Ray unless this process has, and return what the cluster has.

    With ``RAY_ADDRESS`` (set by the user, or by a submitted job) that cluster is joined; without, a
    Ray of this process's own is started on this machine. The credentials in the environment reach
    the workers: those of an own Ray have the environment of this process, to those of a cluster
    they are sent.

    Raises
    ------
    ResourceError
        If the cluster of ``RAY_ADDRESS`` does not answer, or does not take this process, or no Ray
        starts on this machine.
    """
    import ray

    if not ray.is_initialized():
        quiet = not os.environ.get(DEBUG_VARIABLE)
        address = os.environ.get("RAY_ADDRESS")
        environment = (
            _SETTINGS | ({} if address else _EMBEDDED_SETTINGS) | (_QUIET if quiet else {})
        )
        for name, value in environment.items():
            os.environ.setdefault(name, value)
        settings: dict[str, Any] = {
            "log_to_driver": not quiet,
            "logging_level": "ERROR" if quiet else "INFO",
            "job_config": _job_config(),
        }
        started = time.perf_counter()
        with _keeping_termination(), _without_core_log() if quiet else nullcontext():
            if address:
                _join(address, settings)
            else:
                _start(settings)
        _watch(address)
        atexit.register(ray.shutdown)
        if address and not address.startswith(_AFAR):
            atexit.register(_forget_environment)
        if quiet:
            silence()
        logger.debug("Ray was ready after %.1f s", time.perf_counter() - started)
    return _resources()


def _job_config() -> Any:
    """Return what Ray tells its workers of this process: not to import from where it stands.

    Ray itself puts the working directory, which may be a corpus, first on their search path, unless
    a job's runtime environment has one. So it is told that there is one, and which folders of this
    process they need.
    """
    from ray.job_config import JobConfig

    class _WithoutWorkingDirectory(JobConfig):  # type: ignore[misc]
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return _WithoutWorkingDirectory(_py_driver_sys_path=paths_of_ours())


def _join(address: str, settings: Mapping[str, Any]) -> None:
    """Join the cluster at an address, which Ray knows from the environment."""
    import ray

    _check_listens(address)
    try:
        ray.init(**settings, runtime_env={"worker_process_setup_hook": _setting_environment()})
    except (OSError, ValueError, ray.exceptions.AuthenticationError) as error:
        raise ResourceError(
            f"the cluster at RAY_ADDRESS={address} cannot be joined: {str(error).rstrip('.')}. "
            "Where it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN. Without "
            "RAY_ADDRESS this machine does the work."
        ) from error


def _start(settings: Mapping[str, Any]) -> None:
    """Start a Ray on this machine.

    Ray gives its processes 15 to 30 s to start. Where a busy machine or a slow disc needs longer,
    much of what they read is in memory at the second attempt.
    """
    import ray

    _make_token()
    for attempt in range(1, _STARTS + 1):
        try:
            ray.init(address="local", include_dashboard=False, **settings)
        except (OSError, ValueError):
            raise
        except Exception as error:
            ray.shutdown()
            if attempt == _STARTS:
                raise ResourceError(
                    f"Ray did not start on this machine in {_STARTS} attempts. It may be too busy, "
                    "or have too little memory: run the same command again later, or with --debug "
                    "to see what Ray says."
                ) from error
            logger.warning("Ray did not start in time; another attempt.")
        else:
            return


def _make_token() -> None:
    """Make the token that Ray 2.60 asks for where there is none; its own file all can read."""
    folder = Path(os.path.expanduser("~"), ".ray")
    file = folder / "auth_token"
    if file.exists() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    token = secrets.token_hex(32)
    try:
        folder.mkdir(exist_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as writing:
            writing.write(token)
    except FileExistsError:  # another process has just made it
        return
    except OSError:  # as in a container that anybody may run
        os.environ["RAY_AUTH_TOKEN"] = token


def _watch(address: str | None) -> None:
    """Watch the processes of Ray without which this one cannot go on."""
    import ray

    if address and address.startswith(_AFAR):
        return
    node = ray._private.worker._global_node
    head = ray.get_runtime_context().gcs_address
    say = "What is finished stays; the same command goes on from there."
    if address:
        restart = "Start {} again (`ray start`)."
        of_raylet = f"the Ray of this machine (raylet) was lost. {restart.format('it')} {say}"
        of_head = (
            f"the head of the cluster at {head} (gcs_server) has not answered for "
            f"{_HEAD_LOST_SECONDS:.0f} s. {restart.format('the cluster')} {say}"
        )
    else:
        lost = f"Ray was lost: its process {{}} ended or was killed. {say} Logs of Ray: {{}}"
        logs = node.get_logs_dir_path()
        of_raylet, of_head = lost.format("raylet", logs), lost.format("gcs_server", logs)
    watch_process(node.raylet_socket_name, of_raylet, ray.is_initialized)
    host, _, port = head.rpartition(":")
    watch_server(
        (host.strip("[]"), int(port)),
        of_head,
        ray.is_initialized,
        patience_seconds=_HEAD_LOST_SECONDS if address else 0.0,
    )


@contextmanager
def _keeping_termination() -> Iterator[None]:
    """Keep what this process does on SIGTERM, which Ray replaces by a dump of addresses."""
    before = signal.getsignal(signal.SIGTERM)
    came = False
    try:
        yield
    except SystemExit as end:  # what Ray makes of one that comes while it starts
        came = end.code == signal.SIGTERM
        if not came:
            raise
    finally:
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: it was not Python's
    if came:
        signal.raise_signal(signal.SIGTERM)


def _check_listens(address: str) -> None:
    """Raise if nothing listens at HOST:PORT; Ray itself would keep trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or "/" in host or not port.isdigit():  # "auto", or what Ray has to judge
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise ResourceError(
            f"no cluster answers at RAY_ADDRESS={address}: {error.strerror or error}. Without "
            "RAY_ADDRESS this machine does the work."
        ) from error


@contextmanager
def _without_core_log() -> Iterator[None]:
    """Take from stderr what Ray's core logs there: that it was told to say little, for one."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        before = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            said.seek(0)
            for line in said:
                if not _CORE_LOG.match(line):
                    os.write(2, line)


def _resources() -> Resources:
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Resources(
        tuple(
            Node(node.get("CPU", 0.0), node.get("GPU", 0.0), node.get("memory", 0.0))
            for node in nodes
        )
    )


def find_resources() -> Resources:
    """Return what a stage would have, without starting a Ray on this machine for it."""
    if os.environ.get("RAY_ADDRESS"):
        return ensure_ray()
    import torch

    return Resources((Node(assigned_cores(), torch.cuda.device_count(), machine_memory()),))


def assigned_cores() -> int:
    """Return the cores that this process may use: those of its Ray actor, or the machine's.

    Of a container they are those that its quota is worth, rounded up.
    """
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        context = ray.get_runtime_context()
        if context.get_actor_id() is not None:
            return max(1, int(context.get_assigned_resources().get("CPU", 1)))
    import joblib  # takes a third of a second

    return int(joblib.cpu_count())


def is_fresh_cpu_actor() -> bool:
    """Return whether this process is a Ray actor of one core that never died.

    One that does is started again, and what it had in hand is done again.
    """
    import ray

    context = ray.get_runtime_context() if ray.is_initialized() else None
    if context is None or context.get_actor_id() is None:
        return False
    assigned = context.get_assigned_resources()
    is_core = assigned.get("CPU", 1) == 1 and not assigned.get("GPU")
    return is_core and not context.was_current_actor_reconstructed


def _setting_environment() -> Callable[[], None]:
    """Return what each worker process of a cluster calls first: it sets the variables of this one.

    Not ``env_vars`` of the runtime environment, which stand in logs, in lists of jobs and in the
    arguments of processes: of a function there is only the name. The cluster's head holds it while
    this process runs, for whoever has the cluster's token.
    """
    found = {name: value for name, value in os.environ.items() if name.startswith(_HANDED_ON)}
    of_this_process = secrets.token_hex(8)  # or it would be the same one as that of others

    def set_environment(_: str = of_this_process) -> None:
        os.environ.update(found)

    return set_environment


def _forget_environment() -> None:
    """Delete what `_setting_environment` returned; the head would keep it longer than the job."""
    import ray
    from ray._private import ray_constants
    from ray._private.runtime_env.setup_hook import _encode_function_key
    from ray.experimental.internal_kv import _internal_kv_del

    if ray.is_initialized():
        told = ray.get_runtime_context().runtime_env["env_vars"]
        key = told[ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR]
        with suppress(ray.exceptions.RayError):  # the cluster is gone, and with it the variables
            _internal_kv_del(
                _encode_function_key(key), namespace=ray_constants.KV_NAMESPACE_FUNCTION_TABLE
            )


def silence() -> None:
    """Keep Ray's own chatter off the terminal; it sets its loggers up anew when first used."""
    if os.environ.get(DEBUG_VARIABLE):
        return
    import ray.data

    # What raylets say of workers and nodes that died goes to stdout, which is the command's own,
    # whatever `log_to_driver` is. The switch is that of Ray's debugger.
    ray._private.worker._worker_logs_enabled = False
    ray.data.DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
