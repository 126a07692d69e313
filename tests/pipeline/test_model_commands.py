"""The commands on autoencoders: what they refuse, and how they end."""

import json
import shutil
import signal
import time
from dataclasses import replace

import psutil
import pytest

from raudeep.config import (
    AutoencoderConfig,
    FrequencyAutoencoderConfig,
    ResourceConfig,
    SpectrogramConfig,
    TrainingConfig,
)
from raudeep.corpora.demo import write_demo_corpus
from raudeep.errors import ConfigError, RaudeepError, TableError
from raudeep.pipeline.artifacts import artifact_identity, load_autoencoder
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.training.runs import Run, train_autoencoders
from raudeep.storage.table import read_table
from tests.models import write_model
from tests.support import assert_one_line, heeding_interrupts, start

pytestmark = pytest.mark.usefixtures("decoding_here")


@pytest.fixture(scope="module")
def spectrograms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spectrograms")
    write_demo_corpus(folder / "corpus", clips_per_class=5)
    manifest, _ = load_manifest(str(folder / "corpus"))
    view = SpectrogramConfig(  # that of `write_model`
        window_seconds=0.08, overlap_seconds=0.04, n_mels=16, fixed_seconds=0.5, clip_below_db=-60
    )
    extract_spectrograms(manifest, {"view": view}, {"view": str(folder / "table")})
    return folder / "table"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("frequency", "--window-bands", 17, "--overlap-bands", 1),
            ["--window-bands must be", "at most the 16 bands", "Got 17"],
        ),
        (("frequency", "--overlap-bands", 32), ["--overlap-bands must be", "[0, window_bands=32)"]),
        (
            ("time", "--early-stopping-epochs", 2),
            ["--early-stopping-epochs", "validation_fraction"],
        ),
        (("time", "--checkpoints-to-keep", 0), ["--checkpoints-to-keep must be", "at least 1"]),
        (("time", "--continue-from", "nowhere"), ["nowhere", "no finished autoencoder"]),
    ],
)
def test_impossible_training_is_one_line_and_leaves_nothing(
    cli, spectrograms, tmp_path, arguments, words
):
    kind, *flags = arguments
    code, out, err = cli("train", kind, spectrograms, "--output", tmp_path / "model", *flags)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    for word in words:
        assert word in err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"clip_below_db": -20}, "made alike. .*clip_below_db=-60.* has clip_below_db=-20"),
        ({"n_mels": 8}, "made alike. .*n_mels=16.* has n_mels=8"),
    ],
)
def test_spectrograms_that_were_made_differently_train_no_autoencoder(
    spectrograms, tmp_path, changed, said
):
    manifest, _ = load_manifest(str(spectrograms.parent / "corpus"))
    view = replace(load_autoencoder(write_model(tmp_path / "m", n_mels=16)).spectrogram, **changed)
    view = replace(view, fixed_seconds=0.5)
    other = str(tmp_path / "other")
    extract_spectrograms(manifest, {"view": view}, {"view": other})
    run = Run(
        name="model",
        spectrograms=(str(spectrograms), other),
        output=str(tmp_path / "model"),
        model=AutoencoderConfig(num_units=8),
        training=TrainingConfig(),
    )
    with pytest.raises(TableError, match=said):
        train_autoencoders([run], checkpoints=str(tmp_path / "runs"))
    assert not (tmp_path / "model").exists()


