"""Removes secrets from URIs and texts: passwords, tokens and signatures.

A message, a log, a table or a result names a place by its URI without a query, such as a signature,
and without user and password. What is needed to read there again is not kept: it is looked up
again, in the manifest, the arguments or the environment of that day.
"""

import re
from typing import Any

__all__ = ["public_column", "public_text", "public_uri", "public_values"]

_WEB = ("http", "https")
_NAMES_WITH_QUERIES = ("s3", "s3a", "gs", "gcs", "memory", "file")
"""Schemes in which `?` is part of a name, as in local paths."""
_ROW = re.compile(r"#\d+$")  # of a packed file
_SCHEME = r"\b([A-Za-z][A-Za-z0-9+.-]{0,30})://"
# Of the second form is a password with a slash in it, which no server is asked with.
_USER = r"((?:[^\s/'\"]*|[^\s/:@\[]+:(?!\d*/)[^\s@'\"]*)@)"
_USER_IN_TEXT = re.compile(_SCHEME + _USER)
_QUERY_IN_TEXT = re.compile(
    # A name may hold spaces, a query none. What ends a sentence is not of it.
    rf"({_SCHEME}(?:(?!://)[^'\"<>\n?])*)\?[^\s'\"<>]+?(?=[.,:;)]{{0,3}}(?:[\s'\"<>]|$))"
)


def public_uri(uri: str) -> str:
    """Return a URI without user and password, and without a query; a local path as it is.

    A user without a password stays, but not on the web, where it may be a token. The number of a
    row of a packed file stays.
    """
    begin = re.match(_SCHEME, uri)
    if begin is None:
        return uri
    scheme = begin[1]
    place = _USER_IN_TEXT.sub(_without_user, uri, count=1).partition("://")[2]
    if scheme.lower() not in _NAMES_WITH_QUERIES and "?" in place:
        row = _ROW.search(place)
        place = place.partition("?")[0] + (row[0] if row else "")
    return f"{scheme}://{place}"


def public_text(text: str) -> str:
    """Return a text, such as a message, in which URIs are as `public_uri` gives them."""
    if "://" not in text:
        return text
    text = _USER_IN_TEXT.sub(_without_user, text)
    return _QUERY_IN_TEXT.sub(_without_query, text)


def public_values(value: Any) -> Any:
    """Return nested dicts and lists with each text in them as `public_text` gives it."""
    if isinstance(value, str):
        return public_text(value)
    if isinstance(value, dict):
        return {name: public_values(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [public_values(each) for each in value]
    return value


def public_column(column: Any, *, text: bool = False) -> Any:
    """Return an Arrow column of URIs, or of texts, without what is secret in them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring_regex(column, r"(?s)://.*[?@]")).as_py():
        return column
    public = public_text if text else public_uri
    values = [None if each is None else public(each) for each in column.to_pylist()]
    return pa.array(values, pa.string())


def _without_user(found: re.Match[str]) -> str:
    is_secret = ":" in found[2] or found[1].lower() in _WEB
    return f"{found[1]}://" if is_secret else found[0]


def _without_query(found: re.Match[str]) -> str:
    return found[0] if found[2].lower() in _NAMES_WITH_QUERIES else found[1]
