import dataclasses
import json

import pyarrow as pa
import pytest
import torch

from raudeep.config import AutoencoderConfig, SpectrogramConfig, TrainingConfig
from raudeep.errors import TableError
from raudeep.models.artifact import (
    CONFIG_FILE,
    FORMAT_VERSION,
    TrainedAutoencoder,
    load_artifact,
    pack_artifact,
)
from raudeep.models.autoencoder import build_autoencoder
from raudeep.pipeline.artifacts import (
    artifact_identity,
    delete_artifact,
    forget_epochs,
    is_artifact,
    keep_epoch,
    kept_epochs,
    load_autoencoder,
    read_examples,
    read_history,
    read_optimizer_state,
    write_artifact,
    write_events,
)
from raudeep.storage.identity import Identity

IDENTITY = Identity("autoencoder", {"training": {"seed": 3}}, {"spectrograms0": "0123"})
SPECTROGRAM = SpectrogramConfig(n_mels=4, clip_below_db=-60.0, fixed_seconds=5.0)
STATE = {"core.output.bias.exp_avg": torch.arange(4.0)}
HISTORY = [{"epoch": 1, "loss": 0.5, "validation_loss": None}, {"epoch": 2, "loss": 0.25}]
OWNER = IDENTITY.fingerprint


def make(**settings):
    torch.manual_seed(0)
    config = AutoencoderConfig(**{"num_units": 5, "num_layers": 2, **settings})
    return TrainedAutoencoder(
        name="esc10-60db",
        model=build_autoencoder(4, config),
        input=dataclasses.asdict(SPECTROGRAM),
        training=TrainingConfig(seed=3, gradient_clip=None),
        identity=dataclasses.asdict(IDENTITY),
        metrics={"chunks": 8, "epoch": 2, "loss": 0.25, "validation_loss": None},
    )


@pytest.fixture
def trained():
    return make()


@pytest.fixture
def files(trained):
    return pack_artifact(trained, versions={"raudeep": "1.2.3"})


def load(files):
    return load_artifact(read_from(files), where="PLACE")


def read_from(files):
    def read(name):
        if name not in files:
            raise FileNotFoundError(name)
        return files[name]

    return read


def with_config(files, **changes):
    config = {**json.loads(files[CONFIG_FILE]), **changes}
    return {**files, CONFIG_FILE: json.dumps(config).encode()}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"cell": "lstm", "bidirectional_encoder": True},
        {"bidirectional_decoder": True, "initialisation": "pytorch", "dropout": 0},
        {"feed_previous_prob": 0.5, "encoder_noise": 0.1, "mask_silence": True},
    ],
)
def test_loaded_autoencoder_gives_the_same_outputs_and_configurations(settings):
    trained = make(**settings)
    loaded = load(pack_artifact(trained, versions={}))
    assert not loaded.model.training
    assert loaded.model.config == trained.model.config
    for name in ("name", "input", "spectrogram", "training", "identity", "metrics"):
        assert getattr(loaded, name) == getattr(trained, name)
    spectrograms = torch.rand(3, 6, 4) * 2 - 1
    with torch.no_grad():
        assert torch.equal(loaded.model(spectrograms)[0], trained.model.eval()(spectrograms)[0])


def test_configuration_is_the_last_file(files):
    assert list(files)[-1] == CONFIG_FILE
    assert len(files) == 3
    config = json.loads(files[CONFIG_FILE])
    assert config["format_version"] == FORMAT_VERSION
    assert config["versions"] == {"raudeep": "1.2.3"}


def test_packing_leaves_the_mode_of_the_model_alone(trained):
    trained.model.train()
    pack_artifact(trained, versions={})
    assert trained.model.training


def test_model_card_names_the_sizes_and_the_settings(files):
    card = files["README.md"].decode()
    assert "`state`: 10 values" in card
    assert "`pooled`: 10 values" in card
    for text in ("# esc10-60db", "1.2.3", "| `clip_below_db` | -60.0 |", "| `num_units` | 5 |"):
        assert text in card


