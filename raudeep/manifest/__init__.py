"""The manifest: the table of recordings that every run starts from.

It comes from a corpus layout (`raudeep.corpora`) or from a user's own file or frame, and is
checked and summarised here. No audio is opened: what stands in it is what its owner wrote down.
"""

from raudeep.manifest.checking import check_manifest
from raudeep.manifest.columns import complete_manifest
from raudeep.manifest.reading import (
    MANIFEST_SUFFIXES,
    is_frame,
    manifest_of_frame,
    parse_manifest,
)
from raudeep.manifest.recordings import Folds, Recording, fold_roles, manifest_table, uri_of
from raudeep.manifest.separated import read_text_columns
from raudeep.manifest.summary import (
    label_map,
    manifest_fingerprint,
    recordings_fingerprint,
    summarise,
)

__all__ = [
    "MANIFEST_SUFFIXES",
    "Folds",
    "Recording",
    "check_manifest",
    "complete_manifest",
    "fold_roles",
    "is_frame",
    "label_map",
    "manifest_fingerprint",
    "manifest_of_frame",
    "manifest_table",
    "parse_manifest",
    "read_text_columns",
    "recordings_fingerprint",
    "summarise",
    "uri_of",
]