def test_relative_paths_are_those_of_the_caller(spectrograms, tmp_path, monkeypatch):
    """Workers of Ray Train have working directories of their own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(spectrograms, tmp_path / "table")
    run = Run(
        name="a",
        spectrograms=("table",),
        output="models/a",
        model=AutoencoderConfig(num_units=4),
        training=TrainingConfig(num_epochs=1),
    )
    checkpoints = tmp_path / "runs" / f"a-{run.identity().fingerprint}"
    checkpoints.mkdir(parents=True)
    (summary,) = train_autoencoders([run], checkpoints="runs")
    assert summary.table == str(tmp_path / "models" / "a")
    assert (tmp_path / "models" / "a" / "config.json").exists()
    assert not checkpoints.exists()  # the artifact holds all of it


def test_a_model_is_not_written_into_a_table(cli, spectrograms):
    before = contents(spectrograms)
    code, out, err = cli("train", "time", spectrograms, "--output", spectrograms)
    assert (code, out) == (1, "")
    assert_one_line(err, f"{spectrograms} holds files but no autoencoder of raudeep")
    assert contents(spectrograms) == before


def test_runs_of_one_name_or_one_output_are_refused(spectrograms, tmp_path):
    """Their epochs, or their artifacts, would be written over each other."""
    run = Run(
        name="a",
        spectrograms=(str(spectrograms),),
        output=str(tmp_path / "a"),
        model=AutoencoderConfig(num_units=8),
        training=TrainingConfig(),
    )
    for other, said in (
        (replace(run, output=str(tmp_path / "b")), "2 runs have the name 'a'; each needs its own"),
        (replace(run, name="b", output=f"{tmp_path}/a/"), "the output .*/a/? is the output .*/a"),
        (
            replace(run, name="b", output=f"{tmp_path}/a/b"),
            "the output .*/a/b lies in the output .*/a; choose folders beside each other",
        ),
        (replace(run, name="b", output=f"{tmp_path}/c/../a"), "is the output .*a; choose"),
    ):
        with pytest.raises(ConfigError, match=said):
            train_autoencoders([run, other], checkpoints=str(tmp_path / "runs"))
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_not_continued_on_other_bands(cli, spectrograms, tmp_path):
    config = AutoencoderConfig(num_units=8)
    model = write_model(tmp_path / "model", fixed_seconds=0.5, n_mels=20, config=config)
    output = tmp_path / "new"
    code, out, err = cli(
        "train", "time", spectrograms, "--continue-from", model, "--output", output
    )
    assert (code, out) == (1, "")
    assert_one_line(err, f"{model} was trained on 20 bands; {spectrograms} has 16.")
    assert not output.exists()


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_a_model_is_not_deleted_that_is_to_be_continued(cli, spectrograms, tmp_path, overwrite):
    model = tmp_path / "model"
    write_model(model, units=8, fixed_seconds=0.5, n_mels=16)
    before = contents(model)
    command = ("train", "time", spectrograms, "--continue-from", model, "--output", model)
    code, out, err = cli(*command, *overwrite)
    assert (code, out) == (1, "")
    assert_one_line(err, f"the output {model} is the input {model}; choose another output")
    assert contents(model) == before


def test_no_model_is_deleted_unless_all_runs_can_be_trained(spectrograms, tmp_path):
    model, table = tmp_path / "model", tmp_path / "model" / "table"
    write_model(model, units=8, fixed_seconds=0.5, n_mels=16)
    shutil.copytree(spectrograms, table)
    before = contents(model)
    replaced = Run(
        name="model",
        spectrograms=(str(spectrograms),),
        output=str(model),
        model=AutoencoderConfig(num_units=8),
        training=TrainingConfig(),
    )
    new = replace(replaced, name="new", output=str(tmp_path / "new"))
    too_wide = FrequencyAutoencoderConfig(window_bands=17, overlap_bands=1)
    for runs, cpus, said in (
        ([replaced, replace(new, model=too_wide)], 1, "'window_bands'"),
        ([replaced, replace(new, continue_from=new.output)], 1, "no finished autoencoder"),
        ([replaced, replace(new, continue_from=str(model))], 1, "model is the input"),
        ([replaced], 1000, r"1000 CPU\(s\)"),
        (
            [replace(replaced, spectrograms=(str(table),))],
            1,
            "model holds the input .*table; choose",
        ),
    ):
        with pytest.raises(RaudeepError, match=said):
            train_autoencoders(
                runs,
                checkpoints=str(tmp_path / "runs"),
                resources=ResourceConfig(cpus_per_worker=cpus),
                overwrite=True,
            )
        assert contents(model) == before


def test_overwriting_a_model_leaves_what_else_lies_in_its_folder(
    cli, spectrograms, tmp_path, monkeypatch
):
    model = tmp_path / "model"
    write_model(model, units=8, fixed_seconds=0.5, n_mels=16)
    (model / "notes.txt").write_text("mine")
    own = f"model-{artifact_identity(str(model)).fingerprint}"
    for run in (own, "another"):
        (model / "runs" / run).mkdir(parents=True)
    monkeypatch.setattr("raudeep.pipeline.training.runs.train_here", lambda job: None)
    code, _, err = cli("train", "time", spectrograms, "--output", model, "--overwrite")
    assert code == 0, err
    assert sorted(path.name for path in model.iterdir()) == ["notes.txt", "runs"]
    assert [path.name for path in (model / "runs").iterdir()] == ["another"]


def test_trained_model_embeds_by_epoch_and_reconstructs(cli, spectrograms, tmp_path):
    model = tmp_path / "model"
    flags = ("--num-units", 8, "--num-epochs", 3, "--checkpoints-to-keep", 2)
    code, _, err = cli("train", "time", spectrograms, "--output", model, *flags)
    assert code == 0, err
    _, _, err = cli("train", "time", spectrograms, "--output", model, *flags, "--name", "other")
    assert "model was trained before, and is called 'model'" in err
    table = tmp_path / "embeddings"
    code, out, err = cli(
        *("embed", spectrograms, "--model", model, "--output", table, "--epochs", 2, 3, "--json")
    )
    assert code == 0, err
    places = [row["table"] for row in json.loads(out)]
    assert places == [str(table / "epoch-2"), str(table / "epoch-3")]
    command = ("embed", spectrograms, "--model", model, "--output", tmp_path / "two")
    code, out, err = cli(*command, "--readouts", "state", "pooled", "--json")
    assert code == 0, err
    places = [row["table"] for row in json.loads(out)]
    assert places == [str(tmp_path / "two" / name / "model") for name in ("state", "pooled")]
    code, out, err = cli("embed", spectrograms, "--model", model, "--output", table, "--epochs", 1)
    assert (code, out) == (1, "")
    assert "no weights of epoch 1; it has 2, 3" in err
    page = tmp_path / "page.html"
    command = ("reconstruct", spectrograms, "--model", model, "--output", tmp_path / "made")
    code, out, err = cli(*command, "--page", page, "--num-pictures", 3, "--json")
    assert code == 0, err
    assert json.loads(out)[0]["rows"] == 25
    assert page.read_text().count("<img") == 3
    code, _, err = cli(*command, "--page", page, "--num-pictures", 1, "--overwrite")
    assert code == 0, err
    assert page.read_text().count("<img") == 1
    code, out, err = cli(
        "train", "frequency", spectrograms, "--output", tmp_path / "f", "--continue-from", model
    )
    assert (code, out) == (1, "")
    assert "is a time autoencoder" in err


def test_a_page_without_pictures_is_refused_before_anything_is_made(cli, spectrograms, tmp_path):
    command = ("reconstruct", spectrograms, "--model", tmp_path / "m", "--output", tmp_path / "o")
    code, out, err = cli(*command, "--page", tmp_path / "page.html", "--num-pictures", 0)
    assert (code, out) == (1, "")
    assert err.splitlines() == ["raudeep: --num-pictures must be at least 1. Got 0."]
    assert not (tmp_path / "o").exists()


def test_a_page_takes_the_place_of_another_file_only_on_purpose(cli, spectrograms, tmp_path):
    config = AutoencoderConfig(num_units=4)
    model = write_model(tmp_path / "m", fixed_seconds=0.5, n_mels=16, config=config)
    page, output = tmp_path / "page.html", tmp_path / "o"
    page.write_text("mine")
    command = ("reconstruct", spectrograms, "--model", model, "--output", output, "--page", page)
    code, _, err = cli(*command)
    assert code == 1
    assert_one_line(err, f"{page} exists", "--overwrite")
    assert not output.exists()  # before the work
    assert cli(*command, "--overwrite")[0] == 0
    drawn = page.read_bytes()
    assert cli(*command)[0] == 0  # the same page again
    assert page.read_bytes() == drawn
    page.write_text("mine")
    assert cli(*command)[0] == 1
    assert page.read_text() == "mine"


def test_spectrograms_are_not_written_over_by_what_is_made_of_them(cli, spectrograms, tmp_path):
    before = read_table(str(spectrograms))
    model = write_model(tmp_path / "m", units=8, fixed_seconds=0.5, n_mels=16)
    nested = tmp_path / "out" / "pooled" / "m"
    shutil.copytree(spectrograms, nested)
    both = ("--readouts", "state", "--readouts", "pooled")
    for command, place, output, said in (
        (("embed", spectrograms, "--model", model), spectrograms, spectrograms, "is a table"),
        (("reconstruct", spectrograms, "--model", model), spectrograms, spectrograms, "is a table"),
        (("embed", nested, "--model", model, *both), nested, tmp_path / "out", "is a table"),
    ):
        for overwrite in ((), ("--overwrite",)):
            code, out, err = cli(*command, "--output", output, *overwrite)
            assert (code, out) == (1, "")
            assert_one_line(err, f"{place} {said}", "hoose another output")
            assert read_table(str(place)).equals(before)
    assert not (tmp_path / "out" / "state").exists()


def test_reconstructing_what_is_no_table_of_spectrograms_is_one_line(cli, tmp_path):
    code, out, err = cli(
        *(
            "reconstruct",
            tmp_path / "nothing",
            "--model",
            tmp_path / "m",
            "--output",
            tmp_path / "o",
        )
    )
    assert (code, out) == (1, "")
    assert "holds no table" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "flags", [("--retry-errors",), ("--corpus-layout", "nonsense"), ("--chunk-seconds", 1)]
)
def test_flags_of_audio_are_refused_for_spectrograms(cli, spectrograms, tmp_path, flags):
    code, out, err = cli(
        *("embed", spectrograms, "--model", tmp_path / "m", "--output", tmp_path / "o", *flags)
    )
    assert (code, out) == (1, "")
    assert "are for audio" in err
    assert flags[0] in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_the_name_of_a_run_does_not_reach_outside_its_folder(cli, spectrograms, tmp_path):
    output = tmp_path / "m"
    code, out, err = cli("train", "time", spectrograms, "--output", output, "--name", "../escaped")
    assert (code, out) == (1, "")
    assert_one_line(err, "is that of a folder. Got '../escaped'")


@pytest.mark.timeout(600)
def test_a_training_that_is_terminated_goes_on_with_the_same_command(spectrograms, tmp_path):
    for said in ("training: ", "m goes on after epoch "):
        process = start(
            "train", "time", spectrograms, "--output", tmp_path / "m", "--num-epochs", 10**5
        )
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith(said):
            assert line, process.wait()
        # A training is saved some seconds after its first epoch, and its record says when.
        while not list((tmp_path / "m" / "runs").rglob("checkpoint_manager_snapshot.json")):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 143, stderr
        assert "Traceback" not in stderr
        assert stderr.splitlines()[-1] == (
            "raudeep: terminated. What is finished stays; the same command goes on from there."
        )


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("sent", "said"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
)
def test_a_command_that_is_ended_while_ray_starts_leaves_nothing(
    spectrograms, tmp_path, sent, said
):
    with heeding_interrupts():
        process = start(
            "train", "time", spectrograms, "--output", tmp_path / "m", "--num-epochs", 10**5
        )
    while not (children := psutil.Process(process.pid).children()):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 128 + sent, stderr
    starts = "training starts workers of Ray, which takes some seconds."
    assert [line for line in stderr.splitlines() if line != starts] == [
        f"raudeep: {said}. What is finished stays; the same command goes on from there."
    ]
    assert not psutil.wait_procs(children, timeout=60)[1]
