"""An autoencoder that another package brings, `convolutional.py` beside this file."""

import json
import logging
import os
import pkgutil
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import soundfile

from raudeep.config import ArchitectureConfig, AutoencoderConfig, autoencoder, autoencoder_kinds
from raudeep.errors import ConfigError
from raudeep.models.autoencoder import Autoencoder, build_autoencoder
from raudeep.pipeline.stage import embedding_array
from raudeep.recipe import parse_recipe
from raudeep.storage.table import read_table
from tests.pipeline.convolutional import ConvolutionalConfig
from tests.support import refused, run

OWN = Path(__file__).with_name("convolutional.py")
RECIPE = """
[views.30db]
n_mels = 16
[autoencoder]
kind = "convolutional"
[autoencoders.30db]
num_channels = 4
"""


def install(site, module, *entries):
    """Write a package of one module into `site`, as an installer does, with its entry points."""
    (site / f"{module.stem}.py").write_text(module.read_text())
    info = site / "own-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[raudeep.autoencoders]", *entries, ""]))
    return {"PYTHONPATH": os.pathsep.join([str(site), os.environ["PYTHONPATH"]])}


@pytest.fixture
def offered(monkeypatch):
    """Return a function that makes kinds of those that entry points offer, by name and value."""

    def offer(**entries):
        found = [EntryPoint(name, value, "raudeep.autoencoders") for name, value in entries.items()]
        monkeypatch.setattr(autoencoder, "entry_points", lambda group: found)
        autoencoder_kinds.cache_clear()
        return autoencoder_kinds()

    yield offer
    autoencoder_kinds.cache_clear()


def test_it_is_trained_embeds_and_reconstructs_as_any_other(cli, rng, tmp_path):
    audio, site = tmp_path / "audio", tmp_path / "site"
    audio.mkdir()
    site.mkdir()
    for number in range(8):
        noise = rng.normal(size=int(rng.integers(2000, 16_000))) * 0.1
        soundfile.write(audio / f"{number}.wav", noise, 8000)
    view = ("--window-seconds", 0.032, "--overlap-seconds", 0.016, "--n-mels", 16)
    installed = install(site, OWN, "convolutional = convolutional:ConvolutionalConfig")
    table, model = tmp_path / "table", tmp_path / "model"

    code, _, err = cli("extract", audio, *view, "--output", table)
    assert code == 0, err
    command = ("train", "convolutional", table, "--output", model)
    for name in ("numpy", "ray", "torch", "convolutional"):  # what lies about is not imported
        (audio / f"{name}.py").write_text("raise SystemExit('a module of the corpus ran')")
    code, _, err = run(*command, "--num-channels", 4, "--num-epochs", 2, cwd=audio, **installed)
    assert code == 0, err
    code, out, err = run("inspect", model, "--json", **installed)
    assert code == 0, err
    said = json.loads(out)
    assert (said["kind"], said["embedding sizes"]) == ("convolutional", {"state": 4, "pooled": 8})
    assert said["autoencoder"] == {"mask_silence": False, "num_channels": 4, "kernel_frames": 5}

    embedded = ("--model", model, "--readouts", "state", "--output")
    code, _, err = run("embed", audio, *embedded, tmp_path / "audio-embedded", **installed)
    assert code == 0, err
    code, _, err = run("embed", table, *embedded, tmp_path / "embedded", **installed)
    assert code == 0, err
    rows = read_table(str(tmp_path / "embedded"))
    assert rows["file"].to_pylist() == [f"{number}.wav" for number in range(8)]
    again = embedding_array(read_table(str(tmp_path / "audio-embedded")))
    np.testing.assert_allclose(embedding_array(rows), again, atol=1e-6)
    assert np.isfinite(again).all()
    assert np.ptp(again, axis=0).min() > 0

    made = tmp_path / "reconstructed"
    code, _, err = run("reconstruct", table, "--model", model, "--output", made, **installed)
    assert code == 0, err
    assert read_table(str(made))["frames"] == read_table(str(table))["frames"]

    result = cli("inspect", model)  # where the package is not installed
    refused(result, str(model), "a package to install first. Got 'convolutional'")


