"""Audio files in any arrangement, without labels."""

from raudeep.corpora.tree import Tree, audio_files
from raudeep.manifest import Recording

__all__ = ["read_bare"]


def read_bare(tree: Tree) -> list[Recording]:
    """Return every audio file of `tree`, unlabelled."""
    return [tree.recording(file) for file in audio_files(tree)]
