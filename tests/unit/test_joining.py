"""What a process that starts or joins a Ray keeps off the terminal."""

import os

from raudeep.pipeline.runtime import cluster


def test_only_the_log_of_rays_core_is_kept_off_stderr(capfd):
    with cluster._without_core_log():
        os.write(2, b"[2026-11-26 12:58:09,745 W 14017 14017] rpc_client.h:638: no answer\n")
        os.write(2, b"2026-11-26 12:58 INFO Set ray log level from RAY_BACKEND_LOG_LEVEL\n")
        os.write(2, b"[a line of somebody else] at 2026-11-26\n")
    assert capfd.readouterr().err == "[a line of somebody else] at 2026-11-26\n"
