"""Folds of class folders: ``fold_1/dog/a.wav`` to ``fold_N/...``."""

import re

from raudeep.corpora.tree import LayoutMismatch, Tree, audio_files
from raudeep.manifest import Recording, fold_roles

__all__ = ["FOLD_FOLDER", "read_cross_validated"]

FOLD_FOLDER = re.compile(r"fold_([1-9][0-9]*)")


def read_cross_validated(tree: Tree) -> list[Recording]:
    """Return every audio file of `tree` with its label; it is valid in the fold it lies in.

    Raises
    ------
    LayoutMismatch
        If an audio file lies elsewhere than in ``fold_k/<class>/``, or the folds that hold audio
        are not numbered 1 to N without a gap, N at least 2.
    """
    placed = []
    for file in audio_files(tree):
        parts = file.split("/")
        fold = FOLD_FOLDER.fullmatch(parts[0])
        if not fold or len(parts) != 3:
            raise LayoutMismatch(f"{file!r} is not in fold_<number>/<class>/")
        placed.append((file, int(fold[1]), parts[1]))
    folds = sorted({fold for _, fold, _ in placed})
    if len(folds) < 2 or folds != list(range(1, len(folds) + 1)):
        found = ", ".join(f"fold_{fold}" for fold in folds[:10])
        raise LayoutMismatch(f"folds must be numbered 1 to N, N at least 2; audio is in {found}")
    return [
        tree.recording(file, label=label, folds=fold_roles(fold, len(folds)))
        for file, fold, label in placed
    ]
