"""Recipes: what raudeep ships, overrides, and every way a recipe can be wrong."""

import dataclasses
from unittest.mock import Mock

import pytest

import raudeep
from raudeep.config import AutoencoderConfig, SpectrogramConfig
from raudeep.errors import ConfigError
from raudeep.recipe import NamedAutoencoder, Recipe, autoencoder_seed, shipped_recipes
from raudeep.storage import uri as uris
from raudeep.storage.recipes import load_recipe

MINIMAL = "[views.a]\n[autoencoders.a]\n"


@pytest.fixture
def write(tmp_path):
    def write_recipe(text):
        path = tmp_path / "own.toml"
        path.write_text(text, "utf-8")
        return path

    return write_recipe


# --- what is shipped: the published experiments

FLOORS = {"30db": -30.0, "45db": -45.0, "60db": -60.0, "75db": -75.0}


def test_shipped_recipes_are_the_published_experiments_and_the_demo():
    assert shipped_recipes() == ["demo", "esc-10", "esc-50", "gtzan", "tut-as-2017"]


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipe_loads_under_its_own_name(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe.readouts == ("state", "pooled")
    assert [autoencoder.view for autoencoder in recipe.autoencoders.values()] == list(recipe.views)


@pytest.mark.parametrize(
    ("name", "window", "overlap", "mels", "fixed", "center"),
    [
        ("esc-10", 0.08, 0.04, 128, 5.0, True),
        ("esc-50", 0.08, 0.04, 128, 5.0, True),
        ("gtzan", 0.08, 0.04, 320, 31.0, False),
        ("tut-as-2017", 0.16, 0.08, 320, None, False),
    ],
)
def test_published_spectrograms(name, window, overlap, mels, fixed, center):
    for view in load_recipe(name).views.values():
        assert (view.window_seconds, view.overlap_seconds) == (window, overlap)
        assert (view.n_mels, view.mel) == (mels, "audeep")
        assert (view.fixed_seconds, view.center) == (fixed, center)
        assert (view.pre_emphasis, view.normalise, view.sample_rate) == (0.95, True, None)
        assert view.clip_above_db is None


@pytest.mark.parametrize(
    ("name", "floors"),
    [
        ("esc-10", FLOORS),
        ("esc-50", FLOORS),
        ("gtzan", {**FLOORS, "unclipped": -1000.0}),
        ("tut-as-2017", dict.fromkeys(["mean", "difference", "left", "right"])),
    ],
)
def test_published_clipping_floors(name, floors):
    views = load_recipe(name).views
    assert {view: config.clip_below_db for view, config in views.items()} == floors


def test_published_channel_mixes():
    views = load_recipe("tut-as-2017").views
    assert {view: config.channels for view, config in views.items()} == {
        name: name for name in ("mean", "difference", "left", "right")
    }
    for name in ("esc-10", "esc-50", "gtzan"):
        assert {view.channels for view in load_recipe(name).views.values()} == {"mean"}


def test_published_chunks_are_those_of_gtzan_only():
    for name in shipped_recipes():
        chunks = {(v.chunk_seconds, v.chunk_count) for v in load_recipe(name).views.values()}
        assert chunks == ({(2.0, 15)} if name == "gtzan" else {(None, None)})


@pytest.mark.parametrize(
    ("name", "encoder", "decoder", "epochs", "batch"),
    [
        ("esc-10", False, True, 64, 64),
        ("esc-50", True, False, 64, 64),
        ("gtzan", True, False, 40, 512),
        ("tut-as-2017", False, True, 40, 512),
    ],
)
def test_published_autoencoders_and_their_training(name, encoder, decoder, epochs, batch):
    for autoencoder in load_recipe(name).autoencoders.values():
        model, training = autoencoder.model, autoencoder.training
        assert (model.cell, model.num_layers, model.num_units) == ("gru", 2, 256)
        assert (model.bidirectional_encoder, model.bidirectional_decoder) == (encoder, decoder)
        assert (model.dropout, model.encoder_noise, model.feed_previous_prob) == (0.2, 0, 0)
        assert (training.num_epochs, training.batch_size) == (epochs, batch)
        assert (training.learning_rate, training.gradient_clip) == (0.001, 2.0)


@pytest.mark.parametrize(
    ("name", "folds", "vote"),
    [
        ("esc-10", None, False),
        ("esc-50", None, False),
        ("gtzan", 5, True),
        ("tut-as-2017", None, False),
    ],
)
def test_published_evaluation(name, folds, vote):
    recipe = load_recipe(name)
    assert recipe.evaluation.repeats == 5
    assert (recipe.evaluation.num_folds, recipe.evaluation.majority_vote) == (folds, vote)
    mlp = recipe.mlp
    assert (mlp.num_layers, mlp.num_units, mlp.num_epochs) == (2, 150, 400)
    assert (mlp.learning_rate, mlp.dropout) == (0.001, 0.4)


# --- sections, overrides, seeds


def test_sections_are_shared_and_views_and_autoencoders_say_how_they_differ(write):
    recipe = load_recipe(
        write(
            "[spectrogram]\nn_mels = 40\nclip_below_db = -30\n"
            "[autoencoder]\nnum_units = 8\n[training]\nnum_epochs = 3\n"
            "[views.a]\n[views.b]\nn_mels = 20\n"
            '[autoencoders.a]\n[autoencoders.big]\nview = "b"\nnum_units = 9\nnum_epochs = 4\n'
        )
    )
    assert recipe.name == "own"
    assert recipe.views["a"] == SpectrogramConfig(n_mels=40, clip_below_db=-30.0)
    assert recipe.views["b"] == SpectrogramConfig(n_mels=20, clip_below_db=-30.0)
    small, big = recipe.autoencoders["a"], recipe.autoencoders["big"]
    assert (small.view, small.model.num_units, small.training.num_epochs) == ("a", 8, 3)
    assert (big.view, big.model.num_units, big.training.num_epochs) == ("b", 9, 4)


def test_overrides_win_over_sections():
    recipe = load_recipe(
        "demo",
        overrides={
            "spectrogram": {"n_mels": 20},
            "training": {"num_epochs": 2},
            "evaluation": {"repeats": 1},
        },
    )
    assert {view.n_mels for view in recipe.views.values()} == {20}
    assert {a.training.num_epochs for a in recipe.autoencoders.values()} == {2}
    assert {a.training.batch_size for a in recipe.autoencoders.values()} == {16}
    assert recipe.evaluation.repeats == 1
    assert load_recipe("demo").evaluation.repeats == 3


def test_overrides_do_not_win_over_what_a_view_or_an_autoencoder_says(write):
    path = write(
        "[views.a]\n[views.b]\nn_mels = 9\n"
        "[autoencoders.a]\n[autoencoders.b]\nnum_units = 9\nnum_epochs = 8\n"
    )
    overrides = {
        "spectrogram": {"n_mels": 3},
        "autoencoder": {"num_units": 3, "num_layers": 2},
        "training": {"num_epochs": 3},
    }
    recipe = load_recipe(path, overrides=overrides)
    assert [view.n_mels for view in recipe.views.values()] == [3, 9]
    a, b = recipe.autoencoders.values()
    assert a.model == AutoencoderConfig(num_units=3, num_layers=2)
    assert b.model == AutoencoderConfig(num_units=9, num_layers=2)
    assert (a.training.num_epochs, b.training.num_epochs) == (3, 8)


@pytest.mark.parametrize(
    ("section", "key", "named"),
    [
        ("spectrogram", "n_mels", "views"),
        ("autoencoder", "num_units", "autoencoders"),
        ("training", "num_epochs", "autoencoders"),
    ],
)
def test_override_that_reaches_nothing_is_refused(write, section, key, named):
    tables = {"views": "", "autoencoders": "", named: f"{key} = 9\n"}
    path = write("".join(f"[{table}.{name}]\n{tables[table]}" for table in tables for name in "ab"))
    flag = f"--{section}.{key.replace('_', '-')}"
    said = rf"^{flag} changes nothing: '{key}' is set by each of the {named} of .*own\.toml: a, b\."
    with pytest.raises(ConfigError, match=said):
        load_recipe(path, overrides={section: {key: 3}})


def test_override_that_is_unknown_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown key 'num_epoch'. Did you mean 'num_epochs'"):
        load_recipe("demo", overrides={"training": {"num_epoch": 1}})


@pytest.mark.parametrize("overrides", [{"name": "x"}, {"trainings": {}}])
def test_overrides_are_of_sections(overrides):
    with pytest.raises(ConfigError, match=r"overrides of demo: unknown key '(name|trainings)'"):
        load_recipe("demo", overrides=overrides)


def test_override_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"demo: .*'num_epochs' .*at least 1. Got 0"):
        load_recipe("demo", overrides={"training": {"num_epochs": 0}})


