"""Transformers of scikit-learn: recordings in, embeddings out.

    view = SpectrogramConfig(n_mels=128, fixed_seconds=5, clip_below_db=-60)
    embeddings = AutoencoderTransformer("work", spectrogram=view, readout="pooled")
    cross_val_score(make_pipeline(embeddings, StandardScaler(), LinearSVC()), files, labels)

A `FeatureUnion` of several views is the fused vector. Recordings are given by their paths or URIs.
What is made of them lies below a folder, and is found again: by the same call, after a kill.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from raudeep.config import (
    ArchitectureConfig,
    AutoencoderConfig,
    Readout,
    ResourceConfig,
    SpectrogramConfig,
    TrainingConfig,
    check_readouts,
    fingerprint,
    reject_text,
)
from raudeep.config.history import at_default_limits
from raudeep.credentials import public_uri
from raudeep.errors import AudioError, ConfigError
from raudeep.pipeline.artifacts import artifact_identity, load_autoencoder
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.stage import embedding_array
from raudeep.pipeline.training.runs import Run, train_autoencoders
from raudeep.storage import uri as uris
from raudeep.storage.changes import Changes
from raudeep.storage.contents import with_contents, with_times
from raudeep.storage.index import read_index
from raudeep.storage.plan_files import Plan, read_plans
from raudeep.storage.table import read_errors, read_table, take_rows

__all__ = ["AutoencoderTransformer", "EmbeddingTransformer"]

Floats = NDArray[np.float32]


class _RecordingTransformer(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
    ABC,
):
    """Embeds recordings with the autoencoders that `_models` gives."""

    output: str
    readout: Readout

    @abstractmethod
    def _models(self) -> list[str]:
        """Return the URIs of the autoencoders, whose vectors lie side by side."""

    def transform(self, X: Iterable[object]) -> Floats:
        """Return an embedding for each recording, shape (N, E).

        Parameters
        ----------
        X : array-like of str or Path, shape (N,) or (N, 1)
            Paths or URIs of recordings; one may occur several times.

        Raises
        ------
        AudioError
            If a recording cannot be used: a row would be missing.
        ConfigError
            If `X` does not name recordings, or an autoencoder gives no vector for each of them.
        """
        check_is_fitted(self)
        places, manifest = _recordings(X)
        models = self._models()
        for model in models:
            self._check_gives_vectors(model)
        made_by = [artifact_identity(model).fingerprint for model in models]
        folder = uris.join(self.output, "embeddings", fingerprint(made_by, self.readout))
        manifest = _named_by_content(manifest, folder)
        alone = {self.readout: folder} if len(models) == 1 else {}
        embedders = [
            Embedder(name=f"model {number}", model=model, outputs=alone)
            for number, model in enumerate(models)
        ]
        fused = {self.readout: folder} if len(models) > 1 else None
        embed_corpus(_with_planned(manifest, folder), embedders, fused=fused)
        name_of = dict(zip(manifest["uri"].to_pylist(), manifest["file"].to_pylist(), strict=True))
        names = pa.array(name_of[place] for place in places)
        known = read_table(folder, columns=["file"])["file"].combine_chunks()
        rows = pc.index_in(names, value_set=known)
        if rows.null_count:
            errors = read_errors(folder)
            failed = errors.filter(pc.is_in(errors["file"], value_set=names)).to_pylist()
            raise AudioError(
                f"{len(failed)} of {manifest.num_rows} recordings could not be used, e.g. "
                f"{failed[0]['uri']!r}: {failed[0]['message']}"
            )
        index = read_index(folder)
        return embedding_array(take_rows(folder, index, rows.to_numpy(), columns=["embedding"]))

    @property
    def _n_features_out(self) -> int:
        """What `get_feature_names_out` asks for."""
        models = [load_autoencoder(model).model for model in self._models()]
        return sum(model.embedding_size(self.readout) for model in models)

    def _check_gives_vectors(self, model: str) -> None:
        """Refuse an autoencoder that does not give one vector for each recording."""
        trained = load_autoencoder(model)
        trained.check_vector(self.readout)
        if trained.spectrogram.chunk_count not in (None, 1):
            raise ConfigError(
                f"{model} takes {trained.spectrogram.chunk_count} chunks of a recording, and a "
                "transformer gives it one row. Train on spectrograms without chunks."
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = False, True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []  # texts become float32
        return tags


class EmbeddingTransformer(_RecordingTransformer):
    """Embeds recordings with trained autoencoders, each decoded once for all of them.

    There is nothing to fit, and a recording that was embedded once is not embedded again, whichever
    others it is asked for with.

    Parameters
    ----------
    models : sequence of str
        URIs of the autoencoders; the vectors of several lie side by side.
    output : str
        URI of a folder for the embeddings.
    readout : {"state", "pooled"}
        Which of their embeddings.
    """

    def __init__(self, models: Sequence[str], output: str, *, readout: Readout = "state") -> None:
        self.models = models
        self.output = output
        self.readout = readout

    def fit(self, X: Iterable[object], y: object = None) -> Self:
        """Return itself: the autoencoders are trained."""
        return self

    def _models(self) -> list[str]:
        reject_text(self.models, "models")
        return list(self.models)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit, tags.no_validation = False, True
        return tags


class AutoencoderTransformer(_RecordingTransformer):
    """Trains an autoencoder on recordings, without their labels, and embeds recordings with it.

    A fit on the same recordings with the same parameters is not computed again.

    Parameters
    ----------
    output : str
        URI of a folder for spectrograms, autoencoders and embeddings; several transformers may
        share it.
    spectrogram, model, training : SpectrogramConfig, ArchitectureConfig, TrainingConfig, optional
        How the recordings become its input, its architecture, its training.
    readout : {"state", "pooled"}
        Which of its embeddings.
    resources : ResourceConfig, optional
        What the training may take.

    Attributes
    ----------
    model_ : str
        URI of the trained autoencoder.
    """

    def __init__(
        self,
        output: str,
        *,
        spectrogram: SpectrogramConfig | None = None,
        model: ArchitectureConfig | None = None,
        training: TrainingConfig | None = None,
        readout: Readout = "state",
        resources: ResourceConfig | None = None,
    ) -> None:
        self.output = output
        self.spectrogram = spectrogram
        self.model = model
        self.training = training
        self.readout = readout
        self.resources = resources

    def fit(self, X: Iterable[object], y: object = None) -> Self:
        """Train on recordings; those that cannot be used are left out, with a warning.

        Parameters
        ----------
        X : array-like of str or Path, shape (N,) or (N, 1)
            Paths or URIs of recordings.
        y : ignored
            Labels are not needed.

        Raises
        ------
        ConfigError
            If `X` does not name recordings, there is no such readout, or the architecture cannot be
            trained on them.
        AudioError
            If no recording could be used.
        """
        check_readouts([self.readout])  # before anything is trained
        _, manifest = _recordings(X)
        view = self.spectrogram or SpectrogramConfig()
        model = self.model or AutoencoderConfig()
        training = self.training or TrainingConfig()
        how = view, model.kind, model, at_default_limits(training)
        made_of = fingerprint(_key(manifest), *how)
        if _has_changed(manifest, self._spectrograms(made_of)):
            contents = with_contents(with_times(manifest))["content"].to_pylist()
            made_of = fingerprint(_key(manifest), contents, *how)
        spectrograms = self._spectrograms(made_of)
        folder = spectrograms.rpartition("/")[0]
        extract_spectrograms(manifest, {"view": view}, {"view": spectrograms})
        run = Run(
            name="autoencoder",
            spectrograms=(spectrograms,),
            output=uris.join(folder, "model"),
            model=model,
            training=training,
        )
        train_autoencoders([run], checkpoints=uris.join(folder, "runs"), resources=self.resources)
        self.model_ = run.output
        return self

    def _models(self) -> list[str]:
        return [self.model_]

    def _spectrograms(self, made_of: str) -> str:
        return uris.join(self.output, "autoencoders", made_of, "spectrograms")


def _recordings(X: Iterable[object]) -> tuple[list[str], pa.Table]:
    """Return the URI of each recording of `X`, and a manifest of those that differ."""
    given = np.asarray(X, dtype=object)
    if not given.size or given.shape not in ((given.size,), (given.size, 1)):
        raise ConfigError(
            f"X must name recordings, as an array of shape (N,) or (N, 1). Got {given.shape}."
        )
    places = [uris.absolute(str(place)) for place in given.ravel()]
    manifest, _ = load_manifest(sorted(set(places)), labelled=False)
    if strange := set(places) - {*manifest["uri"].to_pylist()}:
        raise ConfigError(f"X must name recordings. Got {min(strange)!r}, which is none.")
    return places, manifest


def _named_by_content(manifest: pa.Table, table: str) -> pa.Table:
    """Return recordings under names that depend on their folder and content.

    The first one that a table was given at a place, of each size, is named by these two alone.
    """
    pairs = zip(manifest["uri"].to_pylist(), manifest["bytes"].to_pylist(), strict=True)
    names = [f"{public_uri(uri)} ({size} bytes)" for uri, size in pairs]
    named = with_times(_with_names(manifest, names))
    planned = Plan.of_files(read_plans(table)).recordings
    changes = Changes(planned, named)
    changed = planned["file"].filter(pa.array(changes.changed)).combine_chunks()
    anew = pc.is_in(named["file"], value_set=changed).to_numpy()
    read = with_contents(named, anew)
    names = [
        f"{name}, {content}" if is_anew and content else name
        for name, content, is_anew in zip(names, read["content"].to_pylist(), anew, strict=True)
    ]
    return _with_names(read, names)


def _with_names(manifest: pa.Table, names: Sequence[str]) -> pa.Table:
    column = manifest.schema.get_field_index("file")
    return manifest.set_column(column, manifest.schema.field(column), pa.array(names))


def _with_planned(manifest: pa.Table, table: str) -> pa.Table:
    """Return recordings with those that a table holds already, so that it grows by what is new."""
    before = Plan.of_files(read_plans(table)).recordings.select(manifest.column_names)
    is_given = pc.is_in(before["file"], value_set=manifest["file"].combine_chunks())
    return pa.concat_tables([before.filter(pc.invert(is_given)), manifest]).sort_by("file")


def _key(manifest: pa.Table) -> list[Any]:
    """Return what tells recordings from others, of equal names and sizes in other folders too."""
    return [manifest[name].to_pylist() for name in ("uri", "bytes")]


def _has_changed(manifest: pa.Table, table: str) -> bool:
    """Return whether any of the recordings has another content than a table was made of."""
    planned = Plan.of_files(read_plans(table)).recordings
    return bool(Changes(planned, with_times(manifest)).changed.any())
