"""Configurations of before: fields that came later, and limits, make nothing another thing."""

import dataclasses

import pytest

from raudeep.config import (
    ChunkConfig,
    CnnConfig,
    EvaluationConfig,
    FitConfig,
    MlpConfig,
    SoundNetConfig,
    SparseCodingConfig,
    SpectrogramConfig,
    SvmConfig,
    TrainingConfig,
    settled,
)
from raudeep.config.autoencoder import (
    AutoencoderConfig,
    FrequencyAutoencoderConfig,
    FrequencyTimeAutoencoderConfig,
)
from raudeep.config.history import ADDED, LIMITS
from raudeep.storage.identity import Identity

AXIS = "num_layers num_units bidirectional_encoder bidirectional_decoder"
FED = "encoder_noise feed_previous_prob"
TIME = f"mask_silence cell {AXIS} dropout dropout_placement initialisation {FED} teacher"
WINDOWS = f"{TIME} window_bands overlap_bands"

AT_FIRST = {
    SpectrogramConfig: (
        "spectrograms",
        "window_seconds overlap_seconds n_mels mel channels pre_emphasis fixed_seconds center "
        "clip_below_db clip_above_db chunk_seconds chunk_count normalise sample_rate",
    ),
    AutoencoderConfig: ("autoencoder", TIME),
    FrequencyAutoencoderConfig: ("autoencoder", WINDOWS),
    FrequencyTimeAutoencoderConfig: (
        "autoencoder",
        " ".join([WINDOWS, *(f"frequency_{name}" for name in f"{AXIS} {FED}".split())]),
    ),
    TrainingConfig: (
        "training",
        "num_epochs batch_size learning_rate gradient_clip precision validation_fraction "
        "early_stopping_epochs checkpoints_to_keep seed",
    ),
    MlpConfig: ("mlp", "num_layers num_units num_epochs learning_rate dropout variant"),
    SvmConfig: ("svm", "complexity max_iterations"),
    FitConfig: ("fit", "repeats upsample train_partitions seed"),
    EvaluationConfig: (
        "evaluation",
        "repeats num_folds majority_vote upsample train_partitions eval_partitions seed",
    ),
    ChunkConfig: ("chunks", "chunk_seconds chunk_hop_seconds"),
    CnnConfig: (
        "cnn",
        "segment_frames segment_overlap voting num_delayed num_filters num_units num_epochs "
        "batch_size learning_rate l2 dropout",
    ),
    SparseCodingConfig: (
        "embeddings",
        "lowest_hz num_octaves bands_per_octave patch num_atoms sparsity num_patches num_steps "
        "batch_size window_seconds",
    ),
    SoundNetConfig: ("embeddings", "layer pooling"),
}
"""What configures outputs: the section of it, and the fields of the first version."""


@pytest.mark.parametrize("cls", AT_FIRST, ids=lambda cls: cls.__name__)
def test_a_field_that_is_added_says_what_was_before(cls):
    """Or whatever was made without it is refused as made with another configuration.

    Name a new field in `raudeep.config.history`: in `ADDED` with its value before, which is its
    default, or in `LIMITS` if it does not say what is made.
    """
    section, names = AT_FIRST[cls]
    added, limits = ADDED.get(section, {}), LIMITS.get(section, frozenset())
    fields = {each.name: each for each in dataclasses.fields(cls)}
    assert fields.keys() - set(names.split()) <= added.keys() | limits
    for name in fields.keys() & added.keys():
        default = fields[name].default
        assert (list(default) if isinstance(default, tuple) else default) == added[name]


def test_no_section_is_named_that_nothing_has():
    sections = {section for section, _ in AT_FIRST.values()}
    assert ADDED.keys() | LIMITS.keys() <= sections


def test_a_later_field_with_the_value_of_before_is_no_difference():
    before = {"evaluation": {"seed": 0, "repeats": 5}}
    now = {"evaluation": {"seed": 0, "repeats": 5, "folds": [], "group_pattern": None}}
    assert Identity("predictions", before) == Identity("predictions", now)
    now["evaluation"]["folds"] = [1]
    assert Identity("predictions", before) != Identity("predictions", now)
    said = Identity("predictions", before).conflict(Identity("predictions", now), place="here")
    assert "here was made with another configuration: config.evaluation.folds is None there" in said
    assert "group_pattern" not in said


def test_limits_are_no_difference_and_what_is_made_is_one():
    def identity(**settings):
        return Identity("autoencoder", {"training": dataclasses.asdict(TrainingConfig(**settings))})

    limits = {"in_memory_gb": 0.0, "shuffle_buffer_gb": 0.1, "checkpoints_to_keep": None}
    assert identity(**limits) == identity()
    assert identity(batch_size=8) != identity()


def test_what_is_made_of_several_is_compared_by_each():
    pieces = [{"a": 1}, {"training": {"in_memory_gb": 1.0, "seed": 0}}]
    other = [{"a": 1}, {"training": {"in_memory_gb": 2.0, "seed": 0}}]
    assert settled({"pieces": pieces}) == settled({"pieces": other})
    assert settled({"pieces": pieces[::-1]}) != settled({"pieces": other})


def test_a_fingerprint_is_of_what_was_written_down():
    """Others name it by this: the tables that a model of an earlier version has made."""
    with_limits = Identity("autoencoder", {"training": {"seed": 0, "in_memory_gb": 2.0}})
    without = Identity("autoencoder", {"training": {"seed": 0}})
    assert with_limits == without
    assert with_limits.fingerprint != without.fingerprint


def test_an_input_that_the_plan_speaks_for_is_no_difference():
    assert Identity("frames", {}, {"manifest": "ab"}) == Identity("frames", {})
    assert Identity("embeddings", {}, {"manifest": "ab"}) != Identity("embeddings", {})
