"""Commands that score what representations are compared with: `raudeep baseline`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from raudeep.cli.app import app
from raudeep.cli.parameters import (
    Corpus,
    CorpusLayout,
    Flat,
    Json,
    Output,
    Overwrite,
    given,
    overrides_of,
    print_summary_rows,
)
from raudeep.config import (
    CnnConfig,
    EvaluationConfig,
    Limits,
    MlpConfig,
    SoundNetConfig,
    SparseCodingConfig,
    SvmConfig,
)
from raudeep.config.fields import build

if TYPE_CHECKING:
    from raudeep.pipeline.baselines.scores import BaselineScore

__all__ = ["band_statistics", "cnn", "soundnet", "sparse_coding"]

baseline_app = App(name="baseline", help="Score other methods on the same folds, for comparison.")
app.command(baseline_app)

# Without the flags that these baselines have no use for.
_OfRecordings = overrides_of(EvaluationConfig, without=("majority_vote",))
_OfCodes = overrides_of(EvaluationConfig, without=("majority_vote", "repeats"))
Folder = Annotated[str, Parameter(help="Folder for features and predictions, a path or a URI.")]


@baseline_app.command
def cnn(
    corpus: Corpus,
    *,
    output: Folder,
    corpus_layout: CorpusLayout = None,
    cnn: Annotated[CnnConfig | None, Flat] = None,
    evaluation: Annotated[_OfRecordings, Flat] = None,  # type: ignore[valid-type]
    limits: Annotated[Limits | None, Flat] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train and score the convolutional network of Piczak (2015), which learns from labels.

    The defaults are the paper's, with one network for each fold, and are too much for CPUs: lower
    num_epochs, num_units and num_delayed to try it.
    """
    from raudeep.pipeline.baselines.layout import BASELINE
    from raudeep.pipeline.baselines.scores import score_cnn
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.storage.outputs import check_folder
    from raudeep.storage.uri import absolute

    place = absolute(output)
    check_folder(place, BASELINE)  # before the corpus is listed
    manifest, _ = load_manifest(corpus, layout=corpus_layout)
    result = score_cnn(
        manifest,
        place,
        config=cnn or CnnConfig(),
        evaluation=build(EvaluationConfig, given(evaluation), where="flags"),
        limits=limits,
        overwrite=overwrite,
    )
    _print(result, as_json=as_json)


@baseline_app.command
def sparse_coding(
    corpus: Corpus,
    *,
    output: Folder,
    corpus_layout: CorpusLayout = None,
    sparse_coding: Annotated[SparseCodingConfig | None, Flat] = None,
    svm: Annotated[SvmConfig | None, Flat] = None,
    evaluation: Annotated[_OfCodes, Flat] = None,  # type: ignore[valid-type]
    limits: Annotated[Limits | None, Flat] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Learn and score sparse codes of constant-Q frames, after Henaff et al. (2011).

    Made for music: the default bands end at 1 kHz. Other sounds need more octaves.
    """
    from raudeep.pipeline.baselines.layout import BASELINE
    from raudeep.pipeline.baselines.scores import score_sparse_coding
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.storage.outputs import check_folder
    from raudeep.storage.uri import absolute

    place = absolute(output)
    check_folder(place, BASELINE)  # before the corpus is listed
    manifest, _ = load_manifest(corpus, layout=corpus_layout)
    result = score_sparse_coding(
        manifest,
        place,
        config=sparse_coding or SparseCodingConfig(),
        svm=svm or SvmConfig(),
        evaluation=build(EvaluationConfig, given(evaluation), where="flags"),
        limits=limits,
        overwrite=overwrite,
    )
    _print(result, as_json=as_json)


@baseline_app.command
def band_statistics(
    table: Annotated[str, Parameter(help="Spectrogram table with labels.")],
    *,
    output: Folder,
    mlp: Annotated[MlpConfig | None, Flat] = None,
    evaluation: Annotated[EvaluationConfig | None, Flat] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Score the mean and standard deviation of each band: what every representation must beat."""
    from raudeep.pipeline.baselines.scores import score_band_statistics
    from raudeep.storage.uri import absolute

    result = score_band_statistics(
        {"table": absolute(table)},
        {"table": absolute(output)},
        mlp=mlp or MlpConfig(),
        evaluation=evaluation or EvaluationConfig(),
        overwrite=overwrite,
    )["table"]
    _print(result, as_json=as_json)


@baseline_app.command
def soundnet(
    corpus: Corpus,
    *,
    weights: Annotated[
        str, Parameter(help="File of published weights: .npy, .npz, .pt, .pth or .safetensors.")
    ],
    output: Output,
    corpus_layout: CorpusLayout = None,
    soundnet: Annotated[SoundNetConfig | None, Flat] = None,
    limits: Annotated[Limits | None, Flat] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Embed audio with SoundNet (Aytar et al. 2016) into a table for `raudeep evaluate`.

    No weights come with raudeep. A file is read as numbers only; one that would run code is
    refused.
    """
    from raudeep.pipeline.baselines.soundnet import embed_soundnet
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.storage.opening import check_stage
    from raudeep.storage.uri import absolute

    place = absolute(output)
    check_stage(place, "embeddings")  # before the corpus is listed
    manifest, _ = load_manifest(corpus, layout=corpus_layout, labelled=False)
    summary = embed_soundnet(
        manifest,
        absolute(weights),
        place,
        config=soundnet or SoundNetConfig(),
        limits=limits,
        overwrite=overwrite,
    )
    print_summary_rows([summary], as_json=as_json)


def _print(result: "BaselineScore", *, as_json: bool) -> None:
    from raudeep.report.console import print_json, print_score

    score = {"size": result.size, **result.score.to_dict()}
    (print_json if as_json else print_score)(score)