def test_seed_reaches_training_and_evaluation():
    recipe = load_recipe("demo", seed=7)
    assert recipe.evaluation.seed == 7
    again, other = load_recipe("demo", seed=7), load_recipe("demo", seed=8)
    seeds = [[a.training.seed for a in r.autoencoders.values()] for r in (recipe, again, other)]
    assert seeds[0] == seeds[1]
    assert len({*seeds[0], *seeds[2]}) == 4  # each autoencoder has one of its own
    assert load_recipe("demo").evaluation.seed == 0


def test_a_recipe_is_given_another_seed_as_it_is_loaded_alone():
    with pytest.raises(TypeError, match="seed"):  # which would be the name of another experiment
        dataclasses.replace(load_recipe("demo"), seed=7)


def test_seed_of_a_recipe_reaches_what_says_nothing_of_its_own(write):
    text = "seed = 3\n" + MINIMAL + "[evaluation]\nseed = 5\n"
    recipe = load_recipe(write(text))
    assert recipe.autoencoders["a"].training.seed == autoencoder_seed(3, "a")
    assert recipe.evaluation.seed == 5
    given = load_recipe(write(text + "[training]\nseed = 9\n"))
    assert given.autoencoders["a"].training.seed == 9


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_recipe_may_lie_anywhere(scheme, tmp_path):
    folder = f"{scheme}://{tmp_path}"
    uris.write_bytes(f"{folder}/best.toml", b"seed = 3\n" + MINIMAL.encode())
    recipe = raudeep.load_recipe(f"{folder}/best.toml")
    assert (recipe.name, recipe.evaluation.seed, list(recipe.views)) == ("best", 3, ["a"])
    with pytest.raises(ConfigError, match=rf"no recipe '{folder}/other.toml'. Give the path"):
        raudeep.load_recipe(f"{folder}/other.toml")
    uris.delete(folder)


