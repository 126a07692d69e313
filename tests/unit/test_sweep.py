"""What comes of a sweep: ranking, importance, best recipe, ledger, pictures, what is reserved."""

import asyncio
import dataclasses
from unittest.mock import Mock

import pytest
import ray

from raudeep.config import Limits, ResourceConfig, SpectrogramConfig, TuneConfig
from raudeep.errors import ConfigError, ResourceError, TableError
from raudeep.manifest import Recording, manifest_table
from raudeep.pipeline.runtime.cluster import Node, Resources
from raudeep.pipeline.stage import to_ipc
from raudeep.pipeline.tuning.ledger import SweepLayout, open_ledger
from raudeep.pipeline.tuning.search import LedgerSearch
from raudeep.pipeline.tuning.shelf import Shelf
from raudeep.pipeline.tuning.sweep import plan_sweep, tune_autoencoders
from raudeep.report.console import print_sweep
from raudeep.report.sweep_plots import importance, parallel_coordinates, trial_history
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.recipes import load_recipe
from raudeep.sweep.candidates import base_of, candidate_of, recipe_of
from raudeep.sweep.importance import field_importance
from raudeep.sweep.recipe_file import recipe_toml
from raudeep.sweep.records import TrialRecord, rank_trials
from raudeep.sweep.samplers import make_sampler
from raudeep.sweep.space import parse_space

UNITS, RATE = "autoencoder.num_units", "training.learning_rate"


def record(number, objective, *, status="finished", epoch=8, **point):
    entry = {"epoch": epoch, "loss": 0.5, "validation_loss": None, "objective": objective}
    history = [] if objective is None else [entry]
    values = {UNITS: number, **point}
    return TrialRecord(id=f"t{number}", number=number, point=values, status=status, history=history)


# --- ranking


def test_finished_trials_rank_above_stopped_ones_however_good_those_were():
    records = [
        record(1, 0.9, status="stopped", epoch=2),
        record(2, 0.5),
        record(3, None, status="failed"),
        record(4, 0.7),
        record(5, 0.3, status="stopped", epoch=4),
        record(6, 0.8, status="running"),
    ]
    rows = rank_trials(records, maximises=True)
    assert [row["number"] for row in rows] == [4, 2, 5, 1, 3]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["number"] for row in rank_trials(records, maximises=False)][:2] == [2, 4]


def test_losses_of_a_row_are_those_of_the_epoch_that_the_objective_is_of():
    """With early stopping, the best one until then, and not the last."""
    trial = record(1, None)
    kept = {"epoch": 4, "loss": 0.6, "validation_loss": 0.7}
    trial.add({"epoch": 4, "loss": 0.6, "validation_loss": 0.7, "objective": 0.7})
    last = {"epoch": 6, "loss": 0.5, "validation_loss": 0.8, "objective": 0.7}
    trial.add(last | {"kept": kept})
    (row,) = rank_trials([trial], maximises=False)
    names = ("epochs", "kept_epoch", "loss", "validation_loss", "objective")
    assert [row[name] for name in names] == [6, 4, 0.6, 0.7, 0.7]


def test_a_row_has_a_column_for_every_field_that_any_trial_has():
    rows = rank_trials([record(1, 0.5, **{RATE: 0.1}), record(2, 0.4)], maximises=True)
    assert [row[RATE] for row in rows] == [0.1, None]


def test_an_epoch_that_was_trained_again_counts_once():
    trial = record(1, None)
    for epoch, worth in ((2, 0.1), (4, 0.2), (4, 0.3)):
        trial.add({"epoch": epoch, "loss": 1.0, "objective": worth, "seconds": 5})
    assert [entry["objective"] for entry in trial.history] == [0.1, 0.3]
    assert (trial.epochs, trial.objective) == (4, 0.3)


def test_the_field_that_decides_is_the_important_one(rng):
    rows = [
        {"objective": float(units), UNITS: int(units), RATE: float(rng.random()), "cell": "gru"}
        for units in rng.permutation(30)
    ]
    shares = field_importance(rows, [RATE, UNITS, "cell"])
    assert next(iter(shares)) == UNITS
    assert shares[UNITS] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    assert field_importance(rows[:3], [RATE, UNITS]) == {}
    assert field_importance([{"objective": 1.0, UNITS: n} for n in range(9)], [UNITS]) == {}


