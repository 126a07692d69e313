"""SoundNet: its layers against a plain recomputation, and the files that weights come in."""

import io
import os
import pickle
import zipfile
from typing import ClassVar

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.nn import functional

from raudeep.config import SoundNetConfig
from raudeep.errors import TableError
from raudeep.models.soundnet import read_soundnet

SIZES = [
    ("conv1", 1, 16, 64, 32),
    ("conv2", 16, 32, 32, 16),
    ("conv3", 32, 64, 16, 8),
    ("conv4", 64, 128, 8, 4),
    ("conv5", 128, 256, 4, 2),
    ("conv6", 256, 512, 4, 2),
    ("conv7", 512, 1024, 4, 2),
]
POOLS = {"conv1": 8, "conv2": 8, "conv5": 4}
HEADS = [("conv8", 1000), ("conv8_2", 401)]


@pytest.fixture(scope="module")
def layers():
    """Return random weights as the conversion to NumPy names and shapes them."""
    rng = np.random.default_rng(0)
    found = {}
    for name, size, channels, kernel, _ in SIZES:
        found[name] = {
            "weights": rng.normal(0, (size * kernel) ** -0.5, (kernel, 1, size, channels)),
            "biases": rng.normal(size=channels),
            "gamma": rng.uniform(0.5, 1.5, channels),
            "beta": rng.normal(size=channels),
            "mean": rng.normal(size=channels),
            "var": rng.uniform(0.5, 1.5, channels),
        }
    for name, classes in HEADS:
        found[name] = {
            "weights": rng.normal(0, 0.01, (8, 1, 1024, classes)),
            "biases": rng.normal(size=classes),
        }
    return {
        name: {key: value.astype(np.float32) for key, value in inner.items()}
        for name, inner in found.items()
    }


def kernel(array):
    """Return a kernel (width, 1, in, out) as (out, in, width)."""
    return torch.from_numpy(array[:, 0].transpose(2, 1, 0).copy())


def recompute(layers, samples, layer):
    """Return the mean over time of a layer, straight from the definition."""
    tensors = {
        name: {key: torch.from_numpy(value) for key, value in inner.items()}
        for name, inner in layers.items()
    }
    samples = np.resize(samples, max(samples.size, 220_500))
    x = torch.from_numpy(256 * samples).view(1, 1, -1)
    for name, _, _, _, padding in SIZES:
        own = tensors[name]
        x = functional.conv1d(
            x, kernel(layers[name]["weights"]), own["biases"], stride=2, padding=padding
        )
        scale = own["gamma"] / torch.sqrt(own["var"] + 1e-5)
        x = torch.relu((x - own["mean"][:, None]) * scale[:, None] + own["beta"][:, None])
        if layer == name:
            break
        if name in POOLS:
            x = functional.max_pool1d(x, POOLS[name])
        if layer == name.replace("conv", "pool"):
            break
    if layer == "conv8":
        x = torch.cat(
            [
                functional.conv1d(x, kernel(layers[n]["weights"]), tensors[n]["biases"], stride=2)
                for n, _ in HEADS
            ],
            dim=1,
        )
    return x[0]


def npy(layers):
    file = io.BytesIO()
    np.save(file, layers, allow_pickle=True)
    return file.getvalue()


def npz(layers):
    file = io.BytesIO()
    np.savez(file, **{f"{n}/{key}": a for n, inner in layers.items() for key, a in inner.items()})
    return file.getvalue()


def state_dict(layers, *, prefix="", image=True):
    names = {
        "weights": "0.weight",
        "biases": "0.bias",
        "gamma": "1.weight",
        "beta": "1.bias",
        "mean": "1.running_mean",
        "var": "1.running_var",
    }
    found = {}
    for layer, inner in layers.items():
        for key, array in inner.items():
            value = kernel(array) if key == "weights" else torch.from_numpy(array)
            if key == "weights" and image:
                value = value[..., None]  # a convolution of images, as the published one is
            found[f"{prefix}{layer}.{names[key]}"] = value.contiguous()
    return found


def torch_file(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def files(layers):
    return {
        "sound8.npy": npy(layers),
        "sound8.npz": npz(layers),
        "sound8.pth": torch_file(state_dict(layers)),
        "parallel.pt": torch_file({"state_dict": state_dict(layers, prefix="module.")}),
        "sound8.safetensors": safetensors.torch.save(state_dict(layers, image=False)),
    }


@pytest.mark.parametrize("name", ["sound8.npy", "sound8.npz", "sound8.pth", "parallel.pt"])
def test_every_form_of_the_weights_gives_the_same_network(layers, name):
    config = SoundNetConfig(layer="pool5")
    expected = read_soundnet(
        files(layers)["sound8.safetensors"], name="sound8.safetensors", config=config
    ).state_dict()
    found = read_soundnet(files(layers)[name], name=name, config=config).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("layer", "size"),
    [("pool1", 16), ("conv4", 128), ("conv5", 256), ("pool5", 256), ("conv7", 1024)],
)
def test_a_layer_equals_its_definition(layers, rng, layer, size):
    samples = rng.uniform(-1, 1, 230_000).astype(np.float32)
    net = read_soundnet(npy(layers), name="sound8.npy", config=SoundNetConfig(layer=layer))
    expected = recompute(layers, samples, layer)
    assert expected.shape[0] == net.size == size
    for pooling, values in (("mean", expected.mean(dim=1)), ("max", expected.amax(dim=1))):
        np.testing.assert_allclose(net.embed(samples, pooling=pooling), values, rtol=1e-3)


