"""Makes folds and partitions, stratified by label, with each recording on one side of a split.

Recordings of one group (a speaker, a session) stay together if their names tell the group.
"""

import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from raudeep.errors import EvaluationError
from raudeep.evaluation.folds import TRAIN, VALID, check_agreement, some
from raudeep.evaluation.upsampling import original_name

__all__ = ["stratified_folds", "stratified_partitions"]


def stratified_folds(
    files: Sequence[str],
    labels: Sequence[str | None],
    *,
    num_folds: int,
    seed: int,
    group_pattern: str | None = None,
) -> list[tuple[int, ...]]:
    """Return made folds: each recording is in the validation side of exactly one.

    Copies that `raudeep upsample` made are where their recording is.

    Parameters
    ----------
    files : sequence of str, length N
        Recording of each row.
    labels : sequence of str or None, length N
        Label of each row. Every fold gets its share of each class; recordings without a label are
        dealt out evenly.
    num_folds : int >= 2
        Number of folds.
    seed : int >= 0
        Seed of the shuffle.
    group_pattern : str, optional
        Recordings in whose names this regular expression finds the same stay together; see
        `_groups`. The folds have the classes' shares as nearly as the groups allow.

    Returns
    -------
    list of tuple of int, length N
        For each row and fold 0 (train) or 1 (valid), as `splits_from_folds` takes it.

    Raises
    ------
    EvaluationError
        If `num_folds` or `seed` is out of its range, a class has fewer recordings, or groups, than
        there are folds, no name has the pattern, or rows of a recording disagree.
    """
    if num_folds < 2:
        raise EvaluationError(f"num_folds must be at least 2. Got {num_folds}.")
    _check_seed(seed)
    files = [original_name(file) for file in files]
    check_agreement(files, labels, "labels")
    # Sorted, so that the folds do not depend on the order of the rows.
    label_of = dict(sorted(dict(zip(files, labels, strict=True)).items()))
    group_of = _groups(label_of, group_pattern)
    members: dict[str, set[str]] = {}
    for file, label in label_of.items():
        if label is not None:
            members.setdefault(label, set()).add(group_of[file])
    if short := [
        f"{label!r} has {len(found)}"
        for label, found in sorted(members.items())
        if len(found) < num_folds
    ]:
        what = "recordings" if group_pattern is None else "groups"
        raise EvaluationError(
            f"num_folds={num_folds} needs at least {num_folds} {what} in every class: "
            f"{some(short)}."
        )
    rng = np.random.default_rng(seed)
    if group_pattern is None:
        fold_of = _folds_of_recordings(label_of, num_folds, rng)
    else:
        fold_of = _folds_of_groups(label_of, group_of, num_folds, rng)
    roles = [
        tuple(VALID if i == fold else TRAIN for i in range(num_folds)) for fold in range(num_folds)
    ]
    return [roles[fold_of[file]] for file in files]


def _folds_of_recordings(
    label_of: Mapping[str, str | None], num_folds: int, rng: np.random.Generator
) -> dict[str, int]:
    """Return the fold of each recording."""
    from sklearn.model_selection import StratifiedKFold  # takes a second to import

    labelled = np.array([file for file, label in label_of.items() if label is not None])
    unlabelled = np.array([file for file, label in label_of.items() if label is None])
    fold_of: dict[str, int] = {
        str(file): rank % num_folds for rank, file in enumerate(rng.permutation(unlabelled))
    }
    if len(labelled):
        folder = StratifiedKFold(num_folds, shuffle=True, random_state=int(rng.integers(2**32)))
        rounds = folder.split(labelled, [label_of[file] for file in labelled])
        for fold, (_, valid) in enumerate(rounds):
            fold_of.update((str(file), fold) for file in labelled[valid])
    return fold_of


