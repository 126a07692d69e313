"""Search spaces: what a file may say, what is drawn from it, and every way it can be wrong."""

import json
import math

import numpy as np
import pytest

from raudeep.config import TuneConfig
from raudeep.errors import ConfigError
from raudeep.storage.recipes import load_recipe, load_space
from raudeep.sweep.candidates import base_of, candidate_of
from raudeep.sweep.domain import Domain
from raudeep.sweep.samplers import GridSampler, RandomSampler, TpeSampler, make_sampler

CONDITIONAL = """
[search]
autoencoder.num_units = [
    {choices = [128, 256], when = {autoencoder.num_layers = [1]}},
    {choices = [64], when = {autoencoder.num_layers = [2]}},
]
autoencoder.num_layers = {choices = [1, 2, 3]}
training.learning_rate = {low = 1e-4, high = 1e-2, log = true}
"""


@pytest.fixture
def load(tmp_path):
    def load_text(text, **overrides):
        path = tmp_path / "space.toml"
        path.write_text(text, "utf-8")
        return load_space(path, overrides=overrides)

    return load_text


# --- what is drawn


def test_values_of_a_field_depend_on_another_and_the_recipe_says_the_rest(load):
    space, _ = load(CONDITIONAL)
    base = base_of(load_recipe("esc-10"), None, TuneConfig())
    sampler = RandomSampler(space, seed=0)
    seen = set()
    for _ in range(200):
        point = sampler.ask()
        candidate = candidate_of(base, point)
        seen.add((candidate.model.num_layers, candidate.model.num_units))
        assert 1e-4 <= candidate.training.learning_rate <= 1e-2
        assert candidate.spectrogram == base.spectrogram
    assert seen == {(1, 128), (1, 256), (2, 64), (3, 256)}


def test_a_grid_has_every_point_once_in_an_order_of_its_seed(load):
    space, _ = load(CONDITIONAL.replace("log = true}", "log = true, steps = 3}"))
    points = [json.dumps(point, sort_keys=True) for point in space.grid()]
    assert len(points) == len(set(points)) == (2 + 1 + 1) * 3
    rates = {point["training.learning_rate"] for point in space.grid()}
    assert sorted(rates) == pytest.approx([1e-4, 1e-3, 1e-2])
    assert {1e-4, 1e-2} < rates  # the ends are exact
    sampler = GridSampler(space, seed=1)
    asked = [json.dumps(point, sort_keys=True) for point in iter(sampler.ask, None)]
    assert sorted(asked) == sorted(points)
    assert asked != points


def test_random_draws_are_those_of_the_seed(load):
    space, _ = load(CONDITIONAL)
    first, again, other = (RandomSampler(space, seed=seed) for seed in (0, 0, 1))
    drawn = [[sampler.ask() for _ in range(5)] for sampler in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (Domain(choices=("a", "b")), {"a", "b"}),
        (Domain(low=1, high=3, integer=True), {1, 2, 3}),
        (Domain(low=1, high=4, log=True, integer=True), {1, 2, 3, 4}),
        (Domain(low=8, high=32, log=True, steps=3, integer=True), {8, 16, 32}),
        (Domain(low=-75.0, high=-30.0, steps=4), {-75.0, -60.0, -45.0, -30.0}),
        (Domain(low=0.1, high=0.5, steps=5), {0.1, 0.2, 0.3, 0.4, 0.5}),
    ],
)
def test_every_value_of_a_domain_is_drawn(domain, expected):
    drawn = {domain.at(share) for share in np.linspace(0, 1, 500, endpoint=False)}
    assert drawn == expected
    assert {type(value) for value in drawn} == {type(value) for value in expected}


def test_a_long_range_of_integers_needs_no_memory():
    assert Domain(low=0, high=2**40, integer=True).at(0.5) == 2**39


def test_a_log_range_is_even_in_logarithms():
    values = [Domain(low=1e-4, high=1e-2, log=True).at(share) for share in (0.0, 0.25, 0.5)]
    assert values == pytest.approx([1e-4, 10**-3.5, 1e-3])


# --- what TPE makes of it


def test_tpe_finds_what_pays_and_takes_what_others_found(load):
    space, _ = load(CONDITIONAL)

    def worth(point):
        return (
            -abs(math.log10(point["training.learning_rate"]) + 2) - point["autoencoder.num_layers"]
        )

    sampler = TpeSampler(space, seed=0, maximises=True, num_startup=4)
    others = RandomSampler(space, seed=1)
    for _ in range(20):
        point = others.ask()
        sampler.tell(point, worth(point))
    asked = []
    for _ in range(30):
        point = sampler.ask()
        sampler.tell(point, worth(point))
        asked.append(worth(point))
    drawn = [worth(others.ask()) for _ in range(200)]
    assert np.mean(asked[10:]) > np.mean(drawn) + 0.5