@pytest.mark.parametrize("version", [0, FORMAT_VERSION + 1, "x", None])
def test_another_format_version_is_refused(files, version):
    with pytest.raises(TableError, match=r"^PLACE: model format .*reads 2\. Train it again"):
        load(with_config(files, format_version=version))


@pytest.mark.parametrize("name", ["model.safetensors", CONFIG_FILE])
def test_missing_file_is_an_error_that_names_the_place(files, name):
    del files[name]
    with pytest.raises(TableError, match=r"^PLACE holds no finished autoencoder"):
        load(files)


@pytest.mark.parametrize("name", ["model.safetensors", CONFIG_FILE])
def test_missing_file_on_disk_is_named(tmp_path, files, name):
    del files[name]
    for other, content in files.items():
        (tmp_path / other).write_bytes(content)
    with pytest.raises(TableError, match=rf"holds no finished autoencoder \({name} missing\)"):
        load_autoencoder(str(tmp_path))


@pytest.mark.parametrize("section", ["autoencoder", "training"])
def test_configuration_with_an_unknown_or_invalid_value_is_a_table_error(files, section):
    values = json.loads(files[CONFIG_FILE])[section]
    for changed in ({**values, "newer": 1}, [1], 3):
        with pytest.raises(TableError, match=r"^PLACE: the model cannot be read"):
            load(with_config(files, **{section: changed}))


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_truncated_weights_are_an_error_that_names_the_place(files, size):
    files["model.safetensors"] = files["model.safetensors"][:size]
    with pytest.raises(TableError, match=r"^PLACE: the model cannot be read"):
        load(files)


@pytest.mark.parametrize(
    "content",
    [b"", b"not json", b"\xff\xfe\x00", b"{}", b'{"format_version', b"[1]", b"3", b"null"],
)
def test_garbage_configuration_is_an_error_that_names_the_place(files, content):
    with pytest.raises(TableError, match=r"^PLACE: the model cannot be read"):
        load({**files, CONFIG_FILE: content})


def test_weights_of_another_shape_are_an_error_that_names_the_place(files):
    other = pack_artifact(make(num_units=6), versions={})
    with pytest.raises(TableError, match=r"^PLACE: the model cannot be read: .* do not fit"):
        load({**files, "model.safetensors": other["model.safetensors"]})


@pytest.mark.parametrize("section", ["autoencoder", "bands", "name", "metrics"])
def test_configuration_without_a_section_is_an_error_that_names_it(files, section):
    config = json.loads(files[CONFIG_FILE])
    del config[section]
    with pytest.raises(TableError, match=f"^PLACE: .*{section}"):
        load({**files, CONFIG_FILE: json.dumps(config).encode()})


@pytest.fixture
def examples():
    return pa.table(
        {
            "file": ["a.wav", "b.wav"],
            "spectrogram": pa.array([[0.0, 1.0], [2.0, 3.0]], pa.list_(pa.float32())),
        }
    )


def test_stored_artifact_is_read_as_it_was_written(tmp_path, trained, examples):
    uri = str(tmp_path / "models" / "esc10")
    assert not is_artifact(uri)
    write_artifact(uri, trained, history=HISTORY, examples=examples, optimizer_state=STATE)
    assert is_artifact(uri)
    assert artifact_identity(uri) == IDENTITY
    assert read_history(uri) == HISTORY
    assert read_examples(uri).equals(examples)
    (state,) = read_optimizer_state(uri).values()
    assert state.tolist() == [0, 1, 2, 3]
    loaded = load_autoencoder(uri)
    assert loaded.spectrogram == trained.spectrogram
    assert loaded.training == trained.training
    for name, weight in trained.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], weight)
    written = {path.name for path in (tmp_path / "models" / "esc10").iterdir()}
    assert written == {
        "README.md",
        "config.json",
        "examples.parquet",
        "history.json",
        "model.safetensors",
        "optimizer.safetensors",
    }


def test_an_artifact_is_deleted_with_nothing_else_of_its_folder(tmp_path, trained, examples):
    uri = str(tmp_path)
    write_artifact(uri, trained, history=HISTORY, examples=examples, optimizer_state=STATE)
    keep_epoch(uri, OWNER, 1, trained.model.state_dict())
    write_events(uri, {f"events.out.tfevents.1.host.{OWNER}": b"loss"})
    for name in ("notes.txt", "data/a.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    delete_artifact(uri)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.wav", "data", "notes.txt"]
    delete_artifact(uri)


