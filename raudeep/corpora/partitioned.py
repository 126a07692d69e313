"""Partitions of class folders: ``train/dog/a.wav``, with any of train, devel and test."""

from raudeep.corpora.tree import LayoutMismatch, Tree, audio_files
from raudeep.manifest import Recording
from raudeep.schema import PARTITIONS

__all__ = ["read_partitioned"]


def read_partitioned(tree: Tree) -> list[Recording]:
    """Return every audio file of `tree` with its partition and its label.

    Raises
    ------
    LayoutMismatch
        If an audio file lies elsewhere than in train, devel or test and a class folder therein.
    """
    recordings = []
    for file in audio_files(tree):
        parts = file.split("/")
        if len(parts) != 3 or parts[0] not in PARTITIONS:
            raise LayoutMismatch(f"{file!r} is not in train, devel or test/<class>/")
        recordings.append(tree.recording(file, label=parts[1], partition=parts[0]))
    return recordings
