"""Fixtures of all tests."""

import os
import sys

# Before anything imports torch: on a busy machine, waiting for a second thread makes small
# networks 1000 times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pytest_sessionfinish():
    """Stop Ray before the summary, so that nothing it still says comes after that."""
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
