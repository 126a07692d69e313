"""How many cores a process may use that Ray has given none."""

from raudeep.pipeline.runtime.cluster import assigned_cores


def test_a_limit_of_the_processors_is_kept_to(monkeypatch):
    assert assigned_cores() >= 1
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # as a container's quota
    assert assigned_cores() == 1