def test_tpe_goes_on_after_points_that_came_to_nothing(load):
    space, _ = load(CONDITIONAL)
    sampler = TpeSampler(space, seed=0, maximises=False)
    for _ in range(12):
        point = sampler.ask()
        sampler.tell(point, None)
        sampler.tell(point, None)  # and after one that it does not know
    assert sampler.ask()


def test_tpe_learns_steps_integers_and_choices_that_were_found_elsewhere(load):
    space, _ = load(
        "[search]\n"
        "spectrogram.clip_below_db = {low = -75, high = -30, steps = 4}\n"
        "spectrogram.n_mels = {low = 16, high = 128, log = true}\n"
        'autoencoder.cell = {choices = ["gru", "lstm"]}\n'
    )
    sampler = TpeSampler(space, seed=0, maximises=True, num_startup=2)
    for number in range(4):
        sampler.tell(RandomSampler(space, seed=number).ask(), number / 4)
    point = sampler.ask()
    assert point["spectrogram.clip_below_db"] in (-75.0, -60.0, -45.0, -30.0)
    assert type(point["spectrogram.n_mels"]) is int


def test_a_sweep_that_goes_on_draws_other_points(load):
    space, tune = load(CONDITIONAL)
    first = make_sampler(space, tune, num_known=0).ask()
    assert first == make_sampler(space, tune, num_known=0).ask()
    assert first != make_sampler(space, tune, num_known=3).ask()


# --- the file


def test_settings_come_from_the_file_and_flags_win(load):
    text = CONDITIONAL + '[tune]\nsearcher = "random"\nnum_trials = 8\nreserved_folds = [3, 4]\n'
    _, tune = load(text, num_trials=3)
    assert tune == TuneConfig(searcher="random", num_trials=3, reserved_folds=(3, 4))


def test_fields_may_be_written_as_tables_or_quoted(load):
    dotted, _ = load("[search]\ntraining.batch_size = {choices = [8]}\n")
    table, _ = load("[search.training]\nbatch_size = {choices = [8]}\n")
    quoted, _ = load('[search]\n"training.batch_size" = {choices = [8]}\n')
    assert dotted == table == quoted


def test_whole_numbers_of_a_float_field_are_floats(load):
    space, _ = load("[search]\nspectrogram.clip_below_db = {choices = [-30, -30.0, -60]}\n")
    assert space.parameters[0].alternatives[0].domain.choices == (-30.0, -60.0)