def test_folder_without_artifact_is_an_error_that_names_it(tmp_path):
    with pytest.raises(TableError, match="nothing-here holds no finished autoencoder"):
        load_autoencoder(str(tmp_path / "nothing-here"))
    with pytest.raises(TableError, match=r"nothing-here holds no finished autoencoder"):
        artifact_identity(str(tmp_path / "nothing-here"))


def test_interrupted_writing_leaves_no_artifact(tmp_path, trained, examples, monkeypatch):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("raudeep.pipeline.artifacts.pack_artifact", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_artifact(
            str(tmp_path), trained, history=HISTORY, examples=examples, optimizer_state=STATE
        )
    assert not is_artifact(str(tmp_path))


def test_epochs_that_were_kept_can_be_loaded_and_others_are_refused_by_name(
    tmp_path, trained, examples
):
    uri = str(tmp_path / "model")
    weights = trained.model.state_dict()
    for epoch in range(1, 6):
        changed = {name: torch.full_like(value, epoch) for name, value in weights.items()}
        keep_epoch(uri, OWNER, epoch, changed)
    forget_epochs(uri, OWNER, up_to=2)
    write_artifact(uri, trained, history=HISTORY, examples=examples, optimizer_state=STATE)
    assert kept_epochs(uri, OWNER) == [3, 4, 5]
    loaded = load_autoencoder(uri, epoch=4).model
    assert all(bool((weight == 4).all()) for weight in loaded.parameters())
    last = load_autoencoder(uri, epoch=2).model  # the artifact's own, by its metrics
    assert torch.equal(last.core.output.weight, trained.model.core.output.weight)
    with pytest.raises(TableError, match=r"no weights of epoch 1; it has 2, 3, 4, 5"):
        load_autoencoder(uri, epoch=1)
    forget_epochs(uri, OWNER)
    assert kept_epochs(uri, OWNER) == []


def test_what_another_training_left_is_not_taken_for_the_artifacts_own(tmp_path, trained, examples):
    uri, weights = str(tmp_path / "model"), trained.model.state_dict()
    for owner in ("0123456789abcdef", OWNER):
        keep_epoch(uri, owner, 1, weights)
        write_events(uri, {f"events.out.tfevents.1.host.{owner}": b"loss"})
    assert kept_epochs(uri, OWNER) == [1]
    forget_epochs(uri, OWNER)
    assert kept_epochs(uri, "0123456789abcdef") == [1]
    write_artifact(uri, trained, history=HISTORY, examples=examples, optimizer_state=STATE)
    assert kept_epochs(uri, "0123456789abcdef") == []
    events = [path.name for path in (tmp_path / "model" / "tensorboard").iterdir()]
    assert events == [f"events.out.tfevents.1.host.{OWNER}"]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("history.json", read_history),
        ("examples.parquet", read_examples),
        ("optimizer.safetensors", read_optimizer_state),
    ],
)
def test_a_file_of_an_artifact_that_is_cut_off_or_missing_is_named(
    tmp_path, trained, examples, name, read
):
    write_artifact(
        str(tmp_path), trained, history=HISTORY, examples=examples, optimizer_state=STATE
    )
    place = tmp_path / name
    place.write_bytes(place.read_bytes()[:-7])
    with pytest.raises(TableError, match=rf"{name} cannot be read"):
        read(str(tmp_path))
    place.unlink()
    with pytest.raises(TableError, match=rf"{name} cannot be read"):
        read(str(tmp_path))


@pytest.mark.parametrize(
    ("made_by", "reason"),
    [({"model": "0123", "readout": "state"}, "of another one"), ({"imported": "csv"}, "imported")],
)
def test_input_that_was_not_made_of_audio_says_so(trained, made_by, reason):
    other = dataclasses.replace(trained, input=made_by)
    with pytest.raises(TableError, match=rf"{reason}.*not audio"):
        _ = other.spectrogram
