"""The command line, in-process: what it prints, where, and how it exits."""

import json
from importlib.metadata import version

import pytest

from raudeep.config import CLASSIFIERS, autoencoder_kinds
from raudeep.corpora.demo import write_demo_corpus
from tests.support import assert_one_line


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_demo_corpus(folder, clips_per_class=5)
    return folder


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# --- help


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_lists_the_commands_and_the_global_options(cli, arguments):
    code, out, err = cli(*arguments)
    assert (code, err) == (0, "")
    commands = ("benchmark", "embed", "evaluate", "extract", "fuse", "inspect", "report", "train")
    for word in (*commands, "--verbose", "--quiet", "--debug", "--log-file"):
        assert word in out


def test_help_of_the_benchmark_lists_the_fields_of_each_section(cli):
    code, out, _ = cli("benchmark", "--help")
    assert code == 0
    for flag in (
        "--training.num-epochs",
        "--spectrogram.window-seconds",
        "--autoencoder.num-units",
        "--evaluation.repeats",
        "--mlp.dropout",
        "--resources.num-workers",
        "--dry-run",
    ):
        assert flag in out
    assert "Recurrent layers of the encoder, and of the decoder." in out
    assert "[default: the recipe's, or 64]" in " ".join(out.replace("│", "").split())


@pytest.mark.parametrize("command", [("evaluate", "svm"), ("evaluate", "mlp"), ("baseline", "cnn")])
def test_help_shows_a_default_that_depends_on_the_classifier(cli, command):
    code, out, _ = cli(*command, "--help")
    assert code == 0
    assert "5 for an MLP, 1 for an SVM or a CNN." in " ".join(out.replace("│", "").split())


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["extract"], "--window-seconds"),
        (["train", "time"], "--num-units"),
        (["embed"], "--readouts"),
        (["fuse"], "--output"),
        (["evaluate", "mlp"], "--repeats"),
        (["inspect"], "--json"),
        (["report"], "finished benchmark"),
        (["tune"], "--num-trials"),
    ],
)
def test_every_command_has_help(cli, arguments, flag):
    code, out, _ = cli(*arguments, "--help")
    assert code == 0
    assert flag in out


def test_version_and_licence_are_printed(cli):
    code, out, _ = cli("--version")
    assert code == 0
    assert out == f"raudeep {version('raudeep')}, Apache License 2.0\n"


# --- wrong usage


def test_unknown_flag_is_wrong_usage_with_a_suggestion(cli):
    code, out, err = cli("benchmark", "demo", "--output", "out", "--training.num-epoch", "3")
    assert (code, out) == (2, "")
    assert "Unknown option" in err
    assert "--training.num-epochs" in err


