"""Commands on classifiers: `raudeep evaluate`, `raudeep train-classifier`, `raudeep predict`."""

from collections.abc import Callable
from inspect import getdoc
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from raudeep.cli.app import app
from raudeep.cli.parameters import (
    CorpusLayout,
    DryRun,
    Flat,
    Json,
    Output,
    Overwrite,
    OverwriteFile,
    is_quiet,
    print_summary_rows,
)
from raudeep.config import (
    CLASSIFIERS,
    ClassifierConfig,
    EvaluationConfig,
    FitConfig,
    Limits,
    MlpConfig,
    SvmConfig,
)
from raudeep.errors import ConfigError, EvaluationError

if TYPE_CHECKING:
    from raudeep.evaluation.metrics import Score

__all__ = ["evaluate_mlp", "evaluate_predictions", "evaluate_svm", "predict"]

evaluate_app = App(
    name="evaluate", help="Score an embedding table with a classifier, or what was predicted."
)
train_app = App(
    name="train-classifier", help="Train a classifier on an embedding table and keep it."
)
predict_app = App(
    name="predict", help="Predict labels, with a classifier that was kept or is trained for it."
)
for group in (evaluate_app, train_app, predict_app):
    app.command(group)

Labelled = Annotated[str, Parameter(help="Embedding table with labels.")]
Predicted = Annotated[str, Parameter(help="Embedding table to predict.")]
TrainTable = Annotated[
    str, Parameter(help="Embedding table with labels to train on; may be the same.")
]
Predictions = Annotated[
    str, Parameter(help="Where the predictions table goes, or a .tsv file as auDeep writes.")
]
EvalPartitions = Annotated[
    tuple[str, ...],
    Parameter(negative="", help="Predict these alone; all rows without."),
]
Plot = Annotated[
    str | None,
    Parameter(
        help="SVG file for the confusion matrix, rows shaded by their shares. The same picture may "
        "be there already; any other file is replaced with --overwrite only."
    ),
]
MajorityVote = Annotated[
    bool,
    Parameter(negative="", help="Score recordings by the most frequent class of their chunks."),
]
Scores = Annotated[str, Parameter(help="Where the predictions table goes.")]


