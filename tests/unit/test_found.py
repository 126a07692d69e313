"""What lies where a table or a model was looked for, and what the message says to do."""

import json
from dataclasses import replace

import pytest

from raudeep.errors import TableError
from raudeep.pipeline.artifacts import artifact_identity, load_autoencoder
from raudeep.pipeline.classification.classifiers import load_classifier
from raudeep.pipeline.inspection import inspect_path
from raudeep.storage.found import find_below
from raudeep.storage.index import read_index
from raudeep.storage.opening import open_table
from raudeep.storage.verification import verify_table
from tests.models import write_two_models
from tests.tables import IDENTITY, rows


@pytest.fixture
def output(tmp_path):
    """The output of a benchmark, but for the numbers: two models and a table of embeddings."""
    write_two_models(tmp_path / "out" / "models")
    for name in ("embeddings/state/a", "embeddings/state/fused"):
        writer = open_table(str(tmp_path / "out" / name), IDENTITY)
        writer.write(0, rows(0, 3))
        writer.commit(1)
    recipe = {"views": {}, "autoencoders": {}}
    (tmp_path / "out" / "recipe.json").write_text(json.dumps(recipe))
    return str(tmp_path / "out")


@pytest.fixture
def audio(tmp_path):
    """A folder of audio, by the names of its files, that has a space in its name."""
    folder = tmp_path / "my sounds"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"")
    return str(folder)


def refusal(function, *arguments, **options):
    with pytest.raises(TableError) as caught:
        function(*arguments, **options)
    return str(caught.value)


def test_a_folder_of_audio_is_told_which_command_comes_first(audio):
    said = refusal(read_index, audio, stage="spectrograms")
    assert said == (
        f"{audio} holds no table (no __raudeep__/index.json). It is a folder of audio. Run "
        f"`raudeep extract '{audio}' --output SPECTROGRAMS` first, and name its output here."
    )
    said = refusal(read_index, audio, stage="embeddings")
    assert f"Run `raudeep embed '{audio}' --model MODEL --output EMBEDDINGS` first" in said
    for function in (read_index, verify_table, artifact_identity, load_autoencoder):
        said = refusal(function, audio)
        assert said.endswith(
            "It is a folder of audio. Run `raudeep extract`, `raudeep train` and `raudeep embed` "
            "first, as needed."
        )


def test_what_lies_below_is_named_by_what_is_wanted(output):
    said = refusal(read_index, output, stage="embeddings")
    tables = "embeddings/state/a, embeddings/state/fused"
    assert said.endswith(f"Below it are tables of embeddings: {tables}. Name one of them.")
    said = refusal(read_index, output, stage="spectrograms")  # of which there is none
    assert said.endswith("holds no table (no __raudeep__/index.json).")
    assert refusal(verify_table, output).endswith(f"tables: {tables}. Name one of them.")
    for function in (load_autoencoder, artifact_identity):
        said = refusal(function, output)
        assert said.endswith("Below it are autoencoders: models/a, models/b. Name one of them.")
    below = f"{output}/models"
    assert refusal(load_autoencoder, below).endswith("autoencoders: a, b. Name one of them.")
    assert refusal(load_classifier, below).endswith("(classifier.json missing).")


def test_a_table_or_a_model_in_place_of_the_other_is_called_what_it_is(output):
    table, model = f"{output}/embeddings/state/a", f"{output}/models/a"
    assert "It is a table of embeddings." in refusal(load_autoencoder, table)
    assert "It is a table of embeddings. Run `raudeep train-class" in refusal(
        load_classifier, table
    )
    said = refusal(read_index, model, stage="embeddings")
    assert f"It is an autoencoder. Run `raudeep embed AUDIO --model {model} --out" in said
    assert refusal(read_index, f"{model}/config.json").endswith("It is a file.")


def test_a_table_of_another_stage_says_what_makes_the_one_that_is_needed(output, tmp_path):
    place = str(tmp_path / "spectrograms")
    writer = open_table(place, replace(IDENTITY, stage="spectrograms"))
    writer.write(0, rows(0, 1))
    writer.commit(1)
    said = refusal(read_index, place, stage="embeddings")
    assert said == (
        f"{place} is a table of spectrograms; a table of embeddings is needed. Run `raudeep embed "
        f"{place} --model MODEL --output EMBEDDINGS` first, and name its output here."
    )
    said = refusal(read_index, f"{output}/embeddings/state/a", stage="spectrograms")
    assert said.endswith("is a table of embeddings; a table of spectrograms is needed.")


def test_files_are_told_from_folders(tmp_path):
    for name, what in {"m.csv": "a file, such as a manifest", "a.flac": "a recording"}.items():
        (tmp_path / name).write_bytes(b"")
        said = refusal(read_index, str(tmp_path / name), stage="embeddings")
        assert f"It is {what}. Run `raudeep embed {tmp_path / name} --model" in said
    nothing = refusal(read_index, str(tmp_path / "nowhere"))
    assert nothing.endswith("nowhere holds no table (no __raudeep__/index.json).")


def test_tables_of_an_earlier_version_are_found(tmp_path):
    names = ["old/index.json", "old/part-00000.parquet", "other/index.json", "x.WAV"]
    found = find_below(str(tmp_path), names)
    assert (found.tables, found.models, found.has_audio) == ({}, {}, True)  # no index to read
    (tmp_path / "old").mkdir()
    index = {"schema_version": 2, "stage": "spectrograms", "parts": []}
    (tmp_path / "old" / "index.json").write_text(json.dumps(index))
    assert find_below(str(tmp_path), names).tables == {"old": "spectrograms"}


def test_the_output_of_a_benchmark_is_inspected_with_commands_on_it(output, cli):
    facts = inspect_path(output)
    assert facts["benchmark"] == output
    assert facts["autoencoder"] == ["models/a", "models/b"]
    assert f"raudeep embed AUDIO --model {output}/models/a --output EMBEDDINGS" in facts["commands"]
    fused = f"{output}/embeddings/state/fused"
    assert f"raudeep evaluate svm {fused} --output PREDICTIONS" in facts["commands"]
    code, out, _ = cli("inspect", output)
    assert code == 0
    assert f"raudeep report {output}" in [line.strip() for line in out.splitlines()]
    assert inspect_path(f"{output}/models")["autoencoder"] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train sounds", "train needs one of time, frequency, frequency-time before 'sounds': "),
        ("train sounds --output m", "`raudeep train time sounds`."),
        ("evaluate my/table", "evaluate needs one of mlp, svm, predictions before 'my/table': "),
        ("train tim", 'Did you mean "time"?'),
        ("sounds", "a command stands before 'sounds', such as `raudeep inspect sounds`."),
        ("nothing", 'Unknown command "nothing".'),
    ],
)
def test_a_command_without_its_kind_names_the_kinds(arguments, said, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sounds").mkdir()
    code, _, err = cli(*arguments.split())
    assert code == 2
    assert said in " ".join(err.replace("│", "").split())
