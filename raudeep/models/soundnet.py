"""SoundNet (Aytar et al. 2016): features of the waveform from published weights.

No weights are shipped. A file that somebody else made is read as numbers only: what runs code on
loading, as pickles can, is refused.
"""

import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raudeep.config import SoundNetConfig
from raudeep.errors import TableError

__all__ = ["SAMPLE_RATE", "SoundNet", "read_soundnet"]

SAMPLE_RATE = 22_050
AMPLITUDE = 256.0
"""Of a full-scale sample in what the network was trained on."""
MIN_SECONDS = 10.0
"""Shorter recordings are repeated to this length, as for the paper's ESC-50 figures."""

# Channels, kernel, padding, pooling of each layer; the step is 2 throughout.
_LAYERS = {
    "conv1": (16, 64, 32, 8),
    "conv2": (32, 32, 16, 8),
    "conv3": (64, 16, 8, None),
    "conv4": (128, 8, 4, None),
    "conv5": (256, 4, 2, 4),
    "conv6": (512, 4, 2, None),
    "conv7": (1024, 4, 2, None),
}
_HEADS = {"conv8": 1000, "conv8_2": 401}  # objects and scenes
_HEAD_KERNEL = 8

# What the arrays of a layer are called in the conversion to NumPy that is in use.
_NUMPY_NAMES = {
    "weights": "0.weight",
    "biases": "0.bias",
    "gamma": "1.weight",
    "beta": "1.bias",
    "mean": "1.running_mean",
    "var": "1.running_var",
}
_NUMPY_GLOBALS = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}


class SoundNet(nn.Module):
    """The convolutional layers of the 8-layer network, as far as a layer of interest.

    Parameters
    ----------
    layer : str
        See `SoundNetConfig`.

    References
    ----------
    Aytar, Vondrick and Torralba, SoundNet: Learning sound representations from unlabeled video,
    NIPS 2016; sizes from its training script (github.com/cvondrick/soundnet).
    """

    def __init__(self, layer: str) -> None:
        super().__init__()
        self._heads = layer == "conv8"
        size = 1
        for name, (channels, kernel, padding, pooling) in _LAYERS.items():
            number = name[-1]
            block = nn.Sequential(
                nn.Conv1d(size, channels, kernel, stride=2, padding=padding),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
            )
            if pooling is not None and layer != name:
                block.append(nn.MaxPool1d(pooling))
            self.add_module(name, block)
            size = channels
            if layer[-1] == number:
                break
        if self._heads:
            for name, classes in _HEADS.items():
                head = nn.Conv1d(size, classes, _HEAD_KERNEL, stride=2)
                self.add_module(name, nn.Sequential(head))
            size = sum(_HEADS.values())
        self.size = size
        """Channels of the layer."""

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return the layer's channels over time (B, E, T) of waveforms (B, 1, samples)."""
        x = waveforms
        for name in _LAYERS:
            if hasattr(self, name):
                x = getattr(self, name)(x)
        if self._heads:
            return torch.cat([getattr(self, name)(x) for name in _HEADS], dim=1)
        return x

    @torch.inference_mode()
    def embed(self, samples: NDArray[np.float32], *, pooling: str) -> NDArray[np.float32]:
        """Return the mean or maximum over time of each channel, shape (E,).

        Parameters
        ----------
        samples : ndarray of float32, shape (samples,)
            One channel at 22050 Hz, amplitudes in [-1, 1]; repeated to 10 s if it is shorter.
        pooling : {"mean", "max"}
            What is taken over time.
        """
        samples = np.resize(samples, max(samples.size, int(MIN_SECONDS * SAMPLE_RATE)))
        device = next(self.parameters()).device
        waveform = torch.from_numpy(samples * np.float32(AMPLITUDE)).to(device)
        channels = self(waveform.view(1, 1, -1))[0]
        pooled = channels.mean(dim=1) if pooling == "mean" else channels.amax(dim=1)
        return np.asarray(pooled.cpu().numpy())


