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
    recipe: Annotated[
        str,
        Parameter(help="Where the search starts: a shipped recipe, or a TOML file, local or URI."),
    ],
    space: Annotated[
        str, Parameter(help="TOML file of the searched fields, local or URI; see the README.")
    ],
    *,
    output: Output,
    corpus: Annotated[
        str | None, Parameter(help="Folder or manifest; the demo recipe makes its own without.")
    ] = None,
    corpus_layout: RecipeLayout = None,
    start_from: Annotated[
        str | None, Parameter(help="Autoencoder of the recipe to vary; its first one without.")
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
    """Search the configuration of an autoencoder: a ranking, pictures, the best as a recipe.

    The same command goes on with a sweep that was interrupted. The lowest loss is not the best
    representation: without --objective loss, trials are ranked by what their embeddings score.
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