def _folds_of_groups(
    label_of: Mapping[str, str | None],
    group_of: Mapping[str, str],
    num_folds: int,
    rng: np.random.Generator,
) -> dict[str, int]:
    """Return the fold of each recording; a group has one fold."""
    from sklearn.model_selection import StratifiedGroupKFold

    files = list(label_of)
    groups = [group_of[file] for file in files]
    if len(set(groups)) < num_folds:
        raise EvaluationError(
            f"num_folds={num_folds} needs at least {num_folds} groups. Got {len(set(groups))}."
        )
    folder = StratifiedGroupKFold(num_folds, shuffle=True, random_state=int(rng.integers(2**32)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few recordings without a label, which are no class
        rounds = list(folder.split(files, [label_of[file] or "" for file in files], groups))
    return {files[row]: fold for fold, (_, valid) in enumerate(rounds) for row in valid}


def _groups(files: Iterable[str], pattern: str | None) -> dict[str, str]:
    """Return the group of each recording: what a regular expression finds in its name.

    That is its first parenthesis, or all that it matches where it has none. Without a pattern, or
    where it finds nothing, a recording is a group of its own.

    Raises
    ------
    EvaluationError
        If it finds nothing in any name.
    """
    names = list(files)
    if pattern is None:
        return dict(zip(names, names, strict=True))
    found = {name: re.search(pattern, name) for name in names}
    if not any(found.values()):
        raise EvaluationError(
            f"group_pattern {pattern!r} finds nothing in any of {len(names)} names, e.g. "
            f"{names[0] if names else ''!r}."
        )
    first = 1 if re.compile(pattern).groups else 0
    # No name of a recording begins with a line break, so no group is called like one.
    return {
        name: name if match is None else f"\n{match.group(first)}" for name, match in found.items()
    }


def stratified_partitions(
    files: Sequence[str],
    labels: Sequence[str | None],
    *,
    shares: Mapping[str, float],
    seed: int,
    group_pattern: str | None = None,
) -> list[str]:
    """Return made partitions: each recording is in exactly one, with its upsampled copies.

    Parameters
    ----------
    files : sequence of str, length N
        Recording of each row.
    labels : sequence of str or None, length N
        Label of each row. Every partition gets its share of each class, and of the recordings
        without a label, up to rounding, which is by chance and does not favour a partition.
    shares : mapping of str to float
        Names of the partitions and their shares, which need not add up to 1.
    seed : int >= 0
        Seed of the shuffle.
    group_pattern : str, optional
        As in `stratified_folds`. Shares then count groups, each for its most frequent class.

    Returns
    -------
    list of str, length N
        Partition of each row.

    Raises
    ------
    EvaluationError
        If there are fewer than two partitions, a share is not positive and finite, `seed` is
        negative, a partition would be empty, no name has the pattern, or rows of a recording
        disagree.
    """
    if len(shares) < 2 or not all(0 < share < math.inf for share in shares.values()):
        raise EvaluationError(
            "partitions need two or more names with shares above 0, all finite. "
            f"Got {dict(shares)}."
        )
    _check_seed(seed)
    files = [original_name(file) for file in files]
    check_agreement(files, labels, "labels")
    # Sorted, so that the partitions do not depend on the order of the rows.
    label_of = dict(sorted(dict(zip(files, labels, strict=True)).items()))
    group_of = _groups(label_of, group_pattern)
    labels_of: dict[str, Counter[str | None]] = {}
    for file, label in label_of.items():
        labels_of.setdefault(group_of[file], Counter())[label] += 1
    classes: dict[str | None, list[str]] = {}
    for group, found in labels_of.items():
        classes.setdefault(found.most_common(1)[0][0], []).append(group)
    rng = np.random.default_rng(seed)
    bounds = np.cumsum(list(shares.values())) / sum(shares.values())
    names = list(shares)
    partition_of: dict[str, str] = {}
    for groups in classes.values():
        ends = np.floor(bounds * len(groups) + rng.random()).astype(int)
        ends[-1] = len(groups)
        for rank, group in enumerate(rng.permutation(groups)):
            partition_of[str(group)] = names[int(np.searchsorted(ends, rank, side="right"))]
    empty = [name for name in names if name not in partition_of.values()]
    if empty:
        raise EvaluationError(
            f"{len(labels_of)} {'recordings' if group_pattern is None else 'groups'} leave "
            f"partition {empty[0]!r} empty. Ask for fewer "
            "partitions, larger shares or another seed."
        )
    return [partition_of[group_of[file]] for file in files]


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise EvaluationError(f"seed must be at least 0. Got {seed}.")