def read_soundnet(content: bytes, *, name: str, config: SoundNetConfig) -> SoundNet:
    """Return the network with the weights of a file, on the CPU, in evaluation mode.

    Parameters
    ----------
    content : bytes
        A PyTorch state dictionary (``.pt``, ``.pth``) or safetensors with the names of the
        conversion to PyTorch (``conv1.0.weight``, ``conv1.1.running_mean``), or the conversion to
        NumPy (``.npy`` with a dictionary of dictionaries, or ``.npz`` with ``conv1/weights``).
    name : str
        Name of the file; its suffix says what it is.
    config : SoundNetConfig
        The layer of interest; later ones may be missing from the file.

    Raises
    ------
    TableError
        If the file is not one of these, holds anything but arrays, lacks a layer, or has weights
        that are not finite.
    """
    suffix = name.rsplit(".", 1)[-1].lower()
    if suffix == "t7":
        raise TableError(
            f"{name}: Torch 7 files are not read. Take a conversion of the weights to NumPy "
            "(sound8.npy) or to PyTorch."
        )
    if suffix not in _READERS:
        known = ", ".join(f".{known}" for known in _READERS)
        raise TableError(f"{name}: weights of SoundNet are one of {known}.")
    try:
        arrays = _READERS[suffix](content)
        weights = {key: torch.as_tensor(value).float() for key, value in arrays.items()}
    except _UNREADABLE as error:
        # What the libraries say of a damaged file is how to read it unsafely.
        said = error if isinstance(error, _UnusableError) else "it is damaged, or of another kind"
        raise TableError(f"{name}: not usable as weights of SoundNet: {said}.") from error
    net = SoundNet(config.layer)
    own = net.state_dict()
    wanted = [key for key in own if not key.endswith("num_batches_tracked")]
    if missing := [key for key in wanted if key not in weights]:
        raise TableError(
            f"{name}: {len(missing)} of {len(wanted)} weights of SoundNet are missing, e.g. "
            f"{missing[0]!r}. The file has {', '.join(sorted(weights)[:5]) or 'none'}, ..."
        )
    for key in wanted:
        shape = tuple(own[key].shape)
        # Converted kernels may have a last axis of size 1: the original knows images only.
        if tuple(weights[key].shape) not in (shape, (*shape, 1)):
            raise TableError(
                f"{name}: {key!r} has shape {tuple(weights[key].shape)}, and must have {shape}."
            )
        if not weights[key].isfinite().all():
            raise TableError(f"{name}: {key!r} holds values that are NaN or infinite.")
        own[key] = weights[key].reshape(own[key].shape)
    net.load_state_dict(own)
    return net.eval()


class _UnusableError(ValueError):
    """A file that is none of weights, with words for the user."""


class _ArrayUnpickler(pickle.Unpickler):
    """Loads dictionaries of arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NUMPY_GLOBALS:
            raise _UnusableError(
                f"it holds {module}.{name}, and may hold nothing but arrays and dictionaries"
            )
        return super().find_class(module, name)


def _read_npy(content: bytes) -> dict[str, Any]:
    """Return the arrays of a pickled dictionary of dictionaries, as Python 2 or 3 wrote it."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise _UnusableError(f"it has the NumPy format {version}")
    _, _, dtype = read_header(file)
    if dtype.kind != "O":
        raise _UnusableError("it holds one array, and should hold a dictionary")
    layers = _ArrayUnpickler(file, encoding="latin1").load().item()
    if not isinstance(layers, dict) or not all(isinstance(x, dict) for x in layers.values()):
        raise _UnusableError("it holds no dictionary of dictionaries")
    return _from_numpy_names(
        {f"{layer}/{key}": layers[layer][key] for layer in layers for key in layers[layer]}
    )


def _read_npz(content: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return _from_numpy_names(dict(file))


def _from_numpy_names(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays as PyTorch names them, kernels (width, 1, in, out) as (out, in, width)."""
    renamed = {}
    for key, value in arrays.items():
        layer, _, kind = key.partition("/")
        if kind in _NUMPY_NAMES:
            array = np.asarray(value, dtype=np.float32)
            if array.ndim == 4:
                array = np.ascontiguousarray(array[:, 0].transpose(2, 1, 0))
            renamed[f"{layer}.{_NUMPY_NAMES[kind]}"] = array
    return renamed


def _read_torch(content: bytes) -> dict[str, Any]:
    loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(loaded, dict):
        raise _UnusableError("it holds no state dictionary")
    loaded = loaded.get("state_dict", loaded)
    # Models that were trained in parallel carry a prefix.
    return {
        re.sub(r"^module\.", "", key): value
        for key, value in loaded.items()
        if isinstance(value, Tensor)
    }


_READERS = {
    "npy": _read_npy,
    "npz": _read_npz,
    "pt": _read_torch,
    "pth": _read_torch,
    "safetensors": safetensors.torch.load,
}
_UNREADABLE = (
    pickle.UnpicklingError,
    safetensors.SafetensorError,
    zipfile.BadZipFile,
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