def test_a_recipe_that_cannot_be_read_is_not_called_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(uris, "read_bytes", Mock(side_effect=PermissionError(13, "not for you")))
    with pytest.raises(ConfigError, match=r"own\.toml cannot be read: .*not for you"):
        load_recipe(tmp_path / "own.toml")


# --- what can be wrong


@pytest.mark.parametrize("name", ["esc10", "nowhere/own.toml", "own"])
def test_missing_recipe_lists_those_that_are_shipped(name):
    with pytest.raises(ConfigError, match=rf"no recipe '{name}'. Give the path .*demo, esc-10"):
        load_recipe(name)


def test_invalid_toml_names_the_file(write):
    with pytest.raises(ConfigError, match=r"own.toml: not valid TOML: .*"):
        load_recipe(write("[views.a\n"))


def test_recipe_that_is_not_utf8_is_no_valid_toml(tmp_path):
    (tmp_path / "own.toml").write_bytes(b'description = "caf\xe9"\n')
    with pytest.raises(ConfigError, match=r"own.toml: not valid TOML: .*utf-8"):
        load_recipe(tmp_path / "own.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[spectrograms]\n" + MINIMAL, r"unknown key 'spectrograms'. Did you mean 'spectrogram'"),
        ("[views.a]\nn_mel = 3\n", r"\[views.a\]: unknown key 'n_mel'. Did you mean 'n_mels'"),
        ("[spectrogram]\nn_mel = 3\n" + MINIMAL, r"toml: \[spectrogram\]: unknown key 'n_mel'"),
        (MINIMAL + "[training]\nnum_epoch = 3\n", r"\[training\]: unknown key 'num_epoch'"),
        (MINIMAL + "num_unit = 3\n", r"\[autoencoders.a\]: unknown key 'num_unit'. .*'num_units'"),
        (MINIMAL + "[mlp]\nnum_unit = 3\n", r"\[mlp\]: unknown key 'num_unit'. .*'num_units'"),
        (MINIMAL + "[evaluation]\nrepeat = 3\n", r"unknown key 'repeat'. Did you mean 'repeats'"),
        ("[views.a]\nn_mels = 0\n", r"\[views.a\]: The 'n_mels' .*Got 0"),
        ('seed = "x"\n' + MINIMAL, r"'seed' must be int. Got 'x'"),
        ("seed = true\n" + MINIMAL, r"'seed' must be int. Got True"),
        ("name = 3\n" + MINIMAL, r"'name' must be str. Got 3"),
        ("spectrogram = 3\n" + MINIMAL, r"'spectrogram' must be a table. Got 3"),
        ("views = [1]\n[autoencoders.a]\n", r"'views' must be a table. Got \[1\]"),
        ("[views]\na = 1\n[autoencoders.a]\n", r"'views.a' must be a table. Got 1"),
        ("[views.a]\n[autoencoders]\na = 1\n", r"'autoencoders.a' must be a table. Got 1"),
        ('readouts = "state"\n' + MINIMAL, r"'readouts' must be a list. Got 'state'"),
        ("description = 3\n" + MINIMAL, r"'description' must be str. Got 3"),
        ("corpus_layout = 3\n" + MINIMAL, r"'corpus_layout' must be str. Got 3"),
        (
            'corpus_layout = "x.py:read"\n' + MINIMAL,
            r"a recipe runs no code, .* pass --corpus-layout x\.py:read if you trust",
        ),
        ('corpus_layout = "os:remove"\n' + MINIMAL, "a recipe runs no code"),
        ("seed = " + "9" * 20_000, "not valid TOML: Exceeds the limit"),
        ("seed = " + "[" * 100_000, "not valid TOML: it is larger than 64 KiB"),
        ("seed = " + "[" * 50_000, "not valid TOML: maximum recursion depth"),
        ("seed = -1\n" + MINIMAL, r"'seed' .*at least 0. Got -1"),
        ("[autoencoders.a]\n", r"names no view. Add \[views.NAME\]"),
        (MINIMAL + "[views.A]\n", r"names must differ in more than case. Got a, A"),
        (
            MINIMAL + '[autoencoders.A]\nview = "a"\n',
            r"names must differ in more than case. Got a, A",
        ),
        (
            'readouts = ["state", "state"]\n' + MINIMAL,
            r"readouts are 'state' and 'pooled'. Got \['state', 'state'\]",
        ),
        ("[views.a]\n", r"names no autoencoder. Add \[autoencoders.NAME\]"),
        ("[views.b]\n[autoencoders.a]\n", r"'a' is trained on view 'a', which is none of: b"),
        ('readouts = ["mean"]\n' + MINIMAL, r"readouts are 'state' and 'pooled'. Got \['mean'\]"),
        (
            '[views.a]\nn_mels = 8\n[autoencoders.a]\nkind = "frequency-time"\n',
            r"'window_bands' .*at most the 8 bands of the spectrograms\. Got 32",
        ),
        (
            '[views.a]\n[autoencoders.a]\nkind = ["time"]\n',
            r"the kind of an autoencoder is one of 'time', .*Got \['time'\]",
        ),
        ("readouts = []\n" + MINIMAL, r"readouts are 'state' and 'pooled'. Got \[\]"),
    ],
)
def test_mistake_in_a_recipe_is_named(write, text, said):
    with pytest.raises(ConfigError, match=said):
        load_recipe(write(text))


