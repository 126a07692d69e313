"""`raudeep tune`."""

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
    EvaluationConfig,
    Limits,
    ResourceConfig,
    SpectrogramConfig,
    TrainingConfig,
    TuneConfig,
)

__all__ = ["tune"]


@app.command
def tune(
    recipe: RecipeName,
    space: Annotated[
        str,
        Parameter(
            help="TOML file of the searched fields, local or URI; docs/sweeps.md explains it."
        ),
    ],
    *,
    output: Output,
    corpus: Annotated[
        str | None, Parameter(help="Folder or manifest. Only the recipe demo needs none.")
    ] = None,
    corpus_layout: RecipeLayout = None,
    start_from: Annotated[
        str | None, Parameter(help="Autoencoder of the recipe to start from. Default: its first.")
    ] = None,
    settings: Annotated[overrides_of(TuneConfig, of="SPACE file"), Flat] = None,  # type: ignore[valid-type]
    limits: Annotated[Limits | None, Flat] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    resources: ResourceConfig | None = None,
    spectrogram: overrides_of(SpectrogramConfig, of="recipe") = None,  # type: ignore[valid-type]
    autoencoder: overrides_of(AutoencoderConfig, of="recipe") = None,  # type: ignore[valid-type]
    training: overrides_of(TrainingConfig, of="recipe") = None,  # type: ignore[valid-type]
    evaluation: overrides_of(EvaluationConfig, of="recipe") = None,  # type: ignore[valid-type]
) -> None:
    """Search for good settings: a ranking, pictures, and the best as a recipe.

    Run again, an interrupted sweep continues. Trials are ranked by the score of their embeddings,
    since the lowest loss is not the best representation; --objective loss ranks by loss.
    """
    from raudeep.pipeline.tuning.sweep import plan_sweep, tune_autoencoders
    from raudeep.report.console import print_facts, print_json, print_sweep
    from raudeep.report.sweep import write_sweep_pictures
    from raudeep.storage.recipes import load_recipe, load_space

    sections = {
        "spectrogram": spectrogram,
        "autoencoder": autoencoder,
        "training": training,
        "evaluation": evaluation,
    }
    chosen = load_recipe(
        recipe, overrides={name: given(values) for name, values in sections.items()}
    )
    if corpus_layout is not None:
        chosen = dataclasses.replace(chosen, corpus_layout=corpus_layout)
    searched, config = load_space(space, overrides=given(settings))
    if dry_run:
        plan = plan_sweep(
            chosen,
            searched,
            corpus,
            output,
            tune=config,
            autoencoder=start_from,
            resources=resources,
        )
        (print_json if as_json else print_facts)(plan)
        return
    results = tune_autoencoders(
        chosen,
        searched,
        corpus,
        output,
        tune=config,
        autoencoder=start_from,
        resources=resources,
        limits=limits,
        overwrite=overwrite,
    )
    pictures = write_sweep_pictures(output)
    if as_json:
        print_json(results)
    else:
        print_sweep(results, pictures)
