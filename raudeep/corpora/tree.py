"""A corpus as a list of its files, so that layouts read folders and object stores alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from raudeep.corpora.suffixes import is_audio
from raudeep.manifest import Folds, Recording, uri_of

__all__ = ["LayoutMismatch", "Tree", "audio_files"]


class LayoutMismatch(Exception):
    """A tree is not of a layout; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The files below the root of a corpus."""

    root: str
    """URI of the corpus."""
    files: Mapping[str, int]
    """Path relative to the root, with slashes, to size in bytes."""
    read: Callable[[str], bytes]
    """Returns the content of a small file, given its relative path."""

    def recording(
        self,
        file: str,
        *,
        label: str | None = None,
        partition: str | None = None,
        folds: Folds | None = None,
    ) -> Recording:
        """Return the recording at the relative path `file`, which may be missing on disk."""
        return Recording(
            file=file,
            # What lies below the root may begin with a slash: S3 has such names.
            uri=uri_of(file, self.root, is_below=file in self.files),
            label=label,
            partition=partition,
            folds=folds,
            bytes=self.files.get(file),
        )


def audio_files(tree: Tree) -> list[str]:
    """Return the sorted paths of the audio files, without hidden files and folders.

    Hidden are names that start with a dot, among them the ``._`` twins that macOS writes.
    """
    return sorted(filter(is_audio, tree.files))
