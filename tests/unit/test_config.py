"""The configuration dataclasses: every range, and what TOML values become."""

import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from raudeep.config import (
    AutoencoderConfig,
    CnnConfig,
    EvaluationConfig,
    MlpConfig,
    ResourceConfig,
    SpectrogramConfig,
    SvmConfig,
    TrainingConfig,
    TuneConfig,
    build,
    fingerprint,
    reject_unknown,
)
from raudeep.errors import ConfigError

CONFIGS = [
    AutoencoderConfig,
    EvaluationConfig,
    MlpConfig,
    ResourceConfig,
    SpectrogramConfig,
    TrainingConfig,
]

OUT_OF_RANGE = [
    (SpectrogramConfig, {"window_seconds": 0.0}, "greater than 0"),
    (SpectrogramConfig, {"window_seconds": float("nan")}, "finite"),
    (SpectrogramConfig, {"clip_below_db": float("-inf")}, "finite"),
    (SpectrogramConfig, {"overlap_seconds": -0.01}, r"in the range \[0, window_seconds=0.04\)"),
    (SpectrogramConfig, {"overlap_seconds": 0.04}, r"in the range \[0, window_seconds=0.04\)"),
    (SpectrogramConfig, {"n_mels": 0}, "at least 1 or None"),
    (SpectrogramConfig, {"pre_emphasis": 0.0}, r"in the range \(0, 1\] or None"),
    (SpectrogramConfig, {"pre_emphasis": 1.01}, r"in the range \(0, 1\] or None"),
    (SpectrogramConfig, {"fixed_seconds": 0.0}, "greater than 0 or None"),
    (SpectrogramConfig, {"fixed_seconds": 0.03}, "at least window_seconds = 0.04"),
    (SpectrogramConfig, {"chunk_seconds": -1.0}, "greater than 0 or None"),
    (SpectrogramConfig, {"chunk_seconds": 0.01}, "at least window_seconds - overlap_seconds"),
    (SpectrogramConfig, {"chunk_count": 0}, "greater than 0 or None"),
    (SpectrogramConfig, {"sample_rate": 0}, "greater than 0 or None"),
    (SpectrogramConfig, {"sample_rate": 49}, "high enough for windows of 0.04 s with an overlap"),
    (SpectrogramConfig, {"clip_below_db": 0.0}, "less than 0 or None"),
    (SpectrogramConfig, {"clip_above_db": 1.0}, "at most 0 and above clip_below_db"),
    (AutoencoderConfig, {"num_layers": 0}, "at least 1"),
    (AutoencoderConfig, {"num_units": 0}, "at least 1"),
    (AutoencoderConfig, {"dropout": 1.0}, r"in the range \[0, 1\)"),
    (AutoencoderConfig, {"dropout": -0.1}, r"in the range \[0, 1\)"),
    (AutoencoderConfig, {"encoder_noise": 1.1}, r"in the range \[0, 1\]"),
    (AutoencoderConfig, {"feed_previous_prob": -0.1}, r"in the range \[0, 1\]"),
    (TrainingConfig, {"num_epochs": 0}, "at least 1"),
    (TrainingConfig, {"batch_size": 0}, "at least 1"),
    (TrainingConfig, {"learning_rate": 0.0}, "greater than 0"),
    (TrainingConfig, {"learning_rate": float("inf")}, "finite"),
    (TrainingConfig, {"seed": -1}, "at least 0"),
    (TrainingConfig, {"gradient_clip": 0.0}, r"in \(0, inf\) or None"),
    (TrainingConfig, {"validation_fraction": 0.0}, r"in \(0, 1.0\) or None"),
    (TrainingConfig, {"validation_fraction": 1.0}, r"in \(0, 1.0\) or None"),
    (TrainingConfig, {"in_memory_gb": -1.0}, "at least 0"),
    (TrainingConfig, {"shuffle_buffer_gb": 0.0}, "greater than 0"),
    (ResourceConfig, {"num_workers": 0}, "at least 1"),
    (ResourceConfig, {"min_workers": 0}, r"in the range \[1, num_workers=1\] or None"),
    (ResourceConfig, {"cpus_per_worker": 0}, "greater than 0 or None"),
    (ResourceConfig, {"gpus_per_worker": 0.0}, "greater than 0 or None"),
    (ResourceConfig, {"gpus_per_worker": 1.5}, "a share of one GPU or a whole number"),
    (ResourceConfig, {"max_concurrent_runs": 0}, "greater than 0 or None"),
    (MlpConfig, {"num_layers": 0}, "at least 1"),
    (MlpConfig, {"num_units": 0}, "at least 1"),
    (MlpConfig, {"num_epochs": 0}, "at least 1"),
    (MlpConfig, {"learning_rate": -1.0}, "greater than 0"),
    (MlpConfig, {"dropout": 1.0}, r"in the range \[0, 1\)"),
    (SvmConfig, {"complexity": 0.0}, r"in the range \[1e-12, 1e\+06\]"),
    (SvmConfig, {"complexity": 1e-300}, r"in the range \[1e-12, 1e\+06\]"),
    (SvmConfig, {"complexity": 1e300}, r"in the range \[1e-12, 1e\+06\]"),
    (TuneConfig, {"complexity": 1e300}, r"in the range \[1e-12, 1e\+06\]"),
    (EvaluationConfig, {"repeats": 0}, r"in the range \[1, 32768\]"),
    (EvaluationConfig, {"repeats": 32769}, r"in the range \[1, 32768\]"),
    (EvaluationConfig, {"num_folds": 1}, r"in the range \[2, 32768\] or None"),
    (EvaluationConfig, {"num_folds": 32769}, r"in the range \[2, 32768\] or None"),
    (EvaluationConfig, {"seed": -1}, "at least 0"),
]


