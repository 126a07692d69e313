"""Commands that score embeddings: `raudeep evaluate`."""

from typing import Annotated

from cyclopts import App, Parameter

from raudeep.cli.app import app
from raudeep.cli.parameters import Flat, Json, Overwrite
from raudeep.config import EvaluationConfig, MlpConfig

__all__ = ["evaluate_mlp_command"]

evaluate_app = App(name="evaluate", help="Score an embedding table with a classifier.")
app.command(evaluate_app)


@evaluate_app.command(name="mlp")
def evaluate_mlp_command(
    table: Annotated[str, Parameter(help="Embedding table with labels.")],
    *,
    output: Annotated[str, Parameter(help="Where the predictions table goes.")],
    mlp: Annotated[MlpConfig | None, Flat] = None,
    evaluation: Annotated[EvaluationConfig | None, Flat] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Score embeddings with multi-layer perceptrons, cross-validated or by partitions."""
    from raudeep.pipeline.scoring import evaluate_mlp
    from raudeep.report.console import print_json, print_score
    from raudeep.storage.uri import absolute

    result = evaluate_mlp(
        {"table": absolute(table)},
        {"table": absolute(output)},
        mlp=mlp or MlpConfig(),
        evaluation=evaluation or EvaluationConfig(),
        overwrite=overwrite,
    )["table"]
    score = {"size": result.size, **result.score.to_dict()}
    (print_json if as_json else print_score)(score)
