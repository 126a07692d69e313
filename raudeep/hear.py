"""The common API of HEAR 2021 on trained autoencoders: sounds of one length in, embeddings out.

    hear-validator raudeep.hear -m /data/esc-10-run/models
    python -m heareval.embeddings.runner raudeep.hear --model /data/esc-10-run/models

The path is an autoencoder or a folder of several, whose vectors lie side by side; the parameters of
`load_model` are heareval's ``--model-options '{"readout": "pooled"}'``.

References
----------
Turian et al., HEAR: Holistic Evaluation of Audio Representations, PMLR 176 (2022).
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from raudeep.audio.framing import frame_sizes
from raudeep.audio.spectrogram import compute_views
from raudeep.config import Readout, SpectrogramConfig, check_readouts
from raudeep.errors import AudioError, ConfigError
from raudeep.models.artifact import CONFIG_FILE, TrainedAutoencoder
from raudeep.models.autoencoder import Autoencoder
from raudeep.models.batching import Spectrograms
from raudeep.models.inference import default_batch_size, embed_spectrograms
from raudeep.pipeline.artifacts import load_autoencoder
from raudeep.storage import uri as uris

__all__ = ["HearModel", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

_RATES = (16000, 22050, 44100, 48000)  # Hz; what HEAR's data sets come in
_USUAL_RATE = 44100


class HearModel(nn.Module):
    """Autoencoders that embed sounds; `load_model` makes it.

    Parameters
    ----------
    trained : sequence of TrainedAutoencoder
        At least one. Each reads a sound whole: chunks of its view do not count, and the length of
        the sounds takes the place of a fixed one.
    readout : {"state", "pooled"}
        What embeds a scene.
    sample_rate : int, optional
        Of the audio in Hz; without, the lowest of HEAR's that has all that the views take. Where
        they name no rate, that is what the autoencoders were trained at; 44100 where nothing says.

    Attributes
    ----------
    sample_rate : int
        Of the audio, in Hz.
    scene_embedding_size, timestamp_embedding_size : int
        Values of an embedding.

    Raises
    ------
    ConfigError
        If `readout` is ``"state"`` and an autoencoder has a state for each frame.
    TableError
        If an autoencoder does not say how audio becomes its input.
    """

    def __init__(
        self,
        trained: Sequence[TrainedAutoencoder],
        *,
        readout: Readout = "state",
        sample_rate: int | None = None,
    ) -> None:
        super().__init__()
        check_readouts([readout])
        for each in trained:
            each.check_vector(readout)
        self.readout: Readout = readout
        self.names = [each.name for each in trained]
        self._views = [each.spectrogram for each in trained]
        self._autoencoders = nn.ModuleList(each.model for each in trained)
        needed = max(
            view.sample_rate or max(each.sample_rates, default=_USUAL_RATE)
            for each, view in zip(trained, self._views, strict=True)
        )
        enough = [rate for rate in _RATES if rate >= needed]
        self.sample_rate = sample_rate or min(enough, default=_RATES[-1])
        self.scene_embedding_size = sum(e.model.embedding_size(readout) for e in trained)
        self.timestamp_embedding_size = sum(e.model.frame_size for e in trained)

    @property
    def autoencoders(self) -> list[Autoencoder]:
        """The autoencoders, in order."""
        return cast(list[Autoencoder], list(self._autoencoders))

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return next(self.parameters()).device

    def views(self, num_samples: int) -> list[SpectrogramConfig]:
        """Return how sounds of a length become the input of each autoencoder.

        What is shorter than a window is padded to one.
        """
        seconds = num_samples / self.sample_rate
        return [
            replace(
                view,
                fixed_seconds=None
                if view.fixed_seconds is None and seconds >= view.window_seconds
                else max(seconds, view.window_seconds),
                chunk_seconds=None,
                chunk_count=None,
            )
            for view in self._views
        ]

    def spectrograms(self, audio: Tensor) -> list[Spectrograms]:
        """Return what each autoencoder reads of sounds (N, samples), all of one length."""
        if audio.dim() != 2 or not len(audio):
            raise ConfigError(
                "audio must be a tensor of shape (n_sounds, n_samples), of one sound at least. Got "
                f"shape {tuple(audio.shape)}."
            )
        views = self.views(audio.shape[1])
        samples = audio.detach().cpu().numpy().astype(np.float32, copy=False)
        sounds = [
            compute_views(sound[np.newaxis], sample_rate=self.sample_rate, configs=views)
            for sound in samples
        ]
        if any(chunks[0].silence for sound in sounds for chunks in sound):
            # Not how many: the same warning comes once, not for each batch.
            said = "some of the sounds hold no sound, and their embeddings are all alike"
            warnings.warn(said, stacklevel=2)
        found = []
        for number, model in enumerate(self.autoencoders):
            values = [chunks[number][0].values for chunks in sounds]
            if values[0].shape[1] != model.bands:
                raise ConfigError(
                    f"audio at {self.sample_rate} Hz gives {values[0].shape[1]} bands; "
                    f"{self.names[number]!r} takes {model.bands}. Load it with the sample_rate of "
                    "the recordings that it was trained on."
                )
            lengths = np.array([len(each) for each in values], np.int64)
            found.append(Spectrograms.from_numpy(np.concatenate(values), lengths))
        return found


def load_model(
    model_file_path: str, *, readout: Readout = "state", sample_rate: int | None = None
) -> HearModel:
    """Return autoencoders that embed sounds, on the CPU.

    Parameters
    ----------
    model_file_path : str
        URI of an autoencoder, or of a folder of several (``models`` of a benchmark), which are
        taken in the order of their names.
    readout : {"state", "pooled"}
        What embeds a scene: the representation, or mean and standard deviation of the encoder's
        outputs.
    sample_rate : int, optional
        See `HearModel`.

    Raises
    ------
    ConfigError
        If `readout` is ``"state"`` and an autoencoder has a state for each frame.
    TableError
        If there is no finished autoencoder, or one does not say how audio becomes its input.
    """
    place = uris.absolute(model_file_path)
    folders = sorted(
        name.removesuffix(f"/{CONFIG_FILE}")
        for name in uris.list_files(place)
        if name.count("/") == 1 and name.endswith(f"/{CONFIG_FILE}")
    )
    places = [uris.join(place, name) for name in folders] or [place]
    trained = [load_autoencoder(each) for each in places]
    return HearModel(trained, readout=readout, sample_rate=sample_rate)


def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """Return an embedding for each sound, float32 of shape (N, scene_embedding_size).

    Parameters
    ----------
    audio : Tensor
        Shape (N, samples), mono, in [-1, 1], at the model's sample rate.
    model : HearModel
        See `load_model`.

    Raises
    ------
    ConfigError
        If the audio has another shape, or its rate gives other bands than the model takes.
    AudioError
        If an embedding is not finite.
    """
    found = [
        embed_spectrograms(each, spectrograms, readouts=(model.readout,))[model.readout]
        for each, spectrograms in zip(model.autoencoders, model.spectrograms(audio), strict=True)
    ]
    return _finite(torch.from_numpy(np.concatenate(found, axis=1))).to(model.device)


def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """Return what the encoders give for each frame, and the centre of each frame in milliseconds.

    Shapes (N, T, timestamp_embedding_size) and (N, T), both float32; frames are a hop apart.

    Parameters
    ----------
    audio, model
        As `get_scene_embeddings` takes them.

    Raises
    ------
    ConfigError
        As `get_scene_embeddings`; or if the frames of several autoencoders differ.
    AudioError
        As `get_scene_embeddings`.
    """
    frames = {
        _frames(view, view.sample_rate or model.sample_rate)
        for view in model.views(audio.shape[-1])
    }
    if len(frames) > 1:
        raise ConfigError(
            f"{', '.join(map(repr, model.names))} read other frames of a sound, so their outputs "
            "have no common timestamps. Load one of them."
        )
    ((rate, window_length, hop_length),) = frames
    found = [
        _encode(each, spectrograms, model.device)
        for each, spectrograms in zip(model.autoencoders, model.spectrograms(audio), strict=True)
    ]
    embeddings = _finite(torch.cat(found, dim=-1))
    starts = np.arange(embeddings.shape[1], dtype=np.float64) * hop_length
    centres = (1000 * (starts + window_length / 2) / rate).astype(np.float32)
    return embeddings, torch.from_numpy(centres).to(model.device).expand(len(audio), -1)


def _frames(view: SpectrogramConfig, rate: int) -> tuple[int, int, int]:
    """Return sample rate, window length and hop length of a view's frames."""
    window_length, hop_length = frame_sizes(
        sample_rate=rate,
        window_seconds=view.window_seconds,
        overlap_seconds=view.overlap_seconds,
        fixed_seconds=view.fixed_seconds,
    )
    return rate, window_length, hop_length


def _finite(embeddings: Tensor) -> Tensor:
    """Return what sounds were embedded as; AudioError for one that is no numbers."""
    usable = embeddings.isfinite().flatten(1).all(1)
    if not usable.all():
        raise AudioError(
            f"the embedding of sound {int(usable.int().argmin())} holds NaN or infinite values."
        )
    return embeddings


@torch.no_grad()
def _encode(autoencoder: Autoencoder, spectrograms: Spectrograms, device: torch.device) -> Tensor:
    """Return the vector of each frame, (N, T, H)."""
    found = []
    for rows in torch.split(torch.arange(len(spectrograms)), default_batch_size(device)):
        _, frames = autoencoder.encode(*spectrograms.batch(rows, device))
        found.append(frames.transpose(0, 1).float())
    return torch.cat(found)