@pytest.mark.parametrize(
    ("cls", "given", "rule"), OUT_OF_RANGE, ids=lambda value: str(getattr(value, "__name__", value))
)
def test_value_out_of_range_names_parameter_rule_and_value(cls, given, rule):
    ((name, value),) = given.items()
    got = re.escape(f"Got {value!r}.")
    # chunk_seconds and chunk_count go together: give the other one too
    partner = {"chunk_seconds": {"chunk_count": 2}, "chunk_count": {"chunk_seconds": 2.0}}
    with pytest.raises(
        ConfigError,
        match=rf"The '{name}' parameter of {cls.__name__} must be .*{rule}.*{got}",
    ):
        cls(**given, **partner.get(name, {}))


def test_a_fold_is_fit_as_often_as_asked_or_as_its_classifier_needs():
    for classifier, repeats in ((MlpConfig(), 5), (SvmConfig(), 1), (CnnConfig(), 1)):
        assert EvaluationConfig().repeats_of(classifier) == repeats
        assert EvaluationConfig(repeats=3).repeats_of(classifier) == 3


def test_a_rate_at_which_windows_do_not_move_is_refused():
    SpectrogramConfig(sample_rate=100, overlap_seconds=0.03)
    with pytest.raises(ConfigError, match=r"'sample_rate'.*high enough.*overlap of 0\.035 s"):
        SpectrogramConfig(sample_rate=50, overlap_seconds=0.035, window_seconds=0.039)


@pytest.mark.parametrize("cls", CONFIGS)
def test_defaults_are_in_range_and_frozen(cls):
    config = cls()
    name = dataclasses.fields(config)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, name, None)


@pytest.mark.parametrize(
    ("cls", "given"),
    [
        (SpectrogramConfig, {"overlap_seconds": 0.0, "pre_emphasis": 1.0, "clip_above_db": 0.0}),
        (SpectrogramConfig, {"pre_emphasis": None, "n_mels": 1}),
        (SpectrogramConfig, {"clip_below_db": -30.0, "clip_above_db": -29.0}),
        (AutoencoderConfig, {"dropout": 0.0, "encoder_noise": 1.0, "feed_previous_prob": 1.0}),
        (TrainingConfig, {"gradient_clip": None, "validation_fraction": 0.5}),
        (SpectrogramConfig, {"chunk_seconds": 0.02, "overlap_seconds": 0.02, "chunk_count": 1}),
        (TrainingConfig, {"seed": 0}),
        (ResourceConfig, {"gpus_per_worker": 0.5}),
        (ResourceConfig, {"gpus_per_worker": 1.0}),
        (ResourceConfig, {"gpus_per_worker": 2.0}),
        (SvmConfig, {"complexity": 1e-12}),
        (SvmConfig, {"complexity": 1e6}),
        (EvaluationConfig, {"num_folds": 2, "repeats": 32768}),
        (EvaluationConfig, {"train_partitions": ("train",), "eval_partitions": ("test",)}),
    ],
)
def test_values_at_the_ends_of_their_ranges_are_taken(cls, given):
    config = cls(**given)
    assert {name: getattr(config, name) for name in given} == given


