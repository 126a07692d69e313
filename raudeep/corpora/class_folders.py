"""One folder per class: ``dog/a.wav``, ``rain/b.wav``. No folds and no partitions."""

from raudeep.corpora.cross_validated import FOLD_FOLDER
from raudeep.corpora.esc import CLASS_FOLDER
from raudeep.corpora.tree import LayoutMismatch, Tree, audio_files
from raudeep.manifest import Recording
from raudeep.schema import PARTITIONS

__all__ = ["read_class_folders"]


def read_class_folders(tree: Tree) -> list[Recording]:
    """Return every audio file of `tree`, labelled with the name of its folder.

    Raises
    ------
    LayoutMismatch
        If an audio file is not exactly one folder deep, there is only one folder, or a folder has
        the name of a fold, a partition or an ESC class, which are not labels.
    """
    recordings = []
    for file in audio_files(tree):
        label, _, name = file.partition("/")
        if not name or "/" in name:
            raise LayoutMismatch(f"{file!r} is not exactly one folder deep")
        if label in PARTITIONS or FOLD_FOLDER.fullmatch(label) or CLASS_FOLDER.fullmatch(label):
            raise LayoutMismatch(f"the folder {label!r} is named as in another layout")
        recordings.append(tree.recording(file, label=label))
    labels = {recording.label for recording in recordings}
    if len(labels) < 2:
        raise LayoutMismatch(f"{len(labels)} class folder with audio, at least 2 are needed")
    return recordings
