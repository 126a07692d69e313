"""From a corpus on storage, or the one that is synthesised, to its manifest table."""

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa

from raudeep.corpora import audio_files, describe_others, is_archive, read_corpus
from raudeep.corpora.tree import Tree
from raudeep.credentials import public_text, public_uri
from raudeep.errors import ConfigError, ManifestError, TableError
from raudeep.manifest import (
    MANIFEST_SUFFIXES,
    Recording,
    check_manifest,
    is_frame,
    manifest_fingerprint,
    manifest_of_frame,
    manifest_table,
    parse_manifest,
)
from raudeep.pipeline.recordings.packing import is_packed, read_packed
from raudeep.pipeline.stage import StageSummary
from raudeep.recipe import Recipe
from raudeep.schema import MANIFEST
from raudeep.storage import uri as uris
from raudeep.storage.contents import content_of_tag, with_known_contents
from raudeep.storage.identity import Identity
from raudeep.storage.index import indexed_stage, is_table, read_index, table_files
from raudeep.storage.opening import open_table
from raudeep.storage.outputs import Kind, check_folder, visible_files
from raudeep.storage.table import read_table

__all__ = ["check_synthesised", "corpus_of", "holds_demo_corpus", "load_manifest", "write_manifest"]

logger = logging.getLogger(__name__)

_NAMED = 5  # of what is left out of a corpus; of a drive that is full of it, a count says enough
_DEMO = "corpus"
"""Folder below an output for the corpus that is synthesised."""


def load_manifest(
    corpus: Any, *, layout: str | None = None, labelled: bool = True
) -> tuple[pa.Table, str]:
    """Return the manifest of a corpus, sorted by file, and the layout that it has.

    Parameters
    ----------
    corpus : str, sequence of str, or frame
        URI of a folder of audio, of a manifest (CSV, TSV or Parquet), of a single recording, of a
        manifest table, or of packed recordings (a table of `raudeep pack`, Parquet files with an
        ``audio`` column, or a folder of them); or those of several recordings. Or a manifest as a
        frame of pandas or Polars or as an Arrow table; relative paths in it start in the working
        directory.
    layout : str, optional
        Name of the layout of a folder of audio; detected without. Of anything else there is none,
        and a line says that it is not used.
    labelled : bool
        Refuse a folder in which no layout with labels is recognised.

    Raises
    ------
    ManifestError
        If there is nothing there, no layout or more than one fits, or the manifest breaks a rule.
    """
    if is_frame(corpus):
        place = f"the {type(corpus).__name__}"
        manifest, found = manifest_of_frame(corpus, name=place, root=uris.absolute(".")), "manifest"
    else:
        given = [corpus] if isinstance(corpus, str) else corpus
        places = [uris.absolute(each) for each in given]
        place = places[0]
        manifest, found = _load(places, layout=layout, labelled=labelled)
    if layout not in (None, found):
        said = public_uri(place)
        logger.warning("%s: no folder of audio, so the layout %r is not used.", said, layout)
    return manifest, found


def _load(places: Sequence[str], *, layout: str | None, labelled: bool) -> tuple[pa.Table, str]:
    if len(places) > 1:
        return _manifest_of_files(places), "bare"
    place = places[0]
    if public_uri(place).lower().endswith(MANIFEST_SUFFIXES) and not _is_folder(place):
        return _read_manifest(place), "manifest"
    if is_table(place):
        return _manifest_of_table(place), "manifest"
    if _size(place) is not None:
        return _manifest_of_files([place]), "bare"
    files = uris.list_corpus(place)
    if not files and not uris.exists(place):
        raise ManifestError(f"no corpus at {place}: there is no such folder or file.")
    tree = _tree(place, files)
    if packed := _packed_files(tree):
        return read_packed(packed, name=place, root=place), "packed"
    _warn_of_left_out(place, files.left_out)
    manifest, found = read_corpus(tree, layout=layout, labelled=labelled)
    if others := describe_others(tree):
        logger.warning("%s", public_text(others))
    logger.info("%s: %d recordings, layout %s", public_uri(place), manifest.num_rows, found)
    return with_known_contents(manifest, _contents(place, files.tags)), found


def _warn_of_left_out(root: str, left_out: Mapping[str, str]) -> None:
    """Warn of what is below a folder and gives no files: each of the first few, then how many."""
    for name, reason in islice(left_out.items(), _NAMED):
        logger.warning("%s %s. It is left out.", public_uri(uris.join(root, name)), reason)
    if (more := len(left_out) - _NAMED) > 0:
        logger.warning("%s: %d more of this kind are left out.", public_uri(root), more)


