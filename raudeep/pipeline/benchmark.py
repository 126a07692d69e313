"""The main job: a recipe and a corpus in, every table, model and score out.

Run again, it computes only what is missing.
"""

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from raudeep.config import Limits, ResourceConfig
from raudeep.credentials import public_values
from raudeep.errors import EvaluationError, TableError
from raudeep.evaluation.folds import Split
from raudeep.foreign import parse_json
from raudeep.manifest import label_map
from raudeep.pipeline.artifacts import read_history, read_metrics
from raudeep.pipeline.baselines.scores import BaselineScore, run_baselines
from raudeep.pipeline.benchmark_layout import BENCHMARK, BenchmarkLayout, check_output
from raudeep.pipeline.classification.predictions import splits_of, warn_of_limits
from raudeep.pipeline.classification.scoring import Evaluation, evaluate_embeddings
from raudeep.pipeline.corpus import check_synthesised, corpus_of, load_manifest, write_manifest
from raudeep.pipeline.recordings.embedding import embed_tables
from raudeep.pipeline.recordings.spectrograms import (
    bytes_per_recording,
    extract_spectrograms,
    first_header,
    view_shapes,
)
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.stage import StageSummary, recording_slices
from raudeep.pipeline.tables.fusing import fuse_tables
from raudeep.pipeline.training.runs import Run, train_autoencoders
from raudeep.pipeline.training.tracking import check_tracker
from raudeep.recipe import FUSED, Recipe
from raudeep.storage import uri as uris
from raudeep.storage.identity import package_versions
from raudeep.storage.outputs import check_folder
from raudeep.storage.table import read_errors

__all__ = ["plan_benchmark", "run_benchmark"]

logger = logging.getLogger(__name__)

RESULTS_VERSION = 1
BASELINE = "baseline"  # what stands in the scores in place of a readout


