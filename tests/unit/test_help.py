"""What `raudeep --help` and the help of each command show."""

import shlex
from itertools import pairwise

import pytest
from cyclopts import Group
from cyclopts.help import create_parameter_help_panel

from raudeep.cli import app
from raudeep.cli.arrangement import COMMANDS, leaves
from raudeep.corpora import LAYOUTS
from raudeep.recipe import LAYOUTS_WITH_FIELD, shipped_recipes

COMMAND = {" ".join(words): command for command, words in leaves(app)}
OWN = COMMAND.keys() - {"help"}


def plain(text):
    """The words of a help page, without its frames."""
    return " ".join(text.replace("│", " ").split())


def text_of(description):
    """The text of an entry of a help page."""
    return str(getattr(description, "primary_renderable", description) or "")


def test_commands_stand_in_the_order_of_the_work(cli):
    code, out, _ = cli("--help")
    assert code == 0
    words = plain(out)
    for before, after in pairwise(
        ["inspect", "extract", "train", "embed", "evaluate", "benchmark"]
    ):
        assert words.index(f" {before} ") < words.index(f" {after} ")
    titles = [line.split("─")[1].strip() for line in out.splitlines() if line.startswith("╭")]
    assert titles == [*COMMANDS, "Help", "Global options"]


def test_every_command_has_its_group():
    grouped = {words.split()[0] for commands in COMMANDS.values() for words in commands}
    assert grouped == {words.split()[0] for words in OWN}


@pytest.mark.parametrize("words", sorted(OWN))
def test_every_command_has_an_example_that_it_takes(words):
    epilogue = COMMAND[words].help_epilogue
    assert epilogue.startswith("Example: `raudeep ")
    _, *example = shlex.split(epilogue.removeprefix("Example: ").strip("`"))
    command, _, _ = app.parse_args(example, exit_on_error=False, print_error=False)
    assert command is COMMAND[words].default_command
    assert example[: len(words.split())] == words.split()


@pytest.mark.parametrize("words", sorted(OWN))
def test_every_flag_has_a_text_and_no_default_of_python(words, cli):
    shown = COMMAND[words].assemble_argument_collection(parse_docstring=True)
    entries = create_parameter_help_panel(Group("all"), shown, "plaintext").entries
    assert entries
    assert [entry.all_options for entry in entries if len(text_of(entry.description)) < 5] == []
    code, out, _ = cli(*words.split(), "--help")
    assert code == 0
    for pythonic in ("default: ()", "default: False", "default: True", "default: None"):
        assert pythonic not in plain(out)


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("extract", ["Input and output", "Spectrogram", "Failed and long recordings"]),
        ("train time", ["Input and output", "Autoencoder", "Training", "Resources"]),
        ("evaluate mlp", ["Input and output", "Evaluation", "Classifier"]),
    ],
)
def test_flags_stand_in_groups(words, titles, cli):
    _, out, _ = cli(*words.split(), "--help")
    found = [line.split("─")[1].strip() for line in out.splitlines() if line.startswith("╭")]
    assert found == [*titles, "Global options"]


def test_recipes_and_layouts_are_listed_where_they_are_asked_for(cli):
    _, out, _ = cli("benchmark", "--help")
    assert f"({', '.join(shipped_recipes())})" in plain(out)
    offered = plain(out).partition("Layout of the folder: ")[2].partition(", or a function")[0]
    assert {*offered.split(", "), "compare-arousal"} == {*LAYOUTS, *LAYOUTS_WITH_FIELD}


@pytest.mark.parametrize("words", ["", "embed", "train time"])
def test_help_is_a_command_too(words, cli):
    assert cli("help", *words.split()) == cli(*words.split(), "--help")
