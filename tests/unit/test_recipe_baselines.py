"""Baselines in recipes."""

import pytest

from raudeep.config import CnnConfig
from raudeep.errors import ConfigError
from raudeep.storage.recipes import load_recipe

TEXT = """
{head}
[views.a]
[autoencoders.a]
[cnn]
num_epochs = 3
[sparse_coding]
num_octaves = 2
"""


def recipe(tmp_path, head, overrides=None):
    path = tmp_path / "r.toml"
    path.write_text(TEXT.format(head=head))
    return load_recipe(path, overrides=overrides)


def test_a_recipe_names_baselines_and_sets_them_up(tmp_path):
    found = recipe(tmp_path, 'baselines = ["cnn", "sparse-coding"]')
    assert found.baselines == ("cnn", "sparse-coding")
    assert found.cnn == CnnConfig(num_epochs=3)
    assert found.sparse_coding.num_octaves == 2
    assert recipe(tmp_path, "").baselines == ()
    assert recipe(tmp_path, "", {"cnn": {"num_units": 7}}).cnn.num_units == 7


@pytest.mark.parametrize("names", ['["magic"]', '["cnn", "cnn"]', "[1]"])
def test_a_baseline_that_there_is_not_or_that_comes_twice_is_refused(tmp_path, names):
    with pytest.raises(ConfigError, match=r"baselines are 'cnn', .* each once"):
        recipe(tmp_path, f"baselines = {names}")


def test_a_mistyped_setting_of_a_baseline_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"\[cnn\].* Did you mean 'num_epochs'"):
        recipe(tmp_path, "", {"cnn": {"num_epoch": 7}})