def test_fields_of_other_kinds_of_autoencoders_are_searched_on_a_condition(load):
    text = """
        [search]
        autoencoder.kind = {choices = ["time", "frequency-time"]}
        autoencoder.window_bands = {choices = [8], when = {autoencoder.kind = ["frequency-time"]}}
        autoencoder.overlap_bands = {choices = [4]}
    """
    space, _ = load(text)
    base = base_of(load_recipe("demo"), "60db", TuneConfig())
    joint, time = space.grid(), None
    found = {}
    for point in joint:
        try:
            found[point["autoencoder.kind"]] = candidate_of(base, point)
        except ConfigError as error:
            time = str(error)
    assert found["frequency-time"].model.window_bands == 8
    assert found["frequency-time"].model.num_units == base.model.num_units
    assert "an autoencoder of kind 'time' has no 'overlap_bands'" in time


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("training.learning_rat = {choices = [1]}", "unknown key 'learning_rat'. Did you mean 'le"),
        ("mlp.num_units = {choices = [1]}", "unknown key 'mlp'"),
        ("training = 3", "'training' must be a table of fields. Got 3"),
        ("training.batch_size = 3", "'training.batch_size' must be a table with 'choices'"),
        ("training.batch_size = []", "'training.batch_size' must be a table with 'choices'"),
        ("training.batch_size = {choice = [1]}", "unknown key 'choice'. Did you mean 'choices'"),
        ("training.batch_size = {choices = []}", "'choices' must be a list of values. Got"),
        ("training.batch_size = {choices = [8.5]}", "must be int. Got 8.5"),
        ("training.batch_size = {low = 1}", "takes either 'choices', or 'low' and 'high'"),
        ("training.batch_size = {choices = [1], low = 1, high = 2}", "takes either 'choices', or"),
        ("training.batch_size = {low = 4, high = 4}", "'low' must be less than 'high'. Got 4 and"),
        ("training.learning_rate = {low = 0, high = 1, log = true}", "'low' greater than 0"),
        ("training.learning_rate = {low = 0.1, high = inf}", "must be finite"),
        ("training.learning_rate = {low = 0.1, high = 1, steps = 1}", "'steps' must be at least 2"),
        ("autoencoder.cell = {low = 1, high = 2}", "is not a number: give 'choices'"),
        (
            'autoencoder.kind = {choices = ["space"]}',
            "the kind of an autoencoder is one of 'time', 'frequency'",
        ),
        (
            'autoencoder.kind = {choices = [["time"]]}',
            "the kind of an autoencoder is one of 'time', 'frequency'",
        ),
        (f"training.batch_size = {{low = 1, high = {10**20}}}", "must be below 2**63 - 1"),
        (f"training.batch_size = {{low = 1, high = {10**400}}}", "must be below 2**63 - 1"),
        (
            "training.batch_size = {choices = [8], when = {training.num_epochs = [1]}}",
            "searched when 'training.num_epochs' has some value, but that is not searched",
        ),
        (
            "training.batch_size = {choices = [1], when = {training.num_epochs = [1]}}\n"
            "training.num_epochs = {choices = [1], when = {training.batch_size = [1]}}",
            "wait for each other",
        ),
        (
            "training.batch_size = {choices = [8], when = {training.num_epochs = [3, 4]}}\n"
            "training.num_epochs = {choices = [1, 2]}",
            "is searched when 'training.num_epochs' is 3 or 4, which is none of its values",
        ),
        (
            "training.batch_size = {choices = [8], when = {training.learning_rate = [1.0]}}\n"
            "training.learning_rate = {low = 0.1, high = 0.5}",
            "is searched when 'training.learning_rate' is 1.0, which is none of its values",
        ),
        (
            "training.batch_size = [{choices = [8]}, {choices = [16]}]",
            "alternative 1 has no 'when', so that none after it is ever taken. Put it last.",
        ),
        ("", "searches nothing. Add a field"),
    ],
)
def test_what_is_wrong_with_a_space_is_said_in_one_line(load, line, said):
    with pytest.raises(ConfigError) as error:
        load(f"[search]\n{line}\n")
    assert said in str(error.value)
    assert "space.toml: [search]" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[searches]", "unknown key 'searches'. Did you mean 'search'"),
        ("search = 3", "'search' must be a table"),
        ("[tune]\nnum_trial = 3", r"unknown key 'num_trial'. Did you mean 'num_trials'"),
        ('[tune]\nsearcher = "best"', "'searcher' parameter of TuneConfig must be one of 'tpe'"),
        (
            "[tune]\nreserved_folds = [0.5]",
            "'reserved_folds' parameter of TuneConfig must be tuple",
        ),
        ("[tune]\nreserved_folds = [-1]", "folds from 0, each once"),
        ("[tune]\nreserved_folds = [1]\nscored_folds = [1]", "must be none of reserved_folds"),
        ("[search", "not valid TOML"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(load, text, said):
    with pytest.raises(ConfigError) as error:
        load(text)
    assert said in str(error.value)


def test_a_missing_file_is_said():
    with pytest.raises(ConfigError, match=r"no search space at nowhere\.toml"):
        load_space("nowhere.toml")


def test_a_grid_without_an_end_is_refused(load):
    space, tune = load(CONDITIONAL, searcher="grid")
    with pytest.raises(ConfigError, match=r"'training\.learning_rate' is a range without"):
        make_sampler(space, tune, num_known=0)
    wide, _ = load(
        "[search]\ntraining.batch_size = {low = 1, high = 1000}\n"
        "training.num_epochs = {low = 1, high = 1000}\n"
    )
    with pytest.raises(ConfigError, match="more than 100000 points"):
        GridSampler(wide, seed=0)


# --- the settings


@pytest.mark.parametrize(
    ("settings", "num_epochs", "rungs"),
    [
        ({"grace_epochs": 2, "reduction_factor": 2}, 12, (2, 4, 8)),
        ({"grace_epochs": 2, "reduction_factor": 2}, 8, (2, 4)),
        ({"grace_epochs": 4, "reduction_factor": 3}, 4, ()),
        ({"scheduler": "none"}, 64, ()),
    ],
)
def test_trials_are_compared_before_their_last_epoch(settings, num_epochs, rungs):
    assert TuneConfig(**settings).rungs(num_epochs) == rungs