def test_unknown_command_is_wrong_usage_with_a_suggestion(cli):
    code, out, err = cli("extrct")
    assert (code, out) == (2, "")
    assert 'Did you mean "extract"' in err


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["benchmark", "demo"], "needs --output: Folder for the output, a local path or a URI."),
        (["extract"], "needs CORPUS: Folder of audio"),
        (["embed", "audio", "--output", "out"], "needs --model: Trained autoencoders."),
        (["evaluate", "mlp", "table"], "needs --output: Where the predictions table goes."),
        (["evaluate", "mlp", "x", "--outptu", "y"], "Did you mean --output instead of --outptu?"),
        (["evaluate", "mlp", "table", "--output"], "--output requires an argument."),
    ],
)
def test_missing_required_argument_is_wrong_usage(cli, arguments, missing):
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert missing in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize(
    "command",
    [
        "embed nowhere elsewhere --model x y --output out --fuse",
        "embed nowhere --model x --model y --output out --fuse",
        "embed nowhere --model x y --output out --readouts state pooled --epochs 1 2",
        "search nowhere query.wav --model x y --num-results 3",
        "predict x --classifier nowhere --output out --model x y --eval-partitions devel test",
        "evaluate svm nowhere --output out --train-partitions train devel --eval-partitions test",
        "evaluate mlp nowhere --output out --folds 0 1",
        "train-classifier svm nowhere --output out --train-partitions train devel",
        "predict mlp x --train-table nowhere --output out --train-partitions train devel",
        "train time nowhere elsewhere --output out",
        "fuse nowhere elsewhere another --output out",
        "modify nowhere --output out --add-partitions train test",
        "upsample nowhere --output out --partitions train devel",
        "baseline cnn nowhere --output out --folds 0 1",
        "benchmark esc-10 --corpus nowhere --output out --baselines cnn band-statistics",
        "tune esc-10 nowhere.toml --output out --reserved-folds 0 1 --evaluation.folds 2 3",
    ],
)
def test_flags_of_several_values_take_them_one_after_the_other(cli, tmp_path, command):
    code, out, err = cli(*command.split())
    assert (code, out) == (1, "")  # 2 if they were not understood
    assert_one_line(err, "nowhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["--model", "--readouts", "--epochs"])
def test_a_flag_of_several_values_needs_one(cli, flag):
    code, out, err = cli("embed", "audio", "--output", "out", "--model", "m", flag, "--fuse")
    assert (code, out) == (2, "")
    assert f"{flag} requires at least 1 element" in " ".join(err.split())


# --- errors that a line explains


def test_missing_corpus_is_one_line(cli, tmp_path):
    code, out, err = cli("extract", "nowhere", "--output", "out")
    assert (code, out) == (1, "")
    assert_one_line(err, "no corpus at", "nowhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["extract", "--output", "out"], ["inspect"]])
def test_empty_folder_is_one_line(cli, tmp_path, command):
    (tmp_path / "empty").mkdir()
    code, out, err = cli(command[0], "empty", *command[1:])
    assert (code, out) == (1, "")
    assert_one_line(err, "no audio")


def test_unknown_recipe_is_one_line(cli):
    code, out, err = cli("benchmark", "esc10", "--output", "out")
    assert (code, out) == (1, "")
    assert_one_line(err, "no recipe 'esc10'", "esc-10")


def test_recipe_with_an_unknown_key_is_one_line(cli, tmp_path):
    (tmp_path / "own.toml").write_text(
        "[spectrogram]\nwindow_second = 0.1\n[views.a]\n[autoencoders.a]\n"
    )
    code, out, err = cli("benchmark", "own.toml", "--output", "out")
    assert (code, out) == (1, "")
    assert_one_line(err, "own.toml", "'window_second'", "Did you mean 'window_seconds'?")


@pytest.mark.parametrize(
    "arguments",
    [
        ["benchmark", "demo", "--training.num-epochs", "0"],
        ["extract", "corpus", "--overlap-seconds", "9"],
        ["extract", "corpus", "--n-mels", "0"],
    ],
)
def test_value_out_of_range_is_one_line(cli, arguments):
    code, out, err = cli(*arguments, "--output", "out")
    assert (code, out) == (1, "")
    assert_one_line(err, f"{arguments[-2]} must be", "Got")


def test_a_flag_stands_for_its_own_field_alone(cli):
    arguments = ("--training.num-epochs", "2", "--mlp.num-epochs=0")
    code, out, err = cli("benchmark", "demo", "--output", "out", *arguments)
    assert (code, out) == (1, "")
    assert_one_line(err, "[mlp]: The 'num_epochs' parameter of MlpConfig must be at least 1")


@pytest.mark.parametrize("command", [["extract"], ["benchmark", "demo", "--corpus"]])
def test_unwritable_output_is_one_line(cli, tmp_path, corpus, command):
    (tmp_path / "plain").write_text("a regular file")
    code, out, err = cli(*command, corpus, "--output", "plain/out")
    assert (code, out) == (1, "")
    said = err.splitlines()[-1]  # before it, extract tells how many recordings it found
    assert_one_line(said, "the output", "plain/out cannot be written: Not a directory")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "nowhere"], "no benchmark results at"),
        (["evaluate", "mlp", "nowhere", "--output", "out"], "holds no table"),
        (["embed", "nowhere", "--model", "model", "--output", "out"], "no corpus at"),
        (["embed", "plain", "--model", "model", "--output", "out"], "no finished autoencoder"),
        (["train", "time", "nowhere", "--output", "out"], "holds no table"),
        (["fuse", "a/x", "b/x", "--output", "out"], "holds no table"),
        (["fuse", "1/x/y/z", "2/x/y/z", "--output", "out"], "1/x/y/z holds no table"),
        (["fuse", "x", "x", "--output", "out"], "each path is given once"),
    ],
)
def test_missing_inputs_are_one_line(cli, tmp_path, arguments, said):
    (tmp_path / "plain").write_text("a regular file that is not audio")
    code, out, err = cli(*arguments)
    assert (code, out) == (1, "")
    assert_one_line(err, said)


