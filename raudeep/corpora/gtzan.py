"""GTZAN (Tzanetakis and Cook, 2002): ``genres/blues/blues.00000.wav``, ten genres, no folds.

The published archive holds a file that cannot be decoded (``jazz.00054.wav``); it ends in the
errors of a table, as any other.
"""

import re

from raudeep.corpora.tree import LayoutMismatch, Tree, audio_files
from raudeep.manifest import Recording

__all__ = ["read_gtzan", "read_gtzan_archive"]

_FILE = re.compile(r"(?P<root>[^/]+/)?(?P<genre>[a-z]+)/(?P=genre)\.[0-9]{5}\.[A-Za-z0-9]+")


def read_gtzan(tree: Tree) -> list[Recording]:
    """Return GTZAN, from the folder of its archive or from the folder of the genres.

    Raises
    ------
    LayoutMismatch
        If an audio file is not ``<genre>/<genre>.<five digits>``, below one folder or none, or
        there are not two genres.
    """
    recordings, roots = [], set()
    for file in audio_files(tree):
        match = _FILE.fullmatch(file)
        if match is None:
            raise LayoutMismatch(f"{file!r} is not named as genres/blues/blues.00000.wav")
        recordings.append(tree.recording(file, label=match["genre"]))
        roots.add(match["root"])
    if len(roots) > 1 or len({recording.label for recording in recordings}) < 2:
        raise LayoutMismatch("two or more genres must lie in one folder")
    return recordings


def read_gtzan_archive(tree: Tree) -> list[Recording]:
    """Return GTZAN from its archive's folder only; genres at the root are class folders as well.

    Raises
    ------
    LayoutMismatch
        As `read_gtzan`, or if the genres are at the root.
    """
    recordings = read_gtzan(tree)
    if recordings[0].file.count("/") < 2:
        raise LayoutMismatch("the genres do not lie in a folder such as genres/")
    return recordings