def test_pictures_are_drawn_of_any_ranking():
    rows = rank_trials(
        [
            record(1, 0.9, status="stopped", epoch=2, **{RATE: 1e-3, "autoencoder.cell": "gru"}),
            record(2, 0.5, **{"autoencoder.cell": "lstm"}),
            record(3, None, status="failed"),
        ],
        maximises=True,
    )
    fields = [UNITS, RATE, "autoencoder.cell"]
    for chosen in (rows, rows[:1], []):
        for picture in (
            trial_history(chosen, objective="UAR", maximises=True),
            parallel_coordinates(chosen, fields, objective="UAR", maximises=False),
        ):
            assert picture.startswith("<?xml")
    assert "too few trials" not in importance({UNITS: 0.7, RATE: 0.3})
    assert importance({}).startswith("<?xml")


def test_a_ranking_is_printed_whatever_the_recipe_is_called(capsys):
    results = {
        **{"recipe": "x [/y]", "autoencoder": "a", "objective": "loss", "fields": [UNITS]},
        **{"ranking": rank_trials([record(8, 0.5)], maximises=False), "messages": {}},
        **{"reserved": {"folds": [], "partitions": [], "recordings": 0}, "seconds": 1.0},
        **{"output": "out", "best": {"recipe": "out/best.toml"}},
    }
    print_sweep(results, [])
    assert "x [/y]/a: trials by validation loss" in capsys.readouterr().out


# --- the best recipe


@pytest.mark.parametrize("name", ["esc-10", "gtzan", "tut-as-2017"])
def test_the_best_recipe_is_read_back_as_it_was(name, tmp_path):
    recipe = load_recipe(name, seed=3)
    base = base_of(recipe, None, TuneConfig(objective="loss"))
    point = {UNITS: 96, RATE: 3e-5, "autoencoder.cell": "lstm", "spectrogram.n_mels": 64}
    best = recipe_of(recipe, base, point, reserved_folds=(3, 4))
    path = tmp_path / "best.toml"
    path.write_text(recipe_toml(best, comment="one\ntwo"), "utf-8")
    loaded = load_recipe(path)
    assert loaded == best
    (autoencoder,) = loaded.autoencoders.values()
    assert (autoencoder.model.num_units, autoencoder.model.cell) == (96, "lstm")
    assert autoencoder.training.learning_rate == 3e-5
    # What the sweep held out for its own loss is trained on.
    assert autoencoder.training.validation_fraction is None
    assert autoencoder.training.seed == recipe.autoencoders[base.name].training.seed
    assert loaded.evaluation.folds == (3, 4)
    assert loaded.views[autoencoder.view].n_mels == 64


def test_a_layout_that_is_code_does_not_come_into_the_best_recipe(tmp_path):
    recipe = dataclasses.replace(load_recipe("demo"), corpus_layout="x.py:read\n")
    path = tmp_path / "best.toml"
    path.write_text(recipe_toml(recipe), "utf-8")
    assert load_recipe(path).corpus_layout is None
    assert r'"x.py:read\n"' in path.read_text("utf-8")


def test_another_kind_of_autoencoder_is_read_back_too(tmp_path):
    recipe = load_recipe("demo")
    base = base_of(recipe, "60db", TuneConfig())
    point = {"autoencoder.kind": "frequency", "autoencoder.window_bands": 10}
    point["autoencoder.overlap_bands"] = 5
    best = recipe_of(recipe, base, point, reserved_folds=(4,))
    path = tmp_path / "best.toml"
    path.write_text(recipe_toml(best), "utf-8")
    assert load_recipe(path) == best
    assert best.readouts == ("pooled",)


def test_a_name_that_toml_must_have_in_quotes_is_read_back(tmp_path):
    recipe = load_recipe("demo")
    own = dataclasses.replace(recipe.autoencoders["30db"], view="höhe")
    recipe = dataclasses.replace(
        recipe, views={"höhe": recipe.views["30db"]}, autoencoders={"größe": own}
    )
    best = recipe_of(recipe, base_of(recipe, None, TuneConfig()), {}, reserved_folds=(4,))
    path = tmp_path / "best.toml"
    path.write_text(recipe_toml(best), "utf-8")
    assert load_recipe(path) == best


