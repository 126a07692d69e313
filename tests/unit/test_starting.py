"""Ray on this machine: a second attempt where the first was too slow, and a line where both are."""

import os
import socket
import stat

import pytest
import ray
from ray import cloudpickle

from raudeep.errors import ResourceError
from raudeep.pipeline.runtime.cluster import _join, _start
from tests.support import assert_one_line

TOO_SLOW = Exception("The current node timed out during startup. This could happen because\n...")


@pytest.fixture
def starts(monkeypatch):
    """Let the starts of Ray fail with these errors; return the list of their settings."""
    made = []

    def fail_with(*errors):
        def init(**settings):
            made.append(settings)
            if len(made) <= len(errors):
                raise errors[len(made) - 1]

        monkeypatch.setattr(ray, "init", init)
        return made

    return fail_with


def test_a_start_that_was_too_slow_is_tried_again(starts, caplog):
    made = starts(TOO_SLOW)
    _start({"log_to_driver": False})
    assert len(made) == 2
    assert made[0] == made[1]
    assert made[0]["address"] == "local"  # and not a Ray that happens to run
    assert caplog.messages == ["Ray did not start in time; another attempt."]


def test_variables_reach_the_workers_of_a_cluster_by_a_function_alone(starts, monkeypatch):
    made = starts()
    monkeypatch.setenv("WANDB_API_KEY", "a secret")
    _start({})  # whose processes have the environment of this one
    assert "runtime_env" not in made[0]
    with socket.create_server(("127.0.0.1", 0)) as head:
        _join(f"127.0.0.1:{head.getsockname()[1]}", {})
    assert "a secret" not in str(made[1])
    set_environment = cloudpickle.loads(cloudpickle.dumps(*made[1].pop("runtime_env").values()))
    monkeypatch.setenv("WANDB_API_KEY", "to be taken back")
    set_environment()
    assert os.environ["WANDB_API_KEY"] == "a secret"


def test_ray_has_a_token_that_nobody_else_can_read(starts, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "to be taken back")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    starts()
    monkeypatch.setenv("HOME", str(tmp_path))
    for _ in range(2):
        _start({})
        assert "RAY_AUTH_TOKEN" not in os.environ
        (token,) = (tmp_path / ".ray").iterdir()
        assert (token.name, len(token.read_text())) == ("auth_token", 64)
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    _start({})
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_a_machine_on_which_ray_does_not_start_is_told_of_in_a_line(starts):
    made = starts(TOO_SLOW, RuntimeError("Failed to start GCS"), TOO_SLOW)
    with pytest.raises(ResourceError) as caught:
        _start({})
    assert_one_line(f"raudeep: {caught.value}\n", "did not start on this machine", "--debug")
    assert len(made) == 2


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("no port")])
def test_what_a_second_attempt_does_not_mend_is_not_tried_again(starts, error):
    made = starts(error)
    with pytest.raises(type(error)):
        _start({})
    assert len(made) == 1


@pytest.mark.parametrize("chosen", [None, "7"])
def test_threads_that_wait_leave_their_core_soon_unless_somebody_chose(cli, monkeypatch, chosen):
    """It is for libgomp, which reads it when PyTorch is loaded; the machine may have other work."""
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    if chosen is not None:
        monkeypatch.setenv("GOMP_SPINCOUNT", chosen)
    cli("inspect", "missing")
    assert os.environ["GOMP_SPINCOUNT"] == (chosen or "10000")
