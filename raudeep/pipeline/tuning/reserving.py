"""Which recordings a sweep may see: all but those that the final evaluation reports."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from raudeep.config import EvaluationConfig, TuneConfig
from raudeep.errors import ConfigError, EvaluationError
from raudeep.evaluation.folds import splits_from_folds
from raudeep.evaluation.stratified import stratified_folds
from raudeep.manifest import label_map

__all__ = ["Division", "divide_recordings"]

_VALID = 1
_MADE_FOLDS = 5  # of the recordings that are left, where partitions are reserved


@dataclass(frozen=True, kw_only=True)
class Division:
    """The recordings of a corpus, and those that a sweep may see."""

    manifest: pa.Table
    """All, with the folds of the final evaluation."""
    searched: pa.Table
    """What the sweep trains on and scores, with the folds that it scores and no others."""
    reserved_folds: tuple[int, ...] = ()
    reserved_partitions: tuple[str, ...] = ()
    scored_folds: tuple[int, ...] = ()

    @property
    def num_reserved(self) -> int:
        """Recordings that the sweep does not see."""
        return int(self.manifest.num_rows - self.searched.num_rows)


def divide_recordings(
    manifest: pa.Table, evaluation: EvaluationConfig, tune: TuneConfig, *, corpus: str
) -> Division:
    """Return what a sweep may see of a corpus.

    Reserved are the validation recordings of ``tune.reserved_folds`` (without: of the folds that
    the evaluation names, or of the last one), or the partitions that the evaluation scores. Of the
    recordings that are left a trial is scored on the folds that are not reserved; where partitions
    are reserved, on five folds made of them.

    Raises
    ------
    EvaluationError
        If the corpus has neither folds nor partitions to reserve, none of a partition that the
        evaluation names, or too few labels.
    ConfigError
        If there are no such folds.
    """
    scores = tune.objective == "uar"
    if scores and len(label_map(manifest)) < 2:
        raise EvaluationError(
            f"{corpus} has fewer than two labels, so no trial can be scored. Pass --corpus-layout, "
            "a manifest with a 'label' column, or --objective loss."
        )
    if evaluation.train_partitions:
        division = _without_partitions(manifest, evaluation, tune, corpus)
    else:
        division = _without_folds(manifest, evaluation, tune, corpus)
    if scores:  # refused here rather than by every trial
        searched = division.searched
        splits_from_folds(searched["file"].to_pylist(), searched["folds"].to_pylist())
    return division


def _without_partitions(
    manifest: pa.Table, evaluation: EvaluationConfig, tune: TuneConfig, corpus: str
) -> Division:
    if tune.reserved_folds or tune.scored_folds:
        raise ConfigError(
            "the recipe is evaluated by partitions: 'reserved_folds' and 'scored_folds' of "
            f"TuneConfig must be empty. Got {tune.reserved_folds!r} and {tune.scored_folds!r}."
        )
    partitions, reserved = manifest["partition"].to_pylist(), evaluation.eval_partitions
    known = {partition for partition in partitions if partition is not None}
    if strange := [name for name in (*evaluation.train_partitions, *reserved) if name not in known]:
        raise EvaluationError(
            f"no recording is in partition {strange[0]!r}. {corpus} has "
            f"{', '.join(map(repr, sorted(known))) or 'no partitions'}."
        )
    kept = [partition not in reserved for partition in partitions]
    left = manifest.filter(pa.array(kept))
    folds: tuple[int, ...] = ()
    if tune.objective == "uar":
        labels = left["label"].to_pylist()
        smallest = min(Counter(label for label in labels if label is not None).values(), default=0)
        num_folds = max(2, min(_MADE_FOLDS, smallest))
        made = stratified_folds(
            left["file"].to_pylist(), labels, num_folds=num_folds, seed=evaluation.seed
        )
        left, folds = _with_folds(left, made), tuple(range(num_folds))
    return Division(
        manifest=manifest, searched=left, reserved_partitions=reserved, scored_folds=folds
    )


def _without_folds(
    manifest: pa.Table, evaluation: EvaluationConfig, tune: TuneConfig, corpus: str
) -> Division:
    if evaluation.num_folds is not None:
        made = stratified_folds(
            manifest["file"].to_pylist(),
            manifest["label"].to_pylist(),
            num_folds=evaluation.num_folds,
            seed=evaluation.seed,
            group_pattern=evaluation.group_pattern,
        )
        manifest = _with_folds(manifest, made)
    roles = manifest["folds"].to_pylist()
    num_folds = max((len(row) for row in roles if row is not None), default=0)
    if not num_folds:
        if tune.objective == "loss" and not tune.reserved_folds:
            return Division(manifest=manifest, searched=manifest)
        raise EvaluationError(
            f"{corpus} has no folds to reserve. Set num_folds in the recipe's [evaluation], or its "
            "train_partitions and eval_partitions."
        )
    reserved = tune.reserved_folds or evaluation.folds or (num_folds - 1,)
    scored = tune.scored_folds or tuple(f for f in range(num_folds) if f not in reserved)
    for name, folds in (("reserved_folds", reserved), ("scored_folds", scored)):
        if not folds or max(folds) >= num_folds or (name[0] == "s" and set(folds) & set(reserved)):
            raise ConfigError(
                f"{name!r} must name some of the {num_folds} folds, counted from 0, and a reserved "
                f"fold scores no trial. Got {folds!r}, with {reserved!r} reserved."
            )
    kept = [row is None or all(row[fold] != _VALID for fold in reserved) for row in roles]
    left = manifest.filter(pa.array(kept))
    rows = left["folds"].to_pylist()
    scoring = [None if row is None else tuple(row[fold] for fold in scored) for row in rows]
    return Division(
        manifest=manifest,
        searched=_with_folds(left, scoring),
        reserved_folds=reserved,
        scored_folds=scored,
    )


def _with_folds(
    manifest: pa.Table, folds: Sequence[tuple[int | None, ...] | tuple[int, ...] | None]
) -> pa.Table:
    place = manifest.schema.get_field_index("folds")
    column = pa.array([None if row is None else list(row) for row in folds], pa.list_(pa.int8()))
    return manifest.set_column(place, "folds", column)
