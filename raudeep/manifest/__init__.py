"""The manifest: the table of recordings that every run starts from.

It comes from a corpus layout (`raudeep.corpora`) or from a user's own CSV or Parquet file, and is
checked and summarised here. No audio is opened: what stands in it is what its owner wrote down.
"""

from raudeep.manifest.checking import check_manifest
from raudeep.manifest.columns import complete_manifest
from raudeep.manifest.reading import parse_manifest, read_text_columns
from raudeep.manifest.recordings import Folds, Recording, fold_roles, manifest_table, uri_of
from raudeep.manifest.summary import label_map, manifest_fingerprint, summarise

__all__ = [
    "Folds",
    "Recording",
    "check_manifest",
    "complete_manifest",
    "fold_roles",
    "label_map",
    "manifest_fingerprint",
    "manifest_table",
    "parse_manifest",
    "read_text_columns",
    "summarise",
    "uri_of",
]
