"""Corpora that grow: all that is made of a table grows with it, and nothing is computed twice."""

import json
import shutil
from pathlib import Path

import pytest

from raudeep.pipeline.artifacts import load_autoencoder
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.storage.index import read_index
from raudeep.storage.table import read_errors, read_table
from tests.models import write_two_models
from tests.support import refused

pytestmark = pytest.mark.usefixtures("decoding_here")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_two_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def recordings(corpus, tmp_path):
    """Half of the small corpus in one folder, and the other half, in which one is no audio."""
    files = sorted(path for path in corpus.rglob("*.*") if path.is_file())
    at_first, later = tmp_path / "corpus", tmp_path / "later"
    for folder, chosen in ((at_first, files[::2]), (later, files[1::2])):
        for file in chosen:
            place = folder / file.relative_to(corpus)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    (later / files[1].relative_to(corpus)).with_name("bad.wav").write_text("no audio")
    return at_first, later


def extract(corpus, folder, models):
    manifest, _ = load_manifest(str(corpus))
    views = {name: load_autoencoder(model).spectrogram for name, model in models.items()}
    places = {name: str(folder / f"spectrograms-{name}") for name in models}
    extract_spectrograms(manifest, views, places)


def commands(folder, models, classifier):
    """Return what makes tables of the spectrograms in a folder, by the name of the table."""
    return {
        **{
            f"{readout}-{name}": (
                *("embed", folder / f"spectrograms-{name}", "--model", model),
                *("--readouts", readout, "--output", folder / f"{readout}-{name}"),
            )
            for name, model in models.items()
            for readout in ("state", "pooled")
        },
        "fused": ("fuse", folder / "pooled-a", folder / "pooled-b", "--output", folder / "fused"),
        "joined": ("fuse-chunks", folder / "fused", "--output", folder / "joined"),
        "predictions": (
            *("predict", folder / "fused", "--classifier", classifier),
            *("--output", folder / "predictions"),
        ),
        "reconstructions": (
            *("reconstruct", folder / "spectrograms-a", "--model", models["a"]),
            *("--output", folder / "reconstructions"),
        ),
    }


def run(cli, command):
    code, out, err = cli(*command, "--json")
    assert code == 0, err
    (summary,) = json.loads(out)
    return summary


def contents(table: Path):
    return {path.name: path.read_bytes() for path in table.glob("part-*")}


def test_all_that_is_made_of_a_table_grows_with_it(cli, recordings, models, tmp_path):
    corpus, later = recordings
    grown, anew, classifier = tmp_path / "grown", tmp_path / "anew", tmp_path / "classifier"
    extract(corpus, grown, models)
    before = {}
    for name, command in commands(grown, models, classifier).items():
        if name == "predictions":
            run(cli, ("train-classifier", "svm", grown / "fused", "--output", classifier))
        run(cli, command)
        before[name] = contents(grown / name)
    shutil.copytree(later, corpus, dirs_exist_ok=True)
    extract(corpus, grown, models)
    for name, command in commands(grown, models, classifier).items():
        summary = run(cli, command)
        assert summary["rows"] == 25
        assert summary["reused"] == len(before[name]) < summary["parts"]
        assert before[name].items() <= contents(grown / name).items()
        assert cli("verify", grown / name)[0] == 0
        assert run(cli, command)["reused"] == summary["parts"]
    shutil.copytree(grown, anew, ignore=shutil.ignore_patterns(*before))
    for name, command in commands(anew, models, classifier).items():
        run(cli, command)
        assert read_table(str(anew / name)).equals(read_table(str(grown / name)))
        assert read_errors(str(anew / name)).equals(read_errors(str(grown / name)))
        assert read_index(str(anew / name)).fingerprint == read_index(str(grown / name)).fingerprint


def test_tables_that_did_not_grow_alike_are_not_fused(cli, recordings, models, tmp_path):
    corpus, later = recordings
    extract(corpus, tmp_path, models)
    wanted = commands(tmp_path, models, tmp_path / "classifier")
    for name in ("pooled-a", "pooled-b", "fused"):
        run(cli, wanted[name])
    before = contents(tmp_path / "fused")
    shutil.copytree(later, corpus, dirs_exist_ok=True)
    extract(corpus, tmp_path, {"a": models["a"]})
    run(cli, wanted["pooled-a"])
    refused(cli(*wanted["fused"]), "input 'pooled-a' is another one now")
    refused(cli(*wanted["fused"], "--overwrite"), "keys are only in 'pooled-a'")
    extract(corpus, tmp_path, {"b": models["b"]})
    run(cli, wanted["pooled-b"])
    assert run(cli, wanted["fused"])["reused"] == len(before)
