"""From a corpus on storage to its manifest table."""

import logging
import time

import pyarrow as pa

from raudeep.config import fingerprint
from raudeep.corpora import read_corpus
from raudeep.corpora.tree import Tree
from raudeep.errors import ManifestError, TableError
from raudeep.manifest import parse_manifest
from raudeep.pipeline.stage import StageSummary
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.table import is_table, open_table, read_table

__all__ = ["load_manifest", "manifest_fingerprint", "write_manifest"]

logger = logging.getLogger(__name__)

_MANIFEST_SUFFIXES = (".csv", ".parquet")


def load_manifest(
    corpus: str, *, layout: str | None = None, labelled: bool = True
) -> tuple[pa.Table, str]:
    """Return the manifest of a corpus, sorted by file, and the layout that it has.

    Parameters
    ----------
    corpus : str
        URI of a folder of audio, of a CSV or Parquet manifest, of a single recording, or of a
        manifest table.
    layout : str, optional
        Name of the corpus layout; detected without.
    labelled : bool
        Refuse a folder in which no layout with labels is recognised.

    Raises
    ------
    ManifestError
        If there is nothing there, no layout or more than one fits, or the manifest breaks a rule.
    """
    corpus = uris.absolute(corpus)
    if corpus.lower().endswith(_MANIFEST_SUFFIXES):
        try:
            content = uris.read_bytes(corpus)
        except OSError as error:
            raise ManifestError(f"no manifest at {corpus}: {error.strerror or error}") from error
        name = corpus.rsplit("/", 1)[-1]
        return parse_manifest(content, name=name, root=corpus.rsplit("/", 1)[0]), "manifest"
    if is_table(corpus):
        return read_table(corpus), "manifest"
    try:
        size = uris.file_size(corpus)
    except TableError as error:
        raise ManifestError(f"the corpus {corpus} cannot be read: {error}") from error
    if size is not None:
        corpus, _, name = corpus.rpartition("/")
        files, layout, labelled = {name: size}, "bare", False
    else:
        files = uris.list_files(corpus)
        if not files and not uris.exists(corpus):
            raise ManifestError(f"no corpus at {corpus}: there is no such folder or file.")
    tree = Tree(
        root=corpus, files=files, read=lambda path: uris.read_bytes(uris.join(corpus, path))
    )
    manifest, found = read_corpus(tree, layout=layout, labelled=labelled)
    logger.info("%s: %d recordings, layout %s", corpus, manifest.num_rows, found)
    return manifest, found


def manifest_fingerprint(manifest: pa.Table) -> str:
    """Return what stands for the recordings of a manifest: keys, sizes, labels and splits.

    Where the corpus lies is not part of it: a copy of a corpus gives the same tables.
    """
    columns = ("file", "bytes", "label", "partition", "folds")
    return fingerprint([manifest[name].to_pylist() for name in columns])


def write_manifest(manifest: pa.Table, uri: str, *, overwrite: bool = False) -> StageSummary:
    """Write a manifest as a table of one part."""
    started = time.perf_counter()
    identity = Identity("manifest", {}, {"recordings": manifest_fingerprint(manifest)})
    writer = open_table(uri, identity, overwrite=overwrite)
    missing = writer.missing(1)
    for part in missing:
        writer.write(part, manifest)
    index = writer.commit(1)
    return StageSummary(
        stage="manifest",
        table=uri,
        seconds=time.perf_counter() - started,
        parts=1,
        reused=1 - len(missing),
        rows=index.rows,
    )
