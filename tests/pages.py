"""The code blocks of README and docs/, and how they are run.

A block is run as it is printed, but for sizes: trainings get an epoch and a few units. A block with
a title (`title="space.toml"`) is written to that file. A block that cannot be run has a comment
before it: ``<!-- not run: the reason -->``.
"""

import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]*?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
SMALLER = (
    (r"(num[-_]epochs)([ =])\d+", r"\1\g<2>1"),
    (r"(num[-_]units)([ =])\d+", r"\1\g<2>4"),
    (r"(n[-_]mels)([ =])\d+", r"\1\g<2>8"),
    (r"(repeats)([ =])\d+", r"\1\g<2>1"),
)
PLAIN = ("text", "csv")  # what is shown, and not run


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    title: str | None
    reason: str | None
    line: int


def blocks_of(page: Path) -> list[Block]:
    """The code blocks of a page, in its order."""
    written = page.read_text("utf-8")
    return [
        Block(
            match["language"],
            re.sub(f"(?m)^{match['indent']}", "", match["text"]),
            match["title"],
            match["reason"],
            written.count("\n", 0, match.start("language")) + 1,
        )
        for match in FENCE.finditer(written)
    ]


def smaller(text: str) -> str:
    """The same commands with sizes that a test can wait for."""
    for written, run in SMALLER:
        text = re.sub(written, run, text)
    return text


def commands_of(block: Block) -> list[list[str]]:
    """The words of each command of a shell's block; comments are left out."""
    lines = smaller(block.text).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run_block(block: Block, names: dict, cli) -> None:
    """Run a block in the working directory; Python blocks of a page share their names."""
    if block.title is not None:
        Path(block.title).write_text(smaller(block.text), "utf-8")
    if block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "python" and block.title is None:
        exec(compile(smaller(block.text), "block", "exec"), names)
    elif block.language == "bash":
        for program, *words in commands_of(block):
            assert program == "raudeep", f"{program} is no command that a test runs: give a reason"
            code, _, err = cli(*words)
            assert code == 0, f"raudeep {' '.join(words)}\n{err}"
