"""`raudeep benchmark` and `raudeep report`."""

import dataclasses
from typing import Annotated

from cyclopts import Parameter

from raudeep.cli.app import app
from raudeep.cli.parameters import (
    DryRun,
    Flat,
    Json,
    Output,
    Overwrite,
    RecipeLayout,
    RecipeName,
    given,
    overrides_of,
)
from raudeep.config import (
    AutoencoderConfig,
    Baseline,
    CnnConfig,
    EvaluationConfig,
    Limits,
    MlpConfig,
    ResourceConfig,
    SparseCodingConfig,
    SpectrogramConfig,
    TrainingConfig,
)
from raudeep.foreign import visible
from raudeep.recipe import SECTIONS

__all__ = ["benchmark", "report"]


@app.command
def benchmark(
    recipe: RecipeName,
    *,
    output: Output,
    corpus: Annotated[
        str | None, Parameter(help="Folder or manifest. Only the recipe demo needs none.")
    ] = None,
    corpus_layout: RecipeLayout = None,
    baselines: Annotated[
        tuple[Baseline, ...] | None,
        Parameter(
            negative="",
            help="Other methods to score on the same folds. Default: the methods of the recipe.",
        ),
    ] = None,
    seed: Annotated[int | None, Parameter(help="Seed. Default: the recipe's.")] = None,
    limits: Annotated[Limits | None, Flat] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    resources: ResourceConfig | None = None,
    spectrogram: overrides_of(SpectrogramConfig, of="recipe") = None,  # type: ignore[valid-type]
    autoencoder: overrides_of(AutoencoderConfig, of="recipe") = None,  # type: ignore[valid-type]
    training: overrides_of(TrainingConfig, of="recipe") = None,  # type: ignore[valid-type]
    evaluation: overrides_of(EvaluationConfig, of="recipe") = None,  # type: ignore[valid-type]
    mlp: overrides_of(MlpConfig, of="recipe") = None,  # type: ignore[valid-type]
    cnn: overrides_of(CnnConfig, of="recipe") = None,  # type: ignore[valid-type]
    sparse_coding: overrides_of(SparseCodingConfig, of="recipe") = None,  # type: ignore[valid-type]
) -> None:
    """Run a recipe: spectrograms, autoencoders, embeddings, fusion, scores and a report."""
    from raudeep.pipeline.benchmark import plan_benchmark, run_benchmark
    from raudeep.report.benchmark import write_report
    from raudeep.report.console import print_benchmark, print_facts, print_json
    from raudeep.storage.recipes import load_recipe

    sections = (spectrogram, autoencoder, training, evaluation, mlp, cnn, sparse_coding)
    overrides = {name: given(values) for name, values in zip(SECTIONS, sections, strict=True)}
    chosen = load_recipe(recipe, seed=seed, overrides=overrides)
    if corpus_layout is not None:
        chosen = dataclasses.replace(chosen, corpus_layout=corpus_layout)
    if baselines is not None:
        chosen = dataclasses.replace(chosen, baselines=baselines)
    if dry_run:
        (print_json if as_json else print_facts)(plan_benchmark(chosen, corpus, output))
        return
    results = run_benchmark(
        chosen, corpus, output, resources=resources, limits=limits, overwrite=overwrite
    )
    report = write_report(output)
    if as_json:
        print_json(results)
    else:
        print_benchmark(results, report=report)


@app.command
def report(output: Annotated[str, Parameter(help="Output of a finished benchmark.")]) -> None:
    """Write the report of a finished benchmark again."""
    from raudeep.report.benchmark import write_report

    print(visible(write_report(output)))