def test_recipes_know_its_fields(offered):
    kinds = offered(convolutional="tests.pipeline.convolutional:ConvolutionalConfig")
    assert list(kinds) == ["time", "frequency", "frequency-time", "convolutional"]
    content = tomllib.loads(RECIPE)
    model = parse_recipe(content, where="own.toml").autoencoders["30db"].model
    assert model == ConvolutionalConfig(num_channels=4)
    offered()
    with pytest.raises(ConfigError, match=r"kind .* is one of 'time', .*Got 'convolutional'"):
        parse_recipe(content, where="own.toml")
    offered(convolutional="tests.pipeline.convolutional:ConvolutionalConfig")
    content["autoencoder"]["kernel_frames"] = 4
    with pytest.raises(ConfigError, match=r"'kernel_frames' parameter of .* must be odd"):
        parse_recipe(content, where="own.toml")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("lost", "no_such_module:Config", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("lost", "tests.pipeline.convolutional:Other", "AttributeError"),
        ("model", "tests.pipeline.convolutional:Convolutional", "no class derived from"),
        ("other", "tests.pipeline.convolutional:ConvolutionalConfig", "Got 'convolutional'"),
        ("nothing", f"{__name__}:Nothing", "'implementation' must name its model"),
        ("time", "raudeep.config:AutoencoderConfig", "another autoencoder has this name"),
    ],
)
def test_what_cannot_be_used_is_left_out_with_a_line(offered, caplog, name, value, reason):
    with caplog.at_level(logging.WARNING):
        kinds = offered(**{name: value})
    assert list(kinds) == ["time", "frequency", "frequency-time"]
    assert kinds["time"] is AutoencoderConfig
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith(f"the autoencoder {name!r} ({value}) cannot be used: ")
    assert reason in said


def test_a_broken_package_takes_no_command_with_it(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise OSError('no such device')\n")
    site = tmp_path / "site"
    site.mkdir()
    code, out, err = run("train", "--help", **install(site, broken, "broken = broken:Config"))
    assert code == 0
    assert "frequency-time" in out
    said = "the autoencoder 'broken' (broken:Config) cannot be used: OSError: no such device"
    assert err.splitlines() == [said]


class Nothing(ArchitectureConfig):
    """A class of fields that names no model."""

    kind = "nothing"


class Unfinished(Autoencoder):
    """A model that its author has not finished."""


@pytest.mark.parametrize(
    ("implementation", "reason"),
    [
        ("no_such_module:Model", r"cannot be imported: ModuleNotFoundError: No module named 'no_"),
        ("raudeep.config:Missing", r"cannot be imported: AttributeError: .*'Missing'"),
        ("raudeep.config:AutoencoderConfig", r"is no class derived from raudeep\.Autoencoder"),
        ("no module", r"cannot be imported: ValueError"),
        (f"{__name__}:Unfinished", r"lacks 'encode', 'forward', 'frame_size', 'representation_siz"),
    ],
)
def test_a_model_that_is_none_is_refused(monkeypatch, implementation, reason):
    monkeypatch.setattr(ConvolutionalConfig, "implementation", implementation)
    with pytest.raises(ConfigError, match=reason) as caught:
        build_autoencoder(16, ConvolutionalConfig())
    said = str(caught.value)
    assert said.startswith(f"the implementation {implementation!r} of the kind 'convolutional' ")


def test_a_class_of_fields_names_its_kind_and_its_model():
    assert issubclass(AutoencoderConfig, ArchitectureConfig)
    for kind, config in autoencoder_kinds().items():
        assert config.kind == kind
        assert issubclass(pkgutil.resolve_name(config.implementation), Autoencoder)