def test_the_last_layer_scores_objects_and_scenes_of_a_recording_that_is_repeated(layers, rng):
    samples = rng.uniform(-1, 1, 22_050).astype(np.float32)
    net = read_soundnet(npy(layers), name="sound8.npy", config=SoundNetConfig(layer="conv8"))
    expected = recompute(layers, samples, "conv8")
    assert expected.shape == (1401, 1)
    np.testing.assert_allclose(net.embed(samples, pooling="mean"), expected[:, 0], atol=1e-3)


def test_layers_behind_the_one_of_interest_may_be_missing(layers):
    first = {name: layers[name] for name in ("conv1", "conv2", "conv3")}
    config = SoundNetConfig(layer="conv3")
    assert read_soundnet(npy(first), name="a.npy", config=config).size == 64
    with pytest.raises(TableError, match=r"6 of 24 weights .* missing, e.g. 'conv4.0.weight'"):
        read_soundnet(npy(first), name="a.npy", config=SoundNetConfig(layer="conv4"))


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, for which Python 3 has no form of its own."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)
        self.memoize(value)

    dispatch[bytes] = save_string


def test_weights_that_python_2_pickled_are_read(layers):
    first = {name: layers[name] for name in ("conv1", "conv2")}
    array = np.empty((), object)
    array[()] = first
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    Python2Pickler(file, protocol=2).dump(array)
    content = file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"_codecs" not in content
    net = read_soundnet(content, name="sound8.npy", config=SoundNetConfig(layer="pool2"))
    expected = read_soundnet(npy(layers), name="sound8.npy", config=SoundNetConfig(layer="pool2"))
    for key, value in expected.state_dict().items():
        assert torch.equal(net.state_dict()[key], value)


class Hostile:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize("name", ["sound8.npy", "sound8.pth", "sound8.npz"])
def test_a_file_that_would_run_code_is_refused(name):
    if name.endswith("npy"):
        content = npy({"conv1": {"weights": Hostile()}})
    elif name.endswith("npz"):
        file = io.BytesIO()
        np.savez(file, **{"conv1/weights": np.array([Hostile()], object)}, allow_pickle=True)
        content = file.getvalue()
    else:
        content = torch_file({"conv1.0.weight": Hostile()})
    with pytest.raises(TableError, match=f"{name}: not usable as weights of SoundNet"):
        read_soundnet(content, name=name, config=SoundNetConfig())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("soundnet8_final.t7", b"", "Torch 7 files are not read. Take a conversion"),
        ("weights.h5", b"", r"one of \.npy, \.npz, \.pt, \.pth, \.safetensors"),
        ("a.npy", b"", "not usable as weights"),
        ("a.npy", b"\x93NUMPY\x01\x00nonsense", "not usable as weights"),
        ("a.npz", b"PK\x03\x04nonsense", "not usable as weights"),
        ("a.pth", b"nonsense", "not usable as weights"),
        ("a.safetensors", b"nonsense", "not usable as weights"),
        ("a.safetensors", safetensors.torch.save({}), "15|missing"),
    ],
)
def test_a_file_that_holds_no_weights_is_refused(name, content, message):
    with pytest.raises(TableError, match=message):
        read_soundnet(content, name=name, config=SoundNetConfig())


def test_an_array_where_a_dictionary_should_be_is_refused():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    with pytest.raises(TableError, match="holds one array, and should hold a dictionary"):
        read_soundnet(file.getvalue(), name="a.npy", config=SoundNetConfig())


@pytest.mark.parametrize("name", ["a.pth", "a.npz", "a.npy"])
def test_a_damaged_file_is_not_said_to_be_readable_unsafely(name):
    with pytest.raises(TableError, match=r"it is damaged, or of another kind\.$"):
        read_soundnet(bytes(range(100)), name=name, config=SoundNetConfig())


def test_weights_that_are_not_finite_are_refused(layers):
    wrong = {**layers, "conv1": {**layers["conv1"], "biases": np.full(16, np.nan, np.float32)}}
    with pytest.raises(TableError, match=r"'conv1.0.bias' holds values that are NaN or infinite"):
        read_soundnet(npy(wrong), name="a.npy", config=SoundNetConfig())


def test_weights_of_another_shape_are_refused(layers):
    wrong = {**layers, "conv1": {**layers["conv1"], "biases": np.zeros(17, np.float32)}}
    with pytest.raises(
        TableError, match=r"'conv1.0.bias' has shape \(17,\), and must have \(16,\)"
    ):
        read_soundnet(npy(wrong), name="a.npy", config=SoundNetConfig())


def test_a_zip_bomb_of_a_name_is_no_weight():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("conv1/weights.npy", b"nonsense")
    with pytest.raises(TableError):
        read_soundnet(file.getvalue(), name="a.npz", config=SoundNetConfig())