def test_ceiling_at_or_below_the_floor_is_refused():
    with pytest.raises(ConfigError, match=r"'clip_above_db'.* above clip_below_db.*Got -30.0"):
        SpectrogramConfig(clip_below_db=-30.0, clip_above_db=-30.0)


@pytest.mark.parametrize("given", [{"chunk_seconds": 2.0}, {"chunk_count": 3}])
def test_chunk_length_and_count_go_together(given):
    with pytest.raises(ConfigError, match=r"'chunk_seconds' and 'chunk_count'.*go together.*Got"):
        SpectrogramConfig(**given)


def test_bidirectional_decoder_has_no_previous_output_to_feed():
    with pytest.raises(ConfigError, match=r"'feed_previous_prob'.*0 with a bidirectional decoder"):
        AutoencoderConfig(bidirectional_decoder=True, feed_previous_prob=0.1)


@pytest.mark.parametrize("name", ["train_partitions", "eval_partitions"])
def test_partitions_to_train_on_and_to_score_go_together(name):
    with pytest.raises(ConfigError, match=r"'train_partitions' and 'eval_partitions'.*go together"):
        EvaluationConfig(**{name: ("train",)})


def test_folds_and_partitions_exclude_each_other():
    with pytest.raises(ConfigError, match=r"'num_folds' or partitions, not both.*num_folds=5"):
        EvaluationConfig(num_folds=5, train_partitions=("train",), eval_partitions=("test",))


# --- values from TOML


def test_unknown_key_names_the_nearest_and_the_place():
    with pytest.raises(
        ConfigError,
        match=r"own.toml: \[spectrogram\]: unknown key 'window_second'. Did you mean 'window_sec",
    ):
        build(SpectrogramConfig, {"window_second": 0.1}, where="own.toml: [spectrogram]")


def test_unknown_key_that_is_like_no_other_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"here: unknown key 'zzz'. Known keys: one, two\."):
        reject_unknown(["one", "zzz"], ["one", "two"], where="here")


def test_range_errors_of_toml_values_name_the_place():
    with pytest.raises(ConfigError, match=r"own.toml: The 'n_mels' parameter .*Got 0"):
        build(SpectrogramConfig, {"n_mels": 0}, where="own.toml")


def test_whole_numbers_widen_to_floats():
    config = build(SpectrogramConfig, {"window_seconds": 1, "clip_below_db": -30}, where="x")
    assert config == SpectrogramConfig(window_seconds=1.0, clip_below_db=-30.0)
    assert type(config.window_seconds) is float
    assert type(config.clip_below_db) is float


def test_lists_become_tuples():
    given = {"train_partitions": ["train", "devel"], "eval_partitions": ["test"]}
    config = build(EvaluationConfig, given, where="x")
    assert config.train_partitions == ("train", "devel")


@pytest.mark.parametrize(
    ("cls", "given", "expected"),
    [
        (SpectrogramConfig, {"window_seconds": "0.1"}, "float"),
        (SpectrogramConfig, {"n_mels": 12.5}, "int"),
        (SpectrogramConfig, {"n_mels": True}, "int"),
        (SpectrogramConfig, {"center": 1}, "bool"),
        (SpectrogramConfig, {"window_seconds": True}, "float"),
        (TrainingConfig, {"num_epochs": "10"}, "int"),
        (EvaluationConfig, {"repeats": 2.0}, "int"),
        (EvaluationConfig, {"repeats": np.float64(2)}, "int"),
        (EvaluationConfig, {"majority_vote": np.int64(1)}, "bool"),
        (EvaluationConfig, {"train_partitions": "train"}, "tuple of str"),
        (EvaluationConfig, {"train_partitions": [1]}, "tuple of str"),
        (EvaluationConfig, {"folds": (0, 1.0)}, "tuple of int"),
        (AutoencoderConfig, {"num_units": [1]}, "int"),
    ],
)
def test_value_of_the_wrong_type_names_the_right_one(cls, given, expected):
    ((name, _),) = given.items()
    with pytest.raises(ConfigError, match=rf"x: The '{name}' .*must be {expected}.*Got "):
        build(cls, given, where="x")
    with pytest.raises(ConfigError, match=rf"^The '{name}' .*must be {expected}.*Got "):
        cls(**given)


