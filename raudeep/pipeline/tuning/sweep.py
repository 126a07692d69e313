"""Sweeps with Ray Tune: configurations are tried, losers stopped, and the best becomes a recipe.

``search space -> points -> trials (a training run each) -> ledger -> ranking, best recipe``

The ledger, and not Ray's own state, says what was done: it lies beside the output on any store, can
be read by anybody, and outlives the driver, the cluster and the version of Ray.
"""

import itertools
import json
import logging
import os
import tempfile
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from raudeep.config import (
    Limits,
    ResourceConfig,
    SpectrogramConfig,
    SvmConfig,
    TuneConfig,
    autoencoder_kinds,
)
from raudeep.credentials import public_values
from raudeep.errors import ConfigError
from raudeep.manifest import manifest_fingerprint
from raudeep.pipeline.artifacts import CHECKPOINTS
from raudeep.pipeline.corpus import check_synthesised, corpus_of, load_manifest, write_manifest
from raudeep.pipeline.runtime.cluster import DEBUG_VARIABLE, ensure_ray, find_resources
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.training.objective import Objective
from raudeep.pipeline.training.placement import share_resources
from raudeep.pipeline.training.tracking import check_tracker
from raudeep.pipeline.tuning.ledger import SWEEP, Ledger, SweepLayout, open_ledger
from raudeep.pipeline.tuning.outcome import reserved_of, write_outcome
from raudeep.pipeline.tuning.reserving import Division, divide_recordings
from raudeep.pipeline.tuning.shelf import extract_tables, make_shelf
from raudeep.recipe import Recipe
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity, package_versions
from raudeep.storage.opening import check_stage
from raudeep.storage.outputs import check_folder, check_outputs
from raudeep.sweep.candidates import Candidate, base_of, candidate_of, check_values, recipe_of
from raudeep.sweep.recipe_file import recipe_toml
from raudeep.sweep.samplers import Sampler, make_sampler
from raudeep.sweep.space import SearchSpace

if TYPE_CHECKING:
    from raudeep.pipeline.tuning.trials import TrialPlan

__all__ = ["plan_sweep", "tune_autoencoders"]

logger = logging.getLogger(__name__)

RESULTS_VERSION = 1
_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # which prints although it is told not to
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger is the log
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the command
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that failed has no objective
}
_MAX_FAILURES = 2  # of a trial's own process, as when its node is lost
# With these the loss is of something else, or is lower without a better representation.
_CHANGE_THE_LOSS = (
    "kind",
    "bidirectional_decoder",
    "frequency_bidirectional_decoder",
    "mask_silence",
    "overlap_bands",
    "teacher",
    "window_bands",
)


