"""README and docs/: every code block runs, or says why it does not."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from raudeep.cli import app
from raudeep.cli.arrangement import leaves
from raudeep.corpora.demo import write_demo_corpus
from tests.pages import PAGES, PLAIN, ROOT, blocks_of, run_block

MADE = {  # what pages that are not about making it find, by the commands of the README
    "spectrograms": "extract my-sounds --n-mels 8 --clip-below-db -60",
    "model": "train time spectrograms --num-units 4 --num-epochs 1",
    "embeddings": "embed my-sounds --model model --readouts pooled",
}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """A folder with the recordings of the README: my-sounds/CLASS/*, and field/*.wav."""
    folder = tmp_path_factory.mktemp("sounds")
    write_demo_corpus(folder / "demo", clips_per_class=5)
    for path in sorted((folder / "demo").glob("fold_*/*/*")):
        place = folder / "my-sounds" / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        path.rename(place / path.name)
    shutil.rmtree(folder / "demo")
    (folder / "field").mkdir()
    rng = np.random.default_rng(0)
    for name in ("dawn", "noon", "dusk"):
        noise = rng.uniform(-0.5, 0.5, 60 * 4000).astype(np.float32)
        soundfile.write(folder / "field" / f"{name}.wav", noise, 4000)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder for what `MADE` makes, filled by the first page that needs it."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def folder(tmp_path, monkeypatch, sounds) -> Path:
    shutil.copytree(sounds, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs(page: Path) -> bool:
    return any(block.reason is None and block.language not in PLAIN for block in blocks_of(page))


@pytest.mark.parametrize("page", list(filter(runs, PAGES)), ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_one_after_the_other(page, folder, made, cli):
    text = "\n".join(block.text for block in blocks_of(page) if block.reason is None)
    own = {name for name in MADE if name not in re.split(rf"--output {name}\s", text)[0].split()}
    if any(re.search(rf"\b{name}\b", text) for name in MADE.keys() - own):
        if not list(made.iterdir()):
            for name, command in MADE.items():
                code, _, err = cli(*command.split(), "--output", name)
                assert code == 0, err
                shutil.copytree(name, made / name)
        for name in MADE:
            shutil.rmtree(name, ignore_errors=True)
            if name not in own:
                shutil.copytree(made / name, name)
    names: dict = {"__name__": page.stem}
    for block in blocks_of(page):
        if block.reason is None:
            try:
                run_block(block, names, cli)
            except Exception as error:
                error.add_note(f"{page.relative_to(ROOT)}, line {block.line}")
                raise


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page):
    blocks = blocks_of(page)
    assert 2 * len(blocks) == page.read_text("utf-8").count("```")
    assert {block.language for block in blocks} <= {"bash", "python", "toml", *PLAIN}


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 150
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert len(links) > 15
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_messages_that_a_page_explains_are_those_of_the_code():
    code = "".join(path.read_text("utf-8") for path in (ROOT / "raudeep").rglob("*.py"))
    code = re.sub(r'"\s+f?"', "", code)  # a message over several lines
    rows = re.findall(r"(?m)^\| `([^`]+)`", (ROOT / "docs" / "errors.md").read_text("utf-8"))
    parts = [part.strip(" .'`") for row in rows for part in re.split(r"…|\d+|\w+=|`", row)]
    assert len(rows) > 8
    foreign = {"raudeep: command not found", "No available agent"}  # of the shell, of Ray
    assert [
        part for part in parts if " " in part and part not in code and part not in foreign
    ] == []


def flags_of(command):
    names = [name for argument in command.assemble_argument_collection() for name in argument.names]
    return {name for name in names if name.startswith("--")}


def test_the_flags_that_pages_name_exist():
    known = {words: flags_of(command) for command, words in leaves(app)}
    of_all = flags_of(app.meta) | {"--help", "--version"}
    missing = []
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        if page.stem == "audeep":  # the left column is auDeep's
            text = "\n".join(re.findall(r"(?m)^\|.*\| (.*) \|$", text))
        elif page.stem in ("decisions", "experiments"):
            continue  # of the day on which they were written
        for code in re.findall(r"`([^`\n]+)`", text):
            if code.split()[0] in ("pip", "ray", "python", "docker", "git", "twine", "make"):
                continue
            flags = set(re.findall(r"(?<!\S)--[a-z][\w.-]*", code))
            words = [word for word in code.split() if not word.startswith("-")]
            named = [key for key in known if ["raudeep", *key] == words[: 1 + len(key)]]
            allowed = of_all.union(*(known[key] for key in named or known))
            missing += [(page.name, code, flag) for flag in flags - allowed]
    assert missing == []
