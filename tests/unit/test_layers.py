"""The layers: what may import what, read from the source without running it."""

import ast
from pathlib import Path

import pytest

import raudeep

ROOT = Path(raudeep.__file__).parent

# Packages and modules from the bottom up; those on one line may import each other.
ORDER = [
    {"credentials", "errors", "schema", "foreign", "parquet", "search_path"},
    {"config", "recipe", "recipes"},
    {"sweep"},
    {"manifest", "corpora"},
    {"audio"},
    {"models"},
    {"evaluation"},
    {"storage"},
    {"pipeline"},
    {"report"},
    {"cli", "hear", "sklearn", "__main__"},
]
APART = {"audio", "models", "evaluation", "storage"}
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}


def imports(path):
    """Every module that a file imports, also inside functions."""
    package = ["raudeep", *path.relative_to(ROOT).with_suffix("").parts][:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from raudeep import config` names the module `raudeep.config`
            yield from (f"{base}.{alias.name}" for alias in node.names)


def layer(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


SOURCES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
IDS = [path.relative_to(ROOT).as_posix() for path in SOURCES]


def test_every_module_has_a_layer():
    assert {layer(path) for path in SOURCES} <= set(RANK)


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_module_imports_only_from_its_own_and_earlier_layers(path):
    own = layer(path)
    for name in imports(path):
        if name == "raudeep" or not name.startswith("raudeep."):
            continue
        other = name.split(".")[1]
        assert RANK[other] <= RANK[own], f"{own} imports {name}"
        if own in APART:
            assert other == own or other not in APART, f"{own} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_only_the_pipeline_imports_ray(path):
    if layer(path) != "pipeline":
        assert [name for name in imports(path) if name.split(".")[0] == "ray"] == []


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_only_models_and_the_pipeline_import_torch(path):
    if layer(path) not in ("models", "pipeline", "hear"):
        found = [name for name in imports(path) if name.split(".")[0] in ("torch", "torchaudio")]
        assert found == []


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_threads_that_read_do_not_hold_up_an_interrupted_process(path):
    """As those of `concurrent.futures` do; in a worker of Ray they do not matter."""
    if layer(path) != "models":
        assert "concurrent.futures" not in list(imports(path))


def test_imports_inside_functions_and_of_packages_are_seen():
    names = list(imports(ROOT / "pipeline" / "runtime" / "streaming.py"))
    assert "ray" in names
    assert "raudeep.storage.uri" in list(imports(ROOT / "storage" / "table.py"))
