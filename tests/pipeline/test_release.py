"""What a release holds: wheel and sdist are built, checked, installed alone, and run.

Slow: the empty environment gets all dependencies. `make release-check` runs it.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from raudeep.corpora.demo import write_demo_corpus

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def run(*command, folder):
    """Run a command in a folder, without what the environment of the tests adds; return stdout."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist and the wheel that is made of it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, folder=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The command of the wheel in an environment that held nothing."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=True)
    (wheel,) = built.glob("*.whl")
    run(place / "bin" / "pip", "install", "--quiet", wheel, folder=place)
    return place / "bin" / "raudeep"


def test_wheel_and_sdist_are_named_by_the_version_and_pass_twine(built):
    names = {f"raudeep-{VERSION}-py3-none-any.whl", f"raudeep-{VERSION}.tar.gz"}
    assert {path.name for path in built.iterdir()} == names
    run(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), folder=built)


def test_the_wheel_holds_all_files_of_the_package(built):
    (wheel,) = built.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("raudeep/")}
    listed = run("git", "ls-files", "raudeep", folder=ROOT).split()
    assert held == set(listed)


def test_the_version_stands_in_one_place_and_heads_the_changelog():
    assert re.findall(r"(?m)^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text("utf-8"))[0] == VERSION
    texts = [path.read_text("utf-8") for path in (ROOT / "raudeep").rglob("*.py")]
    assert [text for text in texts if f'"{VERSION}"' in text] == []


def test_the_installed_command_embeds_and_runs_the_demo_from_an_empty_folder(installed, tmp_path):
    assert run(installed, "--version", folder=tmp_path).startswith(f"raudeep {VERSION},")
    assert "From sound to vectors" in run(installed, "--help", folder=tmp_path)
    write_demo_corpus(tmp_path / "sounds", clips_per_class=5)
    for command in (
        "extract sounds --output spectrograms --n-mels 16",
        "train time spectrograms --output model --num-epochs 1",
        "embed sounds/fold_1/hum/hum-000.wav --model model --output embeddings",
        "export csv embeddings --output embeddings.csv",
    ):
        run(installed, *command.split(), folder=tmp_path)
    header, *rows = (tmp_path / "embeddings.csv").read_text("utf-8").splitlines()
    assert header.count("feature_") == 16
    assert len(rows) == 1

    (tmp_path / "empty").mkdir()
    command = [installed, "benchmark", "demo", "--output", "demo", "--json"]
    done = run(*command, folder=tmp_path / "empty")
    scores = json.loads(done)["scores"]
    assert max(row["accuracy"] for row in scores if row["embedding"] == "fused") > 0.95
    assert (tmp_path / "empty" / "demo" / "report.html").is_file()