@pytest.mark.parametrize(
    "command",
    [
        "inspect nowhere",
        "preview nowhere --output out.svg",
        "extract nowhere --output out",
        *(f"train {kind} nowhere --output out" for kind in autoencoder_kinds()),
        "embed nowhere --model nowhere --output out",
        "reconstruct nowhere --model nowhere --output out",
        "fuse nowhere elsewhere --output out",
        *(f"{name} nowhere --output out" for name in ("fuse-chunks", "upsample")),
        "modify nowhere --output out --add-folds 3",
        "validate nowhere",
        "visualize nowhere --output out.svg",
        *(f"export {name} nowhere --output out" for name in ("csv", "arff", "netcdf")),
        *(f"import {name} nowhere --output out" for name in ("csv", "arff", "netcdf")),
        *(f"evaluate {name} nowhere --output out" for name in CLASSIFIERS),
        "evaluate predictions nowhere --plot out.svg",
        *(f"train-classifier {name} nowhere --output out" for name in CLASSIFIERS),
        *(f"predict {name} nowhere --train-table nowhere --output out" for name in CLASSIFIERS),
        "predict nowhere --classifier nowhere --output out",
        "baseline cnn nowhere --output out",
        "baseline sparse-coding nowhere --output out",
        "baseline band-statistics nowhere --output out",
        "baseline soundnet nowhere --weights nowhere.npy --output out",
        "benchmark esc-10 --corpus nowhere --output out",
        "report nowhere",
        "tune esc-10 nowhere.toml --output out",
    ],
)
def test_wrong_path_is_one_line_and_leaves_nothing_for_every_command(cli, tmp_path, command):
    code, out, err = cli(*command.split())
    assert (code, out) == (1, "")
    assert_one_line(err, "nowhere")
    assert list(tmp_path.iterdir()) == []


# --- looking without computing


def test_dry_run_prints_shapes_and_parts_and_does_nothing(cli, tmp_path, corpus):
    command = ("benchmark", "demo", "--corpus", corpus, "--output", "out", "--dry-run")
    code, out, _ = cli(*command, "--json")
    plan = json.loads(out)
    assert code == 0
    assert plan["corpus"]["recordings"] == 25
    assert plan["training_runs"] == 2
    assert set(plan["views"]) == {"30db", "60db"}
    for view in plan["views"].values():
        assert (view["frames"], view["bands"], view["rows"]) == (45, 40, 25)
        assert view["parts"] >= 1
        assert view["memory_bytes"] >= 25 * 45 * 40 * 4
    code, out, _ = cli(*command)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert "training runs 2" in lines
    assert any(line.startswith("views 30db frames: 45, bands: 40, ") for line in lines)
    assert any(line.startswith("recipe autoencoders 60db training num_epochs: ") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_log_goes_to_a_file_as_well(cli, tmp_path, corpus):
    code, _, _ = cli("inspect", corpus, "--json", "--log-file", tmp_path / "log.txt")
    assert code == 0
    assert (tmp_path / "log.txt").exists()


def test_log_file_that_cannot_be_written_is_one_line(cli, corpus, tmp_path):
    code, out, err = cli("inspect", corpus, "--log-file", tmp_path / "missing" / "log.txt")
    assert (code, out) == (1, "")
    assert_one_line(err, "log.txt cannot be written: No such file or directory")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            {"train-partitions": "train", "eval-partitions": "test"},
            "no row is in partition 'train'",
        ),
        ({"folds": "5"}, "no fold 5; it has 5 folds"),
        ({"num-folds": "6"}, "num_folds=6 needs at least 6 recordings in every class"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_anything_is_made(
    cli, corpus, tmp_path, flags, said
):
    chosen = [word for name, value in flags.items() for word in (f"--evaluation.{name}", value)]
    code, out, err = cli("benchmark", "demo", "--corpus", corpus, "--output", "out", *chosen)
    assert (code, out) == (1, "")
    corpus_found, refused = err.splitlines(keepends=True)
    assert "25 recordings" in corpus_found
    assert_one_line(refused, said)
    assert list(tmp_path.glob("out/*")) == []
