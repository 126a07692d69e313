"""What a process takes to the Ray that it starts or joins, and what it keeps off the terminal."""

import json
import os

from raudeep.pipeline.runtime import cluster


def test_credentials_reach_the_workers_unless_the_job_hands_them_on(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store")
    monkeypatch.setenv("WANDB_API_KEY", "key")
    monkeypatch.setenv("UNRELATED", "1")
    found = cluster._environment()
    assert found["AWS_ENDPOINT_URL"] == "http://store"
    assert found["WANDB_API_KEY"] == "key"
    assert "UNRELATED" not in found
    # Ray refuses a variable that both the job and its driver set.
    job = {"runtime_env": {"env_vars": {"AWS_ENDPOINT_URL": "http://store"}}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    assert "AWS_ENDPOINT_URL" not in cluster._environment()
    assert "WANDB_API_KEY" in cluster._environment()


def test_only_the_log_of_rays_core_is_kept_off_stderr(capfd):
    with cluster._without_core_log():
        os.write(2, b"[2026-11-26 12:58:09,745 W 14017 14017] rpc_client.h:638: no answer\n")
        os.write(2, b"2026-11-26 12:58 INFO Set ray log level from RAY_BACKEND_LOG_LEVEL\n")
        os.write(2, b"[a line of somebody else] at 2026-11-26\n")
    assert capfd.readouterr().err == "[a line of somebody else] at 2026-11-26\n"
