"""The commands that embed audio: plans, wrong flags, Ctrl-C, verification and repair."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raudeep.errors import TableError
from raudeep.storage.index import read_index
from raudeep.storage.table import read_table
from tests.models import write_two_models
from tests.support import assert_one_line, heeding_interrupts, run, start

JOB = Path(__file__).parents[2] / "jobs" / "embed_corpus.py"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small autoencoder."""
    return write_two_models(tmp_path_factory.mktemp("models"))["a"]


def test_files_are_embedded_by_name(corpus, model, tmp_path, cli):
    files = sorted(corpus.rglob("*.wav"))[:3]
    code, _, stderr = cli("embed", *files, "--model", model, "--output", tmp_path / "table")
    assert code == 0, stderr
    folder = Path(os.path.commonpath(files))
    folder = folder if folder.is_dir() else folder.parent
    names = [file.relative_to(folder).as_posix() for file in files]
    assert sorted(read_table(str(tmp_path / "table"))["file"].to_pylist()) == sorted(names)
    code, _, stderr = cli("embed", *files, corpus, "--model", model, "--output", tmp_path / "b")
    assert (code, stderr.count("\n")) == (1, 1)
    assert "Several sources are single files" in stderr


def test_the_commands_plan_embed_verify_and_repair(corpus, model, tmp_path, cli):
    output = tmp_path / "table"
    command = ("embed", corpus, "--model", model, "--output", output)
    code, stdout, stderr = cli(*command, "--dry-run", "--json")
    assert code == 0, stderr
    assert json.loads(stdout)["recordings"] == 25
    assert not output.exists()
    job = [sys.executable, str(JOB), *map(str, command[1:])]
    done = subprocess.run(job, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    code, stdout, _ = cli("verify", output)
    assert (code, stdout) == (0, f"{output} is as its index says.\n")
    before = read_table(str(output))
    (output / "part-00002.parquet").unlink()
    code, stdout, stderr = cli("verify", output, "--json")
    assert code == 1
    assert json.loads(stdout)[0]["name"] == "part-00002.parquet"
    makes = "the command that made the table makes it again"
    dropped = f"--repair drops what is broken; {makes}."
    assert stderr == f"raudeep: {output}: 1 fault(s). {dropped}\n"
    code, stdout, stderr = cli("verify", output, "--repair")
    assert (code, "is missing" in stdout) == (1, True)
    assert stderr == f"raudeep: {output}: 1 fault(s). What was broken is dropped; {makes}.\n"
    assert cli(*command)[0] == 0
    assert read_table(str(output)).equals(before)


def test_what_a_model_does_not_know_is_found_by_the_error_of_its_reconstruction(
    corpus, model, tmp_path, cli
):
    output, pooled, fused = (tmp_path / name for name in ("table", "pooled", "fused"))
    command = ("embed", corpus, "--model", model, "--output", output)
    code, _, stderr = cli(*command, "--reconstruction-rmse")
    assert code == 0, stderr
    rows = read_table(str(output))
    assert rows.schema.names[-1] == "reconstruction_rmse"
    assert (rows["reconstruction_rmse"].to_numpy() > 0).all()
    made = ("embed", corpus, "--model", model, "--output", pooled, "--readouts", "pooled")
    assert cli(*made)[0] == 0
    assert cli("fuse", output, pooled, "--output", fused)[0] == 0
    assert "reconstruction_rmse" not in read_table(str(fused)).column_names  # it is of one model
    code, _, stderr = cli(*command)
    assert code == 1
    assert_one_line(stderr.splitlines(keepends=True)[-1], str(output), "reconstruction_rmse")


@pytest.mark.parametrize(
    ("address", "said"),
    [("127.0.0.1:1", "no cluster answers"), ("nowhere", "cannot be joined")],
)
def test_a_wrong_cluster_is_an_error_with_little_work_too(corpus, model, tmp_path, address, said):
    command = ("embed", corpus, "--model", model, "--output", tmp_path / "table")
    code, _, stderr = run(*command, RAY_ADDRESS=address)
    assert code == 1
    assert_one_line(stderr.splitlines(keepends=True)[-1], f"RAY_ADDRESS={address}", said)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max-errors", "few"], "must be a whole number, or a share"),
        (["--max-duration", "0"], "must be greater than 0 or None"),
        (["--chunk-seconds", "-1"], "must be greater than 0 or None"),
        (["--chunk-hop-seconds", "1"], "needs chunk_seconds"),
        (["--fuse"], "--fuse takes two or more --model"),
        (["--fuse", "--reconstruction-rmse"], "and no --epochs or --reconstruction-rmse"),
    ],
)
def test_wrong_flags_are_one_line(corpus, model, tmp_path, flags, said, cli):
    command = ("embed", corpus, "--model", model, "--output", tmp_path / "table")
    code, _, stderr = cli(*command, *flags)
    assert (code, stderr.count("\n")) == (1, 1)
    assert said in stderr
    assert not (tmp_path / "table").exists()


@pytest.mark.parametrize("flag", ["--overwrite", "--dry-run"])
def test_chunks_that_hold_no_window_are_refused_before_the_first(
    corpus, model, tmp_path, flag, cli
):
    command = ("embed", corpus, "--model", model, "--output", tmp_path / "table", flag)
    code, _, stderr = cli(*command, "--chunk-seconds", "0.07")
    assert code == 1
    assert "at least a window of the model 'a', which is 0.08 s. Got 0.07" in stderr
    assert not (tmp_path / "table").exists()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("sent", "said"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
)
def test_an_interrupted_run_says_how_to_go_on_and_goes_on(corpus, model, tmp_path, sent, said, cli):
    clips = [path for path in sorted(corpus.rglob("*.*")) if path.is_file()]
    rows = "".join(f"{number:05d},{clips[number % 25]}\n" for number in range(5000))
    manifest, output = tmp_path / "many.csv", tmp_path / "table"
    manifest.write_text(f"file,uri\n{rows}")
    command = ("embed", manifest, "--model", model, "--output", output)
    with heeding_interrupts():
        process = start(*command)
    while not list(output.glob("part-*.parquet")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    assert process.poll() is None  # or there is nothing to interrupt
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 128 + sent, stderr
    assert stderr.splitlines()[-1] == (
        f"raudeep: {said}. What is finished stays; the same command goes on from there."
    )
    assert "Traceback" not in stderr
    finished = {path: path.stat().st_mtime_ns for path in output.glob("part-*.parquet")}
    with pytest.raises(TableError, match=r"is unfinished\. Run the same command again"):
        read_index(str(output))
    code, _, stderr = cli(*command)
    assert code == 0, stderr
    assert all(path.stat().st_mtime_ns == when for path, when in finished.items())
    assert sorted(read_table(str(output))["file"].to_pylist()) == [
        f"{number:05d}" for number in range(5000)
    ]