@pytest.mark.parametrize("name", ["../a", "/tmp", "a/b", "a.b", "", "..", "a b", "-", "fused"])
def test_name_of_a_view_that_would_be_a_path_is_refused(write, name):
    with pytest.raises(ConfigError, match="named in letters, digits, '-' and '_'"):
        load_recipe(write(f'[views."{name}"]\n[autoencoders."{name}"]\n'))


def test_name_of_an_autoencoder_that_would_be_a_path_is_refused(write):
    with pytest.raises(ConfigError, match=r"named in letters.*Got '../b'"):
        load_recipe(write('[views.a]\n[autoencoders."../b"]\nview = "a"\n'))


def test_recipe_made_in_python_is_checked_as_well():
    autoencoder = load_recipe("demo").autoencoders["30db"]
    assert isinstance(autoencoder, NamedAutoencoder)
    with pytest.raises(ConfigError, match=r"recipe 'x': autoencoder 'a' is trained on view '30db'"):
        Recipe(name="x", views={"b": SpectrogramConfig()}, autoencoders={"a": autoencoder})


@pytest.mark.parametrize(("field", "text"), [("readouts", "state"), ("baselines", "cnn")])
def test_one_text_is_no_list_in_python_either(field, text):
    with pytest.raises(ConfigError, match=rf"'demo': {field} must be a list, .*Got '{text}'"):
        dataclasses.replace(load_recipe("demo"), **{field: text})