def test_what_early_stopping_looks_at_stays_held_out(tmp_path):
    recipe = load_recipe("demo")
    base = base_of(recipe, None, TuneConfig(objective="loss", validation_fraction=0.25))
    best = recipe_of(recipe, base, {"training.early_stopping_epochs": 3}, reserved_folds=(4,))
    path = tmp_path / "best.toml"
    path.write_text(recipe_toml(best), "utf-8")
    (autoencoder,) = load_recipe(path).autoencoders.values()
    training = autoencoder.training
    assert (training.early_stopping_epochs, training.validation_fraction) == (3, 0.25)


def test_none_that_toml_cannot_say_is_refused_by_name_before_a_trial_is_run(tmp_path):
    recipe = load_recipe("demo")
    own = recipe.autoencoders["30db"]
    training = dataclasses.replace(own.training, gradient_clip=None)
    named = {"30db": dataclasses.replace(own, training=training)}
    recipe = dataclasses.replace(recipe, autoencoders=named)
    said = "'gradient_clip' of TrainingConfig is None"
    with pytest.raises(ConfigError, match=said):
        recipe_toml(recipe)
    space = parse_space({"training": {"batch_size": {"choices": [8, 16]}}}, where="space")
    for sweep in (plan_sweep, tune_autoencoders):
        with pytest.raises(ConfigError, match=said):
            sweep(recipe, space, None, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_trial_is_named_by_what_it_trains():
    base = base_of(load_recipe("demo"), None, TuneConfig())
    first, second = candidate_of(base, {UNITS: 32}), candidate_of(base, {UNITS: 48})
    assert first.id == candidate_of(base, {UNITS: 32}).id != second.id
    assert candidate_of(base, {UNITS: base.model.num_units}).id == base.id


def test_a_point_that_cannot_be_trained_makes_no_trial():
    base = base_of(load_recipe("demo"), None, TuneConfig())
    assert base.spectrogram.n_mels is not None
    wide = {"autoencoder.kind": "frequency-time", "autoencoder.window_bands": 1000}
    with pytest.raises(ConfigError, match=r"'window_bands' .*at most the \d+ bands.* Got 1000"):
        candidate_of(base, wide)


def test_a_search_by_loss_holds_something_out():
    recipe = load_recipe("demo")
    tune = TuneConfig(objective="loss", validation_fraction=0.25)
    assert base_of(recipe, None, tune).training.validation_fraction == 0.25
    assert base_of(recipe, None, TuneConfig()).training.validation_fraction is None
    with pytest.raises(ConfigError, match=r"no autoencoder '90db'\. It has '30db', '60db'"):
        base_of(recipe, "90db", tune)


# --- the ledger


def test_a_ledger_gives_back_what_was_written(tmp_path):
    places = SweepLayout(str(tmp_path / "sweep"))
    identity = Identity("sweep", {"search": {"a": [1]}})
    ledger = open_ledger(places, identity)
    for number, status in enumerate(("finished", "running", "stopped", "failed")):
        trial = ledger.add(f"t{number}", {UNITS: number})
        trial.status = status
        trial.add({"epoch": 1, "loss": 0.5, "objective": 0.25})
        ledger.save(trial)
    again = open_ledger(places, identity)
    assert again.records == ledger.records
    assert [record.id for record in again.done()] == ["t0", "t2"]
    assert [record.id for record in again.open()] == ["t1", "t3"]
    assert again.add("t9", {}).number == 5


def test_checkpoints_of_trials_that_are_done_are_deleted(tmp_path):
    ledger = open_ledger(SweepLayout(str(tmp_path)), Identity("sweep", {}))
    for number, status in enumerate(("finished", "running", "stopped", "failed")):
        ledger.add(f"t{number}", {UNITS: number}).status = status
        place = tmp_path / "runs" / f"t{number}-0123456789abcdef" / "checkpoint" / "weights"
        place.parent.mkdir(parents=True)
        place.write_text("")
    ledger.delete_checkpoints()
    left = sorted(path.name.partition("-")[0] for path in (tmp_path / "runs").iterdir())
    assert left == ["t1", "t3"]


def test_a_ledger_of_another_sweep_is_refused_and_replaced_on_purpose(tmp_path):
    places = SweepLayout(str(tmp_path))
    ledger = open_ledger(places, Identity("sweep", {"search": {"a": [1]}}))
    ledger.save(ledger.add("t1", {UNITS: 1}))
    other = Identity("sweep", {"search": {"a": [2]}})
    with pytest.raises(TableError, match=r"config\.search\.a is \[1\] there and \[2\] now"):
        open_ledger(places, other)
    for name in ("results.json", "ranking.csv", "best.toml", "history.svg", "of-the-user.txt"):
        (tmp_path / name).write_text("of the other sweep")
    assert open_ledger(places, other, overwrite=True).records == {}
    assert open_ledger(places, other).records == {}
    files = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert files == ["of-the-user.txt", "sweep.json"]


def test_a_sweep_that_cannot_run_deletes_nothing(tmp_path, monkeypatch):
    machine = Resources((Node(2.0, 0.0),))
    monkeypatch.setattr("raudeep.pipeline.tuning.sweep.ensure_ray", lambda: machine)
    places = SweepLayout(str(tmp_path / "sweep"))
    ledger = open_ledger(places, Identity("sweep", {"search": {"a": [1]}}))
    ledger.save(ledger.add("t1", {UNITS: 1}))
    with pytest.raises(ResourceError, match="50 worker"):
        tune_autoencoders(
            load_recipe("demo"),
            parse_space({UNITS: {"choices": [8, 16]}}, where="space"),
            None,
            places.output,
            resources=ResourceConfig(num_workers=50),
            overwrite=True,
        )
    assert uris.exists(places.below("trials", "t1.json"))


def test_a_damaged_ledger_is_named(tmp_path):
    places = SweepLayout(str(tmp_path))
    identity = Identity("sweep", {})
    ledger = open_ledger(places, identity)
    ledger.save(ledger.add("t1", {}))
    (tmp_path / "trials" / ".t2.json.tmp").write_text("half")
    assert list(open_ledger(places, identity).records) == ["t1"]
    (tmp_path / "trials" / "t1.json").write_text("{")
    with pytest.raises(TableError, match=r"t1\.json cannot be read.*Delete it"):
        open_ledger(places, identity)


def test_a_trial_says_what_it_waits_for_and_how_far_it_is(tmp_path):
    tune = TuneConfig(num_trials=1)
    space = parse_space({UNITS: {"choices": [8]}}, where="space")
    ledger = open_ledger(SweepLayout(str(tmp_path)), Identity("sweep", {}))
    progress = Mock()
    sampler = make_sampler(space, tune, num_known=0)
    base = base_of(load_recipe("demo"), None, tune)
    search = LedgerSearch(ledger, sampler, base, tune, progress, None)
    search.suggest("trial")
    search.on_trial_result("trial", {"waiting": "waiting for 2 worker(s)"})
    search.on_trial_result("trial", {"epoch": 1, "loss": 0.25})
    search.on_trial_result("trial", {"epoch": 2, "loss": 0.2, "objective": 0.5})
    assert [call.args for call in progress.advance.call_args_list] == [
        (0, "trial 1 is waiting for 2 worker(s)"),
        (0, "trial 1 running, epoch 1, loss 0.2500"),
        (0, "trial 1 running, epoch 2, objective 0.5000"),
    ]
    (record,) = ledger.records.values()
    assert [entry["epoch"] for entry in record.history] == [2]


def test_a_table_that_failed_is_tried_again_by_the_next_trial(tmp_path, monkeypatch):
    tasks = []

    class Task:
        """Stands for Ray's: the first one fails."""

        def remote(self, *_):
            loop = asyncio.get_running_loop()
            tasks.append(loop.create_future())
            if len(tasks) == 1:
                error = ray.exceptions.RayError("the store does not answer")
                loop.call_later(0.01, tasks[0].set_exception, error)
            else:
                tasks[-1].set_result(None)
            return tasks[-1]

    monkeypatch.setattr(ray, "remote", lambda **_: lambda _: Task())
    manifest = manifest_table([Recording(file="a", uri="/a", bytes=1)])
    shelf = Shelf(SweepLayout(str(tmp_path)), to_ipc(manifest), Limits())

    async def ask(times):
        asked = (shelf.table(SpectrogramConfig()) for _ in range(times))
        return await asyncio.gather(*asked, return_exceptions=True)

    async def run():
        return await ask(2), await ask(2)

    failed, made = asyncio.run(run())
    assert [type(each) for each in failed] == [ray.exceptions.RayError] * 2
    assert [type(each) for each in made] == [str, str]
    assert len(tasks) == 2