@pytest.mark.parametrize(
    ("cls", "name", "value", "choices"),
    [
        (SpectrogramConfig, "mel", "htk", "'audeep', 'exact'"),
        (SpectrogramConfig, "channels", "middle", "'mean', 'left', 'right', 'difference'"),
        (AutoencoderConfig, "cell", "GRU", "'gru', 'lstm'"),
        (AutoencoderConfig, "initialisation", "xavier", "'glorot', 'spread', 'pytorch'"),
        (AutoencoderConfig, "dropout_placement", "none", "'all', 'between'"),
        (TrainingConfig, "precision", "float16", "'auto', 'bfloat16', 'float32'"),
    ],
)
def test_unknown_choice_lists_the_choices(cls, name, value, choices):
    with pytest.raises(
        ConfigError, match=rf"The '{name}' .*must be one of {choices}. Got '{value}'"
    ):
        build(cls, {name: value}, where="x")
    with pytest.raises(
        ConfigError, match=rf"^The '{name}' .*must be one of {choices}. Got '{value}'"
    ):
        cls(**{name: value})


@pytest.mark.parametrize("cls", CONFIGS)
def test_what_a_configuration_holds_builds_it_again(cls):
    assert build(cls, dataclasses.asdict(cls()), where="x") == cls()


# --- fingerprints


def test_fingerprint_changes_with_every_field():
    config = AutoencoderConfig()
    changed = {
        "cell": "lstm",
        "num_layers": 2,
        "num_units": 17,
        "bidirectional_encoder": True,
        "bidirectional_decoder": True,
        "dropout": 0.3,
        "dropout_placement": "between",
        "initialisation": "pytorch",
        "encoder_noise": 0.1,
        "feed_previous_prob": 0.1,
        "teacher": "audeep",
        "mask_silence": True,
    }
    assert set(changed) == {field.name for field in dataclasses.fields(config)}
    seen = {fingerprint(dataclasses.replace(config, **{k: v})) for k, v in changed.items()}
    assert len(seen | {fingerprint(config)}) == len(changed) + 1


def test_whole_number_and_float_of_the_same_value_have_one_fingerprint():
    whole, real = SpectrogramConfig(fixed_seconds=5), SpectrogramConfig(fixed_seconds=5.0)
    assert whole == real
    assert type(whole.fixed_seconds) is float
    assert type(whole.n_mels) is type(real.n_mels)
    assert fingerprint(whole) == fingerprint(real)
    assert fingerprint(dataclasses.asdict(whole)) == fingerprint(dataclasses.asdict(real))
    assert type(SpectrogramConfig(n_mels=40).n_mels) is int


@pytest.mark.parametrize(
    ("cls", "given", "plain"),
    [
        (EvaluationConfig, {"repeats": np.int64(2)}, 2),
        (EvaluationConfig, {"num_folds": np.uint8(5)}, 5),
        (EvaluationConfig, {"majority_vote": np.bool_(True)}, True),
        (EvaluationConfig, {"folds": [np.int64(0), 2]}, (0, 2)),
        (SvmConfig, {"complexity": np.float32(0.25)}, 0.25),
        (SvmConfig, {"complexity": np.int64(1)}, 1.0),
        (MlpConfig, {"variant": np.str_("audeep")}, "audeep"),
    ],
)
def test_values_of_numpy_are_those_of_python(cls, given, plain):
    ((name, _),) = given.items()
    config, expected = cls(**given), cls(**{name: plain})
    assert config == expected
    assert type(getattr(config, name)) is type(plain)
    assert fingerprint(config) == fingerprint(expected)


def test_fingerprint_is_sixteen_digits_and_blind_to_the_order_of_keys():
    assert len(fingerprint()) == 16
    assert int(fingerprint("x"), 16) >= 0
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint("a", "b") != fingerprint("b", "a")


def test_fingerprint_is_the_same_in_every_process():
    code = (
        "from raudeep.config import *; "
        "print(fingerprint('stage', SpectrogramConfig(n_mels=128), {'b': [1, 2.5], 'a': None}))"
    )
    expected = fingerprint("stage", SpectrogramConfig(n_mels=128), {"a": None, "b": [1, 2.5]})
    for seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == expected


def test_object_without_a_fingerprint_is_refused():
    with pytest.raises(TypeError, match="object has no place in a fingerprint"):
        fingerprint(object())
