"""The names that raudeep gives away, and that none of them drifts."""

import ast
import os
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import raudeep

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(raudeep.__path__, "raudeep.")
    if not module.name.endswith("__main__")
)


def test_public_names_are_those_with_a_place():
    assert sorted(raudeep.__all__) == sorted(raudeep._PLACES)


@pytest.mark.parametrize("name", sorted(raudeep._PLACES))
def test_public_name_is_what_its_module_holds(name):
    module = import_module(f"raudeep.{raudeep._PLACES[name]}")
    assert getattr(raudeep, name) is getattr(module, name)
    assert name in module.__all__


def test_type_checkers_see_the_same_names_at_the_same_places():
    tree = ast.parse(Path(raudeep.__file__).read_text("utf-8"))
    seen = {
        alias.name: statement.module.removeprefix("raudeep.")
        for statement in ast.walk(tree)
        if isinstance(statement, ast.ImportFrom) and statement.module.startswith("raudeep.")
        for alias in statement.names
    }
    assert seen == raudeep._PLACES


def test_public_names_are_offered_for_completion():
    assert set(raudeep.__all__) <= set(dir(raudeep))


def test_what_a_command_runs_is_public():
    """Whoever leaves the command line for Python finds the function of each command."""
    run = set()
    for path in (Path(raudeep.__file__).parent / "cli").glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        imported = {
            alias.name
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith(("raudeep.pipeline", "raudeep.report"))
            and node.module not in ("raudeep.report.console", "raudeep.report.plots")
            for alias in node.names
        }
        modules = imported & {"fusing", "inspection", "modifying"}
        run |= imported - modules
        run |= {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
        }
    functions = {name for name in run if name.islower() and not name.startswith("check_")}
    assert {"inspect_folds", "remove_splits", "train_autoencoders"} < functions
    assert functions <= set(raudeep.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'raudeep' has no attribute 'Nothing'"):
        _ = raudeep.Nothing


@pytest.mark.parametrize("name", MODULES)
def test_every_name_that_a_module_announces_exists(name):
    module = import_module(name)
    announced = getattr(module, "__all__", [])
    assert len(set(announced)) == len(announced)
    assert [missing for missing in announced if not hasattr(module, missing)] == []


def test_importing_raudeep_and_asking_for_help_needs_neither_ray_nor_torch():
    code = (
        "import sys, raudeep\n"
        "heavy = {'ray', 'torch', 'torchaudio', 'pandas', 'sklearn', 'matplotlib'}\n"
        "print('imported', sorted(heavy & set(sys.modules)))\n"
        "from raudeep.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "print('helped', sorted({'ray', 'torch', 'torchaudio'} & set(sys.modules)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True
    )
    lines = found.stdout.splitlines()
    assert lines[0] == "imported []"
    assert lines[-1] == "helped []"
    assert "Usage: raudeep" in found.stdout
