"""What an earlier version wrote: the same commands take it for theirs, and compute nothing."""

import shutil
from pathlib import Path

import pytest

from raudeep.config import TrainingConfig
from raudeep.pipeline.artifacts import artifact_identity
from raudeep.storage.index import read_index
from raudeep.storage.table import read_table
from raudeep.storage.verification import verify_table

pytestmark = pytest.mark.usefixtures("decoding_here")

FIXTURE = Path(__file__).parents[1] / "fixtures" / "older"
VIEW = "--window-seconds 0.04 --overlap-seconds 0.02 --n-mels 8 --fixed-seconds 0.25"
COMMANDS = {
    "spectrograms": f"extract corpus --output spectrograms {VIEW} --clip-below-db -60",
    "model": "train time spectrograms --output model --num-layers 1 --num-units 4 --num-epochs 2",
    "embeddings": "embed corpus --model model --output embeddings --readouts pooled",
    "predictions": "evaluate svm embeddings --num-folds 2 --output predictions",
}

TABLES = ("spectrograms", "embeddings", "predictions")


@pytest.fixture
def older(tmp_path, monkeypatch):
    """A copy of the fixture, in which commands run."""
    shutil.copytree(FIXTURE, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made_at(folder):
    """When each file of rows and of a model was written."""
    files = [*folder.rglob("part-*.parquet"), *folder.rglob("model/*")]
    return {file.relative_to(folder): file.stat().st_mtime_ns for file in files}


def test_every_command_takes_what_is_there(cli, older):
    before = {name: read_index(str(older / name)).fingerprint for name in TABLES}
    model, times = artifact_identity(str(older / "model")), made_at(older)
    for _ in range(2):
        for command in COMMANDS.values():
            code, _, err = cli(*command.split())
            assert code == 0, err
    assert made_at(older) == times
    for name, fingerprint in before.items():
        assert read_index(str(older / name)).fingerprint == fingerprint
        assert verify_table(str(older / name)) == []
    assert artifact_identity(str(older / "model")) == model


@pytest.mark.parametrize(
    "limit", ["--in-memory-gb 1", "--shuffle-buffer-gb 0.1", "--checkpoints-to-keep 3"]
)
def test_a_limit_does_not_train_a_model_again(cli, older, limit):
    code, out, err = cli(*COMMANDS["model"].split(), *limit.split(), "--json")
    assert code == 0, err
    assert '"reused": 1' in out
    assert ("was trained with checkpoints_to_keep=1" in err) == ("keep" in limit)


def test_another_training_is_another_model(cli, older):
    code, _, err = cli(*COMMANDS["model"].split(), "--batch-size", "8")
    assert code == 1
    assert f"config.training.batch_size is {TrainingConfig().batch_size} there and 8 now" in err
    assert "in_memory_gb" not in err


def test_labels_are_taken_over_in_what_an_earlier_version_wrote(cli, older):
    before = {name: read_table(str(older / name)) for name in ("spectrograms", "embeddings")}
    (older / "corpus" / "noise").rename(older / "corpus" / "hiss")
    files = before["embeddings"]["file"].to_pylist()
    rows = [
        f"{file},corpus/{file.replace('noise', 'hiss')},x,{i % 2 + 1}"
        for i, file in enumerate(files)
    ]
    (older / "labels.csv").write_text("\n".join(["file,uri,label,fold", *rows]))
    times = made_at(older / "model")
    for command in list(COMMANDS.values())[:3]:
        code, _, err = cli(*command.replace(" corpus", " labels.csv").split(), "--json")
        assert code == 0, err
    assert made_at(older / "model") == times
    for name, rows in before.items():
        after = read_table(str(older / name))
        assert set(after["label"].to_pylist()) == {"x"}
        assert after.drop_columns(["label", "folds"]).equals(rows.drop_columns(["label", "folds"]))
