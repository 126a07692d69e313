# make benchmark    set up, then run the main job on the demo recipe (RECIPE=, CORPUS=, OUTPUT=)
# make test         set up, then the tests
# make test-fast    the unit tests that need no seconds each: for the loop of one who edits
# make check        lint, types, tests
# make docs         the pages of docs/ as a web site in build/docs; a warning is an error
# make release-check  wheel and sdist: built, checked, installed in an empty environment, run
# make bench        the timings of tests/benchmarks

PYTHON ?= python3
RECIPE ?= demo
OUTPUT ?= build/$(RECIPE)
BIN := .venv/bin

.PHONY: setup benchmark test test-fast lint types check docs release-check bench clean

setup: .venv/.installed

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev,docs,release]"
	touch $@

benchmark: setup
	$(BIN)/python jobs/full_benchmark.py $(RECIPE) --output "$(OUTPUT)" $(if $(CORPUS),--corpus "$(CORPUS)") $(FLAGS)

# Three at a time on two cores: tests of Ray wait half of their time. Files keep the order in which
# tests/conftest.py puts them, the longest first.
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

test: setup
	$(PYTEST) -n 3

test-fast: setup
	$(PYTEST) -n 2 -m "not slow and not gpu and not long" tests/unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check: lint types test

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

release-check: setup
	$(BIN)/python -m pytest -m slow tests/pipeline/test_release.py

bench: setup
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf build .venv