def run_benchmark(
    recipe: Recipe,
    corpus: str | None,
    output: str,
    *,
    resources: ResourceConfig | None = None,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Run a recipe on a corpus, from audio to cross-validated scores.

    Parameters
    ----------
    recipe : Recipe
        Views, autoencoders, readouts, classifier and seed.
    corpus : str or None
        URI of the corpus or its manifest; None synthesises the demo corpus.
    output : str
        URI of the folder for everything.
    resources : ResourceConfig, optional
        What training may take.
    limits : Limits, optional
        Which recordings are taken, and how many may fail.
    overwrite : bool
        Replace what was made with another configuration.

    Returns
    -------
    dict
        What ``results.json`` holds: scores, stages, errors and places.

    Raises
    ------
    RaudeepError
        Whatever a user can mend, in one line.
    """
    started = time.perf_counter()
    places = BenchmarkLayout(output)
    check_output(places, recipe)
    if resources is not None:
        check_tracker(resources.tracker)  # now, and not when the spectrograms are done
    corpus = corpus_of(recipe, corpus, places.output)
    manifest, layout = load_manifest(corpus, layout=recipe.corpus_layout)
    splits = _splits(manifest, recipe, corpus)
    logger.info("recipe %s -> %s", recipe.name, places.output)
    stages = [write_manifest(manifest, places.manifest, overwrite=overwrite)]
    spectrograms = {view: places.spectrograms(view) for view in recipe.views}
    stages += extract_spectrograms(
        manifest, recipe.views, spectrograms, limits=limits, overwrite=overwrite
    )
    errors = _unusable(spectrograms.values())
    runs = [
        Run(
            name=name,
            spectrograms=(spectrograms[each.view],),
            output=places.model(name),
            model=each.model,
            training=each.training,
        )
        for name, each in recipe.autoencoders.items()
    ]
    stages += train_autoencoders(
        runs, checkpoints=places.checkpoints, resources=resources, overwrite=overwrite
    )
    embedders = [
        Embedder(
            name=name,
            model=places.model(name),
            outputs={readout: places.embeddings(readout, name) for readout in recipe.readouts},
        )
        for name in recipe.autoencoders
    ]
    tables = {name: spectrograms[each.view] for name, each in recipe.autoencoders.items()}
    stages += embed_tables(embedders, tables, overwrite=overwrite)
    scored = list(recipe.autoencoders)
    if len(scored) > 1:
        for readout in recipe.readouts:
            parts = {name: places.embeddings(readout, name) for name in recipe.autoencoders}
            fused = places.embeddings(readout, FUSED)
            stages.append(fuse_tables(parts, fused, overwrite=overwrite))
        scored.append(FUSED)
    pairs = [(readout, name) for readout in recipe.readouts for name in scored]
    evaluations = evaluate_embeddings(
        {f"{readout}/{name}": places.embeddings(readout, name) for readout, name in pairs},
        {f"{readout}/{name}": places.predictions(readout, name) for readout, name in pairs},
        classifier=recipe.mlp,
        evaluation=recipe.evaluation,
        overwrite=overwrite,
    )
    stages += [evaluation.summary for evaluation in evaluations.values()]
    baselines = run_baselines(
        recipe.baselines,
        manifest,
        spectrograms,
        places.baselines,
        cnn=recipe.cnn,
        sparse_coding=recipe.sparse_coding,
        mlp=recipe.mlp,
        evaluation=recipe.evaluation,
        limits=limits,
        overwrite=overwrite,
    )
    stages += [summary for baseline in baselines.values() for summary in baseline.summaries]
    results = {
        "schema_version": RESULTS_VERSION,
        "recipe": recipe.name,
        "description": recipe.description,
        "seed": recipe.evaluation.seed,
        "corpus": {
            "uri": corpus,
            "layout": layout,
            "recordings": manifest.num_rows,
            "labels": label_map(manifest),
            "num_folds": sum(split.fold is not None for split in splits),
        },
        "output": places.output,
        "seconds": time.perf_counter() - started,
        "scores": [
            *(_score_row(pair[0], pair[1], evaluations["/".join(pair)]) for pair in pairs),
            *(_score_row(BASELINE, name, baseline) for name, baseline in baselines.items()),
        ],
        "autoencoders": {name: _training_row(places.model(name)) for name in recipe.autoencoders},
        "stages": _by_stage(stages, before=_seconds_before(places)),
        "errors": errors,
        "tables": {_relative(summary.table, places): summary.table for summary in stages},
        "versions": package_versions(),
    }
    # Only now: a run that is refused must not replace the recipe of the run that was done. Files of
    # others may have come meanwhile.
    check_folder(places.output, BENCHMARK)
    resolved = json.dumps(recipe.to_dict(), indent=1)
    uris.write_bytes(places.recipe, resolved.encode())
    public: dict[str, Any] = public_values(results)
    uris.write_bytes(places.results, json.dumps(public, indent=1).encode())
    return public


def plan_benchmark(recipe: Recipe, corpus: str | None, output: str) -> dict[str, Any]:
    """Return what `run_benchmark` would do, without doing it: sizes, parts and shapes.

    Raises
    ------
    ManifestError, EvaluationError, TableError
        Where `run_benchmark` would at once.
    """
    places = BenchmarkLayout(output)
    check_output(places, recipe)
    if corpus is None:
        check_synthesised(recipe)
        return {"recipe": recipe.to_dict(), "corpus": "synthesised", "output": places.output}
    manifest, layout = load_manifest(corpus, layout=recipe.corpus_layout)
    _splits(manifest, recipe, corpus)
    shapes = view_shapes(recipe.views, first_header(manifest))
    size = bytes_per_recording(recipe.views, shapes)
    parts = len(recording_slices(manifest, bytes_per_row=size))
    views = {
        view: {
            "frames": shapes[view].frames,
            "bands": shapes[view].bands,
            "chunks_per_recording": config.chunk_count or 1,
            "rows": manifest.num_rows * (config.chunk_count or 1),
            "parts": parts,
            "memory_bytes": manifest.num_rows * (config.chunk_count or 1) * shapes[view].bytes,
        }
        for view, config in recipe.views.items()
    }
    return {
        "recipe": recipe.to_dict(),
        "corpus": {"uri": corpus, "layout": layout, "recordings": manifest.num_rows},
        "output": places.output,
        "views": views,
        "training_runs": len(recipe.autoencoders),
    }


def _splits(manifest: pa.Table, recipe: Recipe, corpus: str) -> list[Split]:
    """Return what is scored; what the evaluation would refuse after the training, is refused."""
    if len(label_map(manifest)) < 2:
        raise EvaluationError(
            f"{corpus} has fewer than two labels, so a benchmark cannot score it. Pass "
            "--corpus-layout, a manifest with a 'label' column, or use `raudeep embed`."
        )
    evaluation = recipe.evaluation
    makes_splits = evaluation.train_partitions or evaluation.num_folds is not None
    if not makes_splits and not any(manifest["folds"].to_pylist()):
        raise EvaluationError(
            f"{corpus} has no folds. Pass --evaluation.num-folds N to make stratified ones, or "
            "--evaluation.train-partitions and --evaluation.eval-partitions."
        )
    splits = splits_of(manifest, evaluation, corpus)
    warn_of_limits({corpus: (manifest, splits)})
    return splits


def _unusable(tables: Iterable[str]) -> list[dict[str, Any]]:
    """Return the recordings that failed in any view, each once, with where and why."""
    found: dict[str, dict[str, Any]] = {}
    for uri in tables:
        for row in read_errors(uri).to_pylist():
            found.setdefault(row["file"], row)
    return [found[file] for file in sorted(found)]


def _score_row(readout: str, name: str, evaluation: Evaluation | BaselineScore) -> dict[str, Any]:
    return {
        "readout": readout,
        "embedding": name,
        "size": evaluation.size,
        **evaluation.score.to_dict(),
    }


def _training_row(uri: str) -> dict[str, Any]:
    history = read_history(uri)
    kept = read_metrics(uri)
    speeds = [epoch["chunks_per_second"] for epoch in history]
    return {
        "epochs": len(history),
        "epoch": kept["epoch"],
        "loss": kept["loss"],
        "validation_loss": kept["validation_loss"],
        "chunks_per_second": sum(speeds) / len(speeds),
    }


def _seconds_before(places: BenchmarkLayout) -> dict[tuple[str, int], float]:
    """Return the time of each stage and number of parts in the results that this run replaces."""
    try:
        stages = parse_json(uris.read_bytes(places.results), places.results)["stages"]
        return {(row["stage"], row["parts"]): float(row["seconds"]) for row in stages}
    except (OSError, TableError, ValueError, KeyError, TypeError):  # none of a benchmark
        return {}


def _by_stage(
    summaries: Sequence[StageSummary], *, before: Mapping[tuple[str, int], float]
) -> list[dict[str, Any]]:
    """Return one row for each stage; tables of a stage are made side by side.

    A stage that was all there keeps its time of `before`, when it was made.
    """
    rows: dict[str, dict[str, Any]] = {}
    for summary in summaries:
        row = rows.setdefault(
            summary.stage,
            {
                "stage": summary.stage,
                "seconds": 0.0,
                "parts": 0,
                "reused": 0,
                "rows": 0,
                "errors": 0,
            },
        )
        row["seconds"] = max(row["seconds"], summary.seconds)
        for key in ("parts", "reused", "rows"):
            row[key] += getattr(summary, key)
        row["errors"] = max(row["errors"], summary.errors)
    for stage, row in rows.items():
        if row["reused"] == row["parts"]:
            row["seconds"] = before.get((stage, row["parts"]), row["seconds"])
    return list(rows.values())


def _relative(uri: str, places: BenchmarkLayout) -> str:
    return uri.removeprefix(places.output).lstrip("/")
