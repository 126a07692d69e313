"""Content that others wrote: what is wrong with it is a line, and none of it steers a terminal."""

import gzip

import pytest

from raudeep.errors import ConfigError, TableError
from raudeep.foreign import blamed, gunzip, parse_json, parse_toml, parse_yaml, visible


@pytest.mark.parametrize(
    ("parse", "content", "said"),
    [
        (parse_json, b"[" * 100_000, "maximum recursion depth"),
        (parse_json, b"9" * 20_000, "Exceeds the limit"),
        (parse_json, b'{"a": "\\ud800"}', "surrogates not allowed"),
        (parse_json, b"\xff", "codec can't decode"),
        (parse_json, b" " * (64 * 2**20 + 1), "larger than 65536 KiB"),
        (parse_toml, b"a = " + b"[" * 50_000, "maximum recursion depth"),
        (parse_toml, b"a = " + b"9" * 20_000, "Exceeds the limit"),
        (parse_toml, b"a = 1" + b" " * 2**16, "larger than 64 KiB"),
        (parse_yaml, b"[" * 100_000, "increasing flow level"),
        (parse_yaml, b"!!python/name:os.system", "could not determine a constructor"),
        (gunzip, gzip.compress(bytes(2**27), mtime=0), "larger than 65536 KiB"),
        (gunzip, gzip.compress(b"abc", mtime=0)[:-4], "ends too early"),
        (gunzip, b"abc", "incorrect header check"),
    ],
)
def test_content_that_cannot_be_parsed_is_a_line_that_names_it(parse, content, said):
    with pytest.raises(TableError, match=said) as error:
        parse(content, "x/index.json")
    assert str(error.value).startswith("x/index.json: ")
    assert len(str(error.value).splitlines()) == 1


def test_gzip_files_of_several_members_are_read():
    assert gunzip(gzip.compress(b"ab") + gzip.compress(b"cd") + bytes(8), "x") == b"abcd"


def test_only_what_a_parser_raises_is_blamed_on_the_content():
    with pytest.raises(ConfigError, match="x: 'key'"), blamed("x", ConfigError):
        {}["key"]
    with pytest.raises(TableError, match="as it is"), blamed("x", ConfigError):
        raise TableError("as it is")
    with pytest.raises(MemoryError), blamed("x"):
        raise MemoryError


def test_text_cannot_steer_a_terminal():
    assert visible("a\x1b[2Jb\x9bc\x07\r\x7f\u202e\u2066") == (
        r"a\x1b[2Jb\x9bc\x07\r\x7f\u202e\u2066"
    )
    readable = "Hörtext\t日本語\u3000\u200d ק\u200f\n"
    assert visible(readable) == readable
