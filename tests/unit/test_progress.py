from raudeep.pipeline.runtime import progress
from raudeep.pipeline.runtime.progress import StageProgress


def test_waiting_is_said_and_counts_for_no_rate(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    now = iter([100.0, 100.0, 101.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    stage = StageProgress("training", "epochs", 4, _started=0.0, _printed=0.0)
    stage.advance(0, "model is waiting for 2 worker(s)")
    stage.advance(1)
    stage.advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training: 0 of 4 epochs, 100 s, model is waiting for 2 worker(s)"
    assert lines[1] == "training: 1 of 4 epochs, 100 s"
    assert lines[2] == "training: 2 of 4 epochs, 101 s, about 2 s left"