def tune_autoencoders(
    recipe: Recipe,
    space: SearchSpace,
    corpus: str | None,
    output: str,
    *,
    tune: TuneConfig | None = None,
    autoencoder: str | None = None,
    resources: ResourceConfig | None = None,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Search the configuration of an autoencoder of a recipe, and rank what was tried.

    Run again, it goes on: finished and stopped trials are not repeated, interrupted ones go on from
    their last epoch. With a larger ``num_trials`` it tries more.

    Parameters
    ----------
    recipe : Recipe
        What a trial has where the space says nothing.
    space : SearchSpace
        The searched fields, see `raudeep.sweep.space`.
    corpus : str or None
        URI of the corpus or its manifest; None synthesises the demo corpus.
    output : str
        URI of the folder for everything.
    tune : TuneConfig, optional
        Objective, searcher, number of trials, reserved folds.
    autoencoder : str, optional
        Which of the recipe's autoencoders; the first one without.
    resources : ResourceConfig, optional
        What a trial may take, and how many run at a time.
    limits : Limits, optional
        Which recordings are taken, and how many may fail.
    overwrite : bool
        Replace a sweep that searched something else.

    Returns
    -------
    dict
        What ``results.json`` holds: ranking, importance of the fields, what was reserved, places.

    Raises
    ------
    RaudeepError
        Whatever a user can mend, in one line.

    Notes
    -----
    The autoencoder with the lowest reconstruction loss need not have the best representation: more
    units and a decoder that sees more reconstruct better and may leave less to the state.
    """
    started = time.perf_counter()
    tune, places = tune or TuneConfig(), SweepLayout(output)
    resources = resources or ResourceConfig()
    base = _check(recipe, space, tune, autoencoder)
    check_tracker(resources.tracker)
    _check_output(places)
    corpus = corpus_of(recipe, corpus, places.output)
    manifest, layout = load_manifest(corpus, layout=recipe.corpus_layout)
    division = divide_recordings(manifest, recipe.evaluation, tune, corpus=corpus)
    if overwrite:  # nothing is deleted before all that can be refused was
        check_outputs([places.manifest], [corpus])
        share_resources(ensure_ray(), resources, tune.num_trials)
    identity = _identity(recipe, base, space, tune, division)
    ledger = open_ledger(places, identity, overwrite=overwrite)
    write_manifest(division.manifest, places.manifest, overwrite=overwrite)
    sampler = make_sampler(space, tune, num_known=len(ledger.records))
    missing = tune.num_trials - len(ledger.done())
    logger.info("sweep of %s/%s -> %s", recipe.name, base.name, places.output)
    if missing > 0:
        from raudeep.pipeline.tuning.trials import TrialPlan  # with Ray Tune, which takes a second

        share = share_resources(ensure_ray(), resources, missing)
        limits = limits or Limits()
        known = _spectrograms(base, space, at_most=tune.num_trials)
        if known:
            extract_tables(places, division.searched, known, limits)
        plan = TrialPlan(
            places=places,
            base=base,
            tune=tune,
            objective=_objective(recipe, tune),
            share=share,
            tracker=resources.tracker,
            shelf=make_shelf(places, division.searched, limits),
        )
        _search(ledger, sampler, space, plan, missing)
    ledger.delete_checkpoints()
    results = {
        "schema_version": RESULTS_VERSION,
        "recipe": recipe.name,
        "autoencoder": base.name,
        "corpus": {"uri": corpus, "layout": layout, "recordings": manifest.num_rows},
        "output": places.output,
        "seconds": time.perf_counter() - started,
        **write_outcome(recipe, base, space, tune, division, ledger),
        "versions": package_versions(),
    }
    public: dict[str, Any] = public_values(results)
    uris.write_bytes(places.results, json.dumps(public, indent=1).encode())
    return public


def plan_sweep(
    recipe: Recipe,
    space: SearchSpace,
    corpus: str | None,
    output: str,
    *,
    tune: TuneConfig | None = None,
    autoencoder: str | None = None,
    resources: ResourceConfig | None = None,
) -> dict[str, Any]:
    """Return what `tune_autoencoders` would do with the same arguments, without doing it.

    Raises
    ------
    ConfigError, ManifestError, ResourceError, TableError
        Where `tune_autoencoders` would at once.
    """
    tune, places = tune or TuneConfig(), SweepLayout(output)
    base = _check(recipe, space, tune, autoencoder)
    _check_output(places)
    share = share_resources(find_resources(), resources or ResourceConfig(), tune.num_trials)
    known = _spectrograms(base, space, at_most=tune.num_trials)
    plan: dict[str, Any] = {
        "recipe": recipe.name,
        "autoencoder": base.name,
        "base": {**asdict(base), "kind": base.model.kind},
        "search": space.to_dict(),
        "tune": asdict(tune),
        "spectrogram_tables": len(known) or "one for each configuration of a trial",
        "compared_after_epochs": list(tune.rungs(_most_epochs(base, space))),
        "trials_at_a_time": share.concurrent,
        "each": {
            "workers": share.num_workers,
            "cpus_per_worker": share.cpus_per_worker,
            "gpus_per_worker": share.gpus_per_worker,
        },
        "output": places.output,
    }
    if corpus is None:
        check_synthesised(recipe)
        return {**plan, "corpus": "synthesised"}
    manifest, layout = load_manifest(corpus, layout=recipe.corpus_layout)
    division = divide_recordings(manifest, recipe.evaluation, tune, corpus=corpus)
    found = {"uri": corpus, "layout": layout, "recordings": manifest.num_rows}
    return {**plan, "corpus": found, "reserved": reserved_of(division)}


def _check_output(places: SweepLayout) -> None:
    check_folder(places.output, SWEEP)
    check_folder(places.checkpoints, CHECKPOINTS)
    check_stage(places.manifest, "manifest")


def _check(
    recipe: Recipe, space: SearchSpace, tune: TuneConfig, autoencoder: str | None
) -> Candidate:
    """Return what the search starts from; refuse or warn of what would come to nothing."""
    base = base_of(recipe, autoencoder, tune)
    recipe_toml(recipe_of(recipe, base, {}, reserved_folds=()))  # now, and not after the last trial
    make_sampler(space, tune, num_known=0)
    check_values(base, space)
    names = [parameter.name for parameter in space.parameters]
    kinds = {base.model.kind} | {
        str(value)
        for parameter in space.parameters
        for each in parameter.alternatives
        for value in each.domain.choices
        if parameter.name == "autoencoder.kind"
    }
    keeping = sorted(kind for kind in kinds if autoencoder_kinds()[kind].keeps_time)
    if tune.objective == "uar" and tune.readout == "state" and keeping:
        raise ConfigError(
            f"the representation of a {keeping[0]!r} autoencoder is one for each frame and cannot "
            'be scored. Set readout = "pooled".'
        )
    doubtful = [
        name
        for name in names
        if name.startswith("spectrogram.") or name.partition(".")[2] in _CHANGE_THE_LOSS
    ]
    if tune.objective == "loss" and doubtful:
        logger.warning(
            "losses of trials that differ in %s do not compare: --objective uar does.",
            ", ".join(doubtful),
        )
    return base


def _identity(
    recipe: Recipe, base: Candidate, space: SearchSpace, tune: TuneConfig, division: Division
) -> Identity:
    """Return what makes a sweep another one; more trials do not."""
    settings = asdict(tune)
    settings.pop("num_trials")
    config = {
        "base": {**asdict(base), "kind": base.model.kind},
        "evaluation": asdict(recipe.evaluation),
        "search": space.to_dict(),
        "tune": settings,
    }
    return Identity("sweep", config, {"recordings": manifest_fingerprint(division.manifest)})


def _spectrograms(base: Candidate, space: SearchSpace, *, at_most: int) -> list[SpectrogramConfig]:
    """Return the spectrogram configurations of all points, or none if they cannot be told."""
    own = [each for each in space.parameters if each.name.startswith("spectrogram.")]
    alternatives = [alternative for each in own for alternative in each.alternatives]
    bound = any(not name.startswith("spectrogram.") for each in alternatives for name in each.when)
    if bound or any(each.domain.values() is None for each in alternatives):
        return []
    found = {}
    for point in itertools.islice(SearchSpace(tuple(own)).grid(), at_most + 1):
        try:
            config = candidate_of(base, point).spectrogram
        except ConfigError:
            continue  # no trial will have it
        found[json.dumps(asdict(config))] = config
    return list(found.values()) if len(found) <= at_most else []


def _most_epochs(base: Candidate, space: SearchSpace) -> int:
    """Return the epochs of the longest trial."""
    found = [base.training.num_epochs]
    for parameter in space.parameters:
        if parameter.name == "training.num_epochs":
            for each in parameter.alternatives:
                found += [int(value) for value in each.domain.choices or (each.domain.high,)]
    return max(found)


def _objective(recipe: Recipe, tune: TuneConfig) -> Objective:
    return Objective(
        kind=tune.objective,
        readout=tune.readout,
        svm=SvmConfig(complexity=tune.complexity),
        majority_vote=recipe.evaluation.majority_vote,
        seed=recipe.evaluation.seed,
    )


def _search(
    ledger: Ledger, sampler: Sampler, space: SearchSpace, plan: "TrialPlan", missing: int
) -> None:
    """Run the missing trials, never more at once than fit."""
    shows = bool(os.environ.get(DEBUG_VARIABLE))
    settings = {**_SETTINGS, "TUNE_PRINT_ALL_TRIAL_ERRORS": str(int(shows))}
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    from ray import tune as ray_tune

    from raudeep.pipeline.tuning.search import Asha, LedgerSearch
    from raudeep.pipeline.tuning.trials import Trial

    most = _most_epochs(plan.base, space)
    asha = Asha(plan.tune, num_epochs=most) if plan.tune.rungs(most) else None
    with (
        # Ray's own state of the trials, which nobody needs afterwards.
        tempfile.TemporaryDirectory() as folder,
        stage_progress("sweep", unit="trials", total=missing) as progress,
    ):
        search = LedgerSearch(ledger, sampler, plan.base, plan.tune, progress, asha)
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(
                ray_tune.with_parameters(Trial, plan=plan),
                # No part of a core, or the last training run would not find room. Something it
                # must be: a byte.
                {"CPU": 0, "memory": 1},
            ),
            tune_config=ray_tune.TuneConfig(
                num_samples=missing,
                max_concurrent_trials=plan.share.concurrent,
                search_alg=search,
                scheduler=asha,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=ray_tune.RunConfig(
                name="sweep",
                storage_path=folder,
                verbose=0,
                failure_config=ray_tune.FailureConfig(max_failures=_MAX_FAILURES),
                checkpoint_config=ray_tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()
    if not ledger.records:
        raise ConfigError(f"no point of the search space can be tried: {search.refused}")
    if search.refused:
        logger.warning("points that make no configuration were left out: %s", search.refused)