def _contents(root: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return what tells the contents of the objects below a folder, by their URI."""
    return {uris.join(root, name): content_of_tag(tag) for name, tag in tags.items()}


def _tree(root: str, files: Mapping[str, int]) -> Tree:
    return Tree(root=root, files=files, read=lambda path: uris.read_bytes(uris.join(root, path)))


def _divide(uri: str) -> tuple[str, str]:
    """Return the folder of a file, read with the same user and password, and the file's name."""
    folder, _, name = uris.split_query(uri)[0].rpartition("/")
    return folder, name


def _read_manifest(uri: str) -> pa.Table:
    root, name = _divide(uri)
    try:
        if name.lower().endswith(".parquet") and uris.exists(uri) and is_packed(uri):
            return read_packed([uri], name=uri, root=root)
        content = uris.read_bytes(uri)
    except OSError as error:
        raise ManifestError(f"no manifest at {uri}: {error.strerror or error}") from error
    return parse_manifest(content, name=name, root=root)


def _manifest_of_table(uri: str) -> pa.Table:
    index = read_index(uri)
    if index.stage == "recordings":
        parts = [uris.join(uri, part.name) for part in index.parts]
        return read_packed(parts, name=uri, root=uri)
    if index.stage != "manifest":
        raise ManifestError(f"{uri} is a table of {index.stage}, not a corpus. Name the corpus.")
    return read_table(uri)


def _manifest_of_files(places: Sequence[str]) -> pa.Table:
    """Return a manifest of recordings, which are named from the folder on that all are in."""
    divided = [_divide(place) for place in places]
    folders = zip(*(folder.split("/") for folder, _ in divided), strict=False)
    root = "/".join(names[0] for names in takewhile(lambda names: len(set(names)) == 1, folders))
    recordings = []
    for place, (folder, name) in zip(places, divided, strict=True):
        size = _size(place)
        if size is None:
            raise ManifestError(f"no recording at {place}. Several sources are single files.")
        if is_archive(name):
            raise ManifestError(
                f"{place} is an archive by its name, and no recording. Unpack it, and name the "
                "folder with what was in it."
            )
        file = public_uri(f"{folder}/{name}".removeprefix(f"{root}/"))
        recordings.append(Recording(file=file, uri=place, bytes=size))
    manifest = manifest_table(recordings)
    check_manifest(manifest, name=root)
    return manifest


def _packed_files(tree: Tree) -> list[str]:
    """Return the packed Parquet files of a folder without audio files."""
    names = [name for name in tree.files if name.endswith(".parquet") and "/." not in f"/{name}"]
    if not names or audio_files(tree):
        return []
    if table_files(tree.files).plans:
        read_index(tree.root)  # which says that the table is unfinished
    places = [uris.join(tree.root, name) for name in names]
    return places if is_packed(places[0]) else []


def _is_folder(uri: str) -> bool:
    """Return whether a place that is called like a file is a folder, or a table in a store."""
    if uris.is_local(uri):
        return uris.exists(uri) and uris.file_size(uri) is None
    try:
        return is_table(uri)
    except OSError:  # a key that reads the file may read nothing beside it
        return False


def _size(uri: str) -> int | None:
    try:
        return uris.file_size(uri)
    except TableError as error:
        raise ManifestError(f"the corpus {uri} cannot be read: {error}") from error


def write_manifest(manifest: pa.Table, uri: str, *, overwrite: bool = False) -> StageSummary:
    """Write a manifest as a table of one part.

    It takes the place of one of the same recordings with other labels, partitions or folds.
    """
    started = time.perf_counter()
    manifest = manifest.select(MANIFEST.names)
    identity = Identity("manifest", {}, {"recordings": manifest_fingerprint(manifest)})
    writer = open_table(uri, identity, overwrite=overwrite or _is_of(manifest, uri))
    missing = writer.missing(1)
    for part in missing:
        writer.write(part, manifest)
    index = writer.commit(1)
    return StageSummary.of_table("manifest", uri, index, made=len(missing), started=started)


def _is_of(manifest: pa.Table, uri: str) -> bool:
    """Return whether a manifest table is of these recordings."""
    columns = ["file", "bytes"]
    return (
        indexed_stage(uri) == "manifest"
        and read_table(uri, columns=columns).select(columns).replace_schema_metadata()
        == manifest.select(columns).replace_schema_metadata()
    )


def corpus_of(recipe: Recipe, corpus: str | None, output: str) -> str:
    """Return the URI of a recipe's corpus; the demo corpus is synthesised below the output."""
    if corpus is not None:
        return uris.absolute(corpus)
    check_synthesised(recipe)
    synthesised = uris.join(output, _DEMO)
    _synthesise(synthesised)
    return synthesised


def check_synthesised(recipe: Recipe) -> None:
    """Refuse a recipe without a corpus, unless it has its own."""
    if recipe.name != "demo":
        raise ConfigError(
            f"recipe {recipe.name!r} needs a corpus. Pass --corpus FOLDER; only 'demo' has its own."
        )


def holds_demo_corpus(output: str) -> bool:
    """Return whether nothing but a demo corpus, whole or begun, lies below an output."""
    names = visible_files(output)
    return (
        len(names) > 0
        and all(name.startswith(f"{_DEMO}/") for name in names)
        and _is_demo(uris.join(output, _DEMO))
    )


def _is_demo(corpus: str) -> bool:
    from raudeep.corpora.demo import is_demo_file

    return all(map(is_demo_file, visible_files(corpus)))


def _synthesise(uri: str) -> None:
    """Synthesise the demo corpus into a folder, local or remote; files that are there stay."""
    from raudeep.corpora.demo import write_demo_corpus

    check_folder(uri, Kind("demo corpus", is_there=_is_demo))
    present = uris.list_files(uri)
    with tempfile.TemporaryDirectory() as folder:
        write_demo_corpus(Path(folder))
        for path in sorted(Path(folder).rglob("*.*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and name not in present:
                uris.write_bytes(uris.join(uri, name), path.read_bytes())