@evaluate_app.command(name="mlp")
def evaluate_mlp(
    table: Labelled,
    *,
    output: Scores,
    mlp: Annotated[MlpConfig | None, Flat] = None,
    evaluation: Annotated[EvaluationConfig | None, Flat] = None,
    plot: Plot = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Score embeddings with multi-layer perceptrons, cross-validated or by partitions.

    With --quiet the result is one line: accuracy,UAR.
    """
    _evaluate(
        table,
        output,
        mlp or MlpConfig(),
        evaluation or EvaluationConfig(),
        plot=plot,
        overwrite=overwrite,
        dry_run=dry_run,
        as_json=as_json,
    )


@evaluate_app.command(name="svm")
def evaluate_svm(
    table: Labelled,
    *,
    output: Scores,
    svm: Annotated[SvmConfig | None, Flat] = None,
    evaluation: Annotated[EvaluationConfig | None, Flat] = None,
    plot: Plot = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Score embeddings with linear support vector machines, cross-validated or by partitions.

    With --quiet the result is one line: accuracy,UAR.
    """
    _evaluate(
        table,
        output,
        svm or SvmConfig(),
        evaluation or EvaluationConfig(),
        plot=plot,
        overwrite=overwrite,
        dry_run=dry_run,
        as_json=as_json,
    )


@predict_app.default
def predict(
    source: Annotated[str, Parameter(help="Embedding table, corpus, manifest or one audio file.")],
    *,
    classifier: Annotated[str, Parameter(help="What `raudeep train-classifier` kept.")],
    output: Predictions,
    model: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="For audio: the autoencoders that made the classifier's embeddings.",
        ),
    ] = None,
    eval_partitions: EvalPartitions = (),
    corpus_layout: CorpusLayout = None,
    limits: Annotated[Limits | None, Flat] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Predict labels with a classifier that was kept, of embeddings or straight of audio.

    Of a table named mlp or svm, write ./mlp.
    """
    from raudeep.pipeline.classification.classifiers import load_classifier
    from raudeep.pipeline.classification.predicting import (
        check_predictions,
        predict_corpus,
        predict_table,
    )
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.storage.index import is_table, read_index
    from raudeep.storage.uri import absolute

    check_predictions(absolute(output), overwrite=overwrite)
    trained, place = load_classifier(absolute(classifier)), absolute(source)
    if is_table(place) and read_index(place).stage == "embeddings":
        if model or corpus_layout or limits:
            raise ConfigError(
                f"{source} holds embeddings already; --model is for audio, as are --corpus-layout, "
                "--max-duration, --max-errors and --retry-errors."
            )
        summary = predict_table(
            trained, place, absolute(output), partitions=eval_partitions, overwrite=overwrite
        )
    else:
        manifest, _ = load_manifest(source, layout=corpus_layout, labelled=False)
        summary = predict_corpus(
            trained,
            manifest,
            [absolute(uri) for uri in model or ()],
            absolute(output),
            partitions=eval_partitions,
            limits=limits,
            overwrite=overwrite,
        )
    print_summary_rows([summary], as_json=as_json)


def _train_command(kind: type[ClassifierConfig]) -> Callable[..., None]:
    def train(
        table: Labelled,
        *,
        output: Output,
        classifier: Annotated[kind | None, Flat] = None,  # type: ignore[valid-type]
        fit: Annotated[FitConfig | None, Flat] = None,
        overwrite: Overwrite = False,
        as_json: Json = False,
    ) -> None:
        from raudeep.pipeline.classification.classifiers import train_classifier
        from raudeep.storage.uri import absolute

        summary = train_classifier(
            absolute(table),
            absolute(output),
            config=classifier or kind(),
            fit=fit or FitConfig(),
            overwrite=overwrite,
        )
        print_summary_rows([summary], as_json=as_json)

    return train


def _predict_command(kind: type[ClassifierConfig]) -> Callable[..., None]:
    def predict(
        table: Predicted,
        *,
        train_table: TrainTable,
        output: Predictions,
        classifier: Annotated[kind | None, Flat] = None,  # type: ignore[valid-type]
        fit: Annotated[FitConfig | None, Flat] = None,
        eval_partitions: EvalPartitions = (),
        overwrite: Overwrite = False,
        as_json: Json = False,
    ) -> None:
        from raudeep.pipeline.classification.classifiers import fit_table
        from raudeep.pipeline.classification.predicting import check_predictions, predict_table
        from raudeep.storage.uri import absolute

        check_predictions(absolute(output), overwrite=overwrite)
        trained = fit_table(
            absolute(train_table), config=classifier or kind(), fit=fit or FitConfig()
        )
        summary = predict_table(
            trained,
            absolute(table),
            absolute(output),
            partitions=eval_partitions,
            overwrite=overwrite,
        )
        print_summary_rows([summary], as_json=as_json)

    return predict


for _name, _kind in CLASSIFIERS.items():
    train_app.command(
        _train_command(_kind),
        name=_name,
        help=f"Train an {_name.upper()} for `raudeep predict --classifier`.\n\n{getdoc(_kind)}",
    )
    predict_app.command(
        _predict_command(_kind),
        name=_name,
        help=f"Train an {_name.upper()} on one table, or partitions of it, and predict another.\n\n"
        + str(getdoc(_kind)),
    )


@evaluate_app.command(name="predictions")
def evaluate_predictions(
    table: Annotated[str, Parameter(help="Predictions table, of which rows have labels.")],
    *,
    majority_vote: MajorityVote = False,
    plot: Plot = None,
    overwrite: OverwriteFile = False,
    as_json: Json = False,
) -> None:
    """Score what was predicted where the labels are known: other rows are left out.

    With --quiet the result is one line: accuracy,UAR.
    """
    from raudeep.pipeline.classification.predictions import score_table
    from raudeep.report.pictures import check_picture
    from raudeep.storage.uri import absolute

    if plot is not None:
        check_picture(absolute(plot), overwrite=overwrite)
    score = score_table(absolute(table), majority_vote=majority_vote)
    _show(score, None, plot=plot, overwrite=overwrite, as_json=as_json)


def _evaluate(
    table: str,
    output: str,
    classifier: ClassifierConfig,
    evaluation: EvaluationConfig,
    *,
    plot: str | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    from raudeep.pipeline.classification.scoring import evaluate_embeddings, plan_evaluation
    from raudeep.report.console import print_facts, print_json
    from raudeep.report.pictures import check_picture
    from raudeep.storage.uri import absolute

    if plot is not None:
        check_picture(absolute(plot), overwrite=overwrite, of=absolute(output))
    if dry_run:
        plan = plan_evaluation(
            absolute(table), absolute(output), classifier=classifier, evaluation=evaluation
        )
        (print_json if as_json else print_facts)(plan)
        return
    result = evaluate_embeddings(
        {"table": absolute(table)},
        {"table": absolute(output)},
        classifier=classifier,
        evaluation=evaluation,
        overwrite=overwrite,
    )["table"]
    _show(result.score, result.size, plot=plot, overwrite=overwrite, as_json=as_json)


def _show(
    score: "Score", size: int | None, *, plot: str | None, overwrite: bool, as_json: bool
) -> None:
    """Print a score of embeddings of so many values, and write its confusion matrix."""
    from raudeep.evaluation.metrics import MAX_CONFUSION_CLASSES
    from raudeep.report.console import print_json, print_score
    from raudeep.report.plots import confusion_matrix
    from raudeep.storage.outputs import write_file
    from raudeep.storage.uri import absolute

    if plot is not None:
        if score.confusion is None:
            raise EvaluationError(
                f"--plot draws the confusion matrix of {MAX_CONFUSION_CLASSES} classes at most. "
                f"There are {len(score.labels)}; the predictions table has each row's."
            )
        picture = confusion_matrix(score.confusion, score.labels)
        write_file(absolute(plot), picture.encode(), overwrite=overwrite)
    plain: dict[str, Any] = {"size": size, **score.to_dict()}
    if as_json:
        print_json(plain)
    elif is_quiet():
        print(f"{score.accuracy:.4f},{score.uar:.4f}")
    else:
        print_score(plain)
