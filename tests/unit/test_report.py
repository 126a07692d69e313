import copy
import pickle
import re
from base64 import b64decode
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest

from raudeep.errors import TableError
from raudeep.report import html, plots, text
from raudeep.report.benchmark import write_report
from raudeep.report.console import print_score
from raudeep.report.html import render_report

EVIL = "<script>alert(1)</script>"
LABELS = ["cat", EVIL, "rain"]
DRAWN = {}


def score(embedding, readout="state", size=32):
    return {
        "readout": readout,
        "embedding": embedding,
        "size": size,
        "accuracy": 0.7123,
        "uar": 0.6987,
        "accuracy_std_folds": 0.031,
        "accuracy_std_repeats": 0.009,
        "uar_std_folds": 0.032,
        "uar_std_repeats": 0.008,
        "fold_accuracies": [0.7, 0.72],
        "num_splits": 2,
        "repeats": 5,
        "labels": LABELS,
        "confusion": [[8, 1, 1], [0, 9, 1], [2, 3, 5]],
    }


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Draw equal pictures once in all tests: drawing is most of their time."""

    def once(function):
        def draw(*arguments):
            key = function.__name__, pickle.dumps(arguments)
            if key not in DRAWN:
                DRAWN[key] = function(*arguments)
            return DRAWN[key]

        return draw

    for function in (plots.confusion_matrix, plots.loss_curves, plots.reconstruction):
        monkeypatch.setattr(plots, function.__name__, once(function))
    return DRAWN


@pytest.fixture
def results():
    return {
        "schema_version": 1,
        "recipe": "demo",
        "description": "Three sounds",
        "seed": 7,
        "corpus": {"uri": "corpora/demo", "recordings": 1234, "labels": LABELS, "num_folds": 2},
        "output": "results/demo",
        "scores": [score("low"), score("high"), score("fused", size=64)],
        "stages": [
            {"stage": "spectrograms", "seconds": 12.34, "parts": 4, "rows": 90, "errors": 1},
            {"stage": "training", "seconds": 3723.0},
        ],
        "errors": [error(0)],
        "tables": {"manifest": "results/demo/manifest"},
        "versions": {"raudeep": "0.1.0", "torch": "2.11.0"},
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"ranking": [], "fields": []}', r"results\.json is of a sweep, .*ranking\.csv"),
        (b'{"scores": 1', r"results\.json cannot be read: "),
        (b"[1]", r"results\.json cannot be read: "),
        (b"{}", r"results\.json holds no results of a benchmark. Run `raudeep benchmark`"),
    ],
)
def test_results_of_something_else_are_named(tmp_path, content, said):
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(TableError, match=said):
        write_report(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def error(number, file="a/{}.wav"):
    return {
        "file": file.format(number),
        "stage": "decode",
        "error": "AudioError",
        "message": "empty file",
    }


HISTORIES = {
    "low": [{"epoch": e, "loss": 1 / e, "validation_loss": 1.1 / e} for e in (1, 2, 3)],
    "high": [{"epoch": 1, "loss": 0.5, "validation_loss": None}],
}


def example_table(rows, frames=5, bands=4):
    values = np.linspace(-1, 1, frames * bands, dtype=np.float32)
    row = {"label": EVIL, "frames": frames, "bands": bands}
    arrays = {"spectrogram": values, "reconstruction": values[::-1]}
    return pa.Table.from_pylist(
        [{"file": f"a\"b'{i}.wav", "chunk": i, **row, **arrays} for i in range(rows)]
    )


def page(results, histories=None, examples=None, recipe=None):
    return render_report(
        results, recipe=recipe or {}, histories=histories or {}, examples=examples or {}
    )


RECIPE = {
    "views": {
        "low": {"n_mels": 16, "clip_below_db": -30},
        "high": {"n_mels": 16, "center": True},
    },
    "autoencoders": {"only": {"view": "low", "model": {"cell": "gru"}, "training": {"seed": 3}}},
    "evaluation": {"repeats": 5, "num_folds": None, "folds": [0, 1]},
}


def test_settings_are_those_of_all_and_of_each(results):
    section = page(results, recipe=RECIPE).split("<h2>Settings</h2>")[1].split("</table>")[0]
    rows = dict(re.findall(r'<th class="name">(.*?)</th><td class="wrap">(.*?)</td>', section))
    plain = {name: re.sub(r"</?code>", "", text).split(" · ") for name, text in rows.items()}
    assert {name: [each.split("&nbsp;") for each in text] for name, text in plain.items()} == {
        "views": [["n_mels", "16"]],
        "view low": [["clip_below_db", "-30"]],
        "view high": [["center", "True"]],
        "autoencoders": [["view", "low"], ["cell", "gru"], ["seed", "3"]],
        "evaluation": [["repeats", "5"], ["folds", "0, 1"]],
    }


def headings(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


def pictures(page):
    sources = re.findall(r'<img [^>]*src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(sources) == page.count("<img ")
    return [b64decode(source).decode() for source in sources]


def test_labels_and_file_names_are_escaped(results):
    results["errors"] = [error(0, file='it\'s "quoted" & <b>.wav')]
    results["description"] = EVIL
    results["versions"] = {EVIL: EVIL}
    html_text = page(results, {EVIL: HISTORIES["low"]}, {EVIL: example_table(1)})
    assert "<script" not in html_text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html_text
    assert "it&#39;s &#34;quoted&#34; &amp; &lt;b&gt;.wav" in html_text
    assert 'reconstruction of a&#34;b&#39;0.wav"' in html_text
    assert not any("<script" in picture for picture in pictures(html_text))


def test_page_loads_nothing_from_elsewhere(results):
    loaded = []

    class Finder(HTMLParser):
        def handle_starttag(self, tag, attrs):
            assert tag not in ("script", "link", "iframe", "object")
            loaded.extend(value for name, value in attrs if name in ("src", "href"))

    html_text = page(results, HISTORIES, {"low": example_table(1)})
    Finder().feed(html_text)
    assert loaded
    assert all(source.startswith("data:") for source in loaded)
    assert not re.search(r"https?://|url\(|@import", html_text)


def test_fused_row_comes_last_and_stands_out(results):
    results["scores"].insert(0, results["scores"].pop())
    names = re.findall(r"<tr(?: class=\"(\w+)\")?>\n<th>(\w+)</th><td", page(results))
    assert names == [("", "low"), ("", "high"), ("fused", "fused")]


def test_single_autoencoder_has_no_fused_row_but_its_own_confusion(results):
    results["scores"] = [score("low"), score("fused")]
    html_text = page(results)
    assert "fused</th>" not in html_text
    assert "<figcaption>state, low</figcaption>" in html_text


def test_scores_are_percent_with_both_spreads_and_those_of_one_class_for_all(results):
    for row in results["scores"]:
        row["confusion"] = [[6, 4, 0], [1, 4, 0], [0, 5, 0]]
    html_text = page(results)
    for shown in ("71.2", "± 3.1", "± 0.9", "69.9", "± 3.2", "± 0.8"):
        assert f">{shown}</td>" in html_text
    (naive,) = {*re.findall(r"<th>most frequent class for all</th>(.*?)</tr>", html_text, re.S)}
    assert re.findall(r">([\d.]+)</td>", naive) == ["50.0", "33.3"]
    assert "over the 2 folds" in html_text
    assert "over the 5 repeats" in html_text


def test_spread_over_a_single_split_is_left_out(results):
    for row in results["scores"]:
        row.update(num_splits=1, accuracy_std_folds=0.0, uar_std_folds=None, uar=float("nan"))
    html_text = page(results)
    assert "± folds" not in html_text
    assert "± repeats" in html_text
    assert ">–</td>" in html_text


@pytest.mark.parametrize("names", [("cnn", "band-statistics"), ("band-statistics", "cnn")])
def test_each_row_has_a_spread_over_its_own_repeats_alone(results, names):
    rows = {name: score(name, readout="baseline") for name in names}
    rows["cnn"].update(repeats=1, accuracy_std_repeats=0.0, uar_std_repeats=0.0)
    html_text = page({**results, "scores": list(rows.values())})
    spreads = {
        name: re.findall(r"± ([^<]+)</td>", row)
        for name, row in re.findall(r"<tr>\n<th>([\w-]+)</th>(.*?)</tr>", html_text, re.DOTALL)
    }
    assert spreads == {
        "cnn": ["3.1", "–", "3.2", "–"],
        "band-statistics": ["3.1", "0.9", "3.2", "0.8"],
    }


def test_the_terminal_shows_no_spread_over_one_repeat(capsys):
    single = {**score("cnn", readout="baseline"), "repeats": 1, "accuracy_std_repeats": 0.0}
    print_score({**single, "labels": ["a", "b"], "confusion": [[1, 0], [0, 1]]})
    (row,) = [line.split() for line in capsys.readouterr().out.splitlines() if " cnn " in line]
    assert row[-4:] == ["71.2", "3.1", "–", "69.9"]


def test_each_readout_has_a_table_and_a_confusion_matrix(results):
    results["scores"] += [score(name, readout="mean") for name in ("low", "high", "fused")]
    html_text = page(results)
    assert "Readout: state" in html_text
    assert "Readout: mean" in html_text
    assert len(pictures(html_text)) == 2


def test_errors_are_counted_and_at_most_fifty_are_shown(results):
    results["errors"] = [error(i) for i in range(53)]
    html_text = page(results)
    assert "53 recordings could not be used" in headings(html_text)
    assert html_text.count("empty file") == 50
    assert "and 3 more" in html_text


def test_one_error_is_a_recording_in_the_singular(results):
    html_text = page(results)
    assert "1 recording could not be used" in headings(html_text)
    assert "more in the errors" not in html_text


def test_number_of_pictures_is_confusion_plus_curves_plus_examples(results):
    examples = {"low": example_table(2), "high": example_table(html.MAX_EXAMPLES + 4)}
    html_text = page(results, HISTORIES, examples)
    assert len(pictures(html_text)) == 1 + 1 + 2 + html.MAX_EXAMPLES


def test_empty_history_leaves_the_section_out(results):
    assert "Training" in headings(page(results, HISTORIES))
    for histories in ({}, {"low": []}):
        assert "Training" not in headings(page(results, histories))


def test_validation_loss_is_explained_only_where_there_is_one(results):
    assert "dashed" in page(results, HISTORIES)
    assert "dashed" not in page(results, {"high": HISTORIES["high"]})


def test_empty_pieces_are_left_out(results):
    empty = {"recipe": "demo", "scores": [], "errors": [], "stages": [], "tables": {}}
    html_text = page(empty, {"low": []}, {"low": example_table(1).slice(1)})
    assert headings(html_text) == []
    assert pictures(html_text) == []
    assert "<dt>recordings" not in html_text


def test_records_may_be_incomplete(results):
    bare = {"readout": "state", "embedding": "low", "accuracy": 0.5}
    html_text = page({**results, "scores": [bare], "errors": [{"file": "a.wav"}]})
    assert ">50.0</td>" in html_text
    assert "<code>a.wav</code>" in html_text


def test_facts_and_stage_times_are_shown(results):
    html_text = page(results)
    assert "<dt>recordings</dt><dd>1\u202f234</dd>" in html_text
    assert "<dt>seed</dt><dd>7</dd>" in html_text
    assert "12.3 s" in html_text
    assert "1 h 02 min" in html_text
    assert headings(html_text)[-2:] == ["Where things are", "Versions"]


def test_equal_input_gives_an_equal_page_and_leaves_it_alone(results, drawn):
    before = copy.deepcopy(results)
    arguments = (results, HISTORIES, {"low": example_table(1)})
    drawn.clear()
    first = page(*arguments)
    drawn.clear()
    assert page(*arguments) == first
    assert results == before


def test_pictures_follow_the_colour_scheme():
    for svg in (
        plots.loss_curves(HISTORIES),
        plots.confusion_matrix([[1, 0], [0, 0]], ["a", "b"]),
        plots.reconstruction(np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)),
    ):
        assert "prefers-color-scheme:dark" in svg
        assert "var(--ink)" in svg
        assert plots.INK not in svg


@pytest.mark.parametrize(
    ("num_classes", "counts", "names"),
    [(3, True, True), (16, False, True), (60, False, True), (61, False, False)],
)
def test_large_confusion_matrices_drop_counts_then_labels(num_classes, counts, names):
    labels = [f"name {i}" for i in range(num_classes)]
    svg = plots.confusion_matrix(np.full((num_classes, num_classes), 777), labels)
    assert ("<!-- 777 -->" in svg) == counts
    assert ("<!-- name 2 -->" in svg) == names


def test_labels_that_are_no_plain_text_are_drawn_without_a_warning():
    svg = plots.confusion_matrix(np.eye(4), ["$\\frac$", "鳥", "_hidden", "two\nlines " * 9])
    assert "<!-- $\\frac$ -->" in svg
    assert "<!-- class 1 -->" in svg
    assert "<!-- two lines two lines two… -->" in svg


def test_labels_named_like_the_stand_ins_of_colours_leave_pictures_well_formed():
    labels = [plots.INK, plots.LINES, f"fill: {plots.INK}", "a--b"]
    points = np.arange(8, dtype=np.float32).reshape(4, 2)
    for svg in (plots.confusion_matrix(np.eye(4), labels), plots.projection(points, labels)):
        ElementTree.fromstring(svg)
        assert f"<!-- {plots.INK} -->" in svg


def test_the_legend_has_labels_that_begin_with_an_underscore():
    points = np.arange(8, dtype=np.float32).reshape(4, 2)
    pictures = (plots.projection(points, [first, "a", "a", "b"]) for first in ("_noise_", "noise"))
    assert len({picture.count('id="text_') for picture in pictures}) == 1


def test_long_spectrogram_with_gaps_is_drawn():
    values = np.full((2500, 3), np.nan, np.float32)
    assert "<image" in plots.reconstruction(values, values)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 30])
def test_colours_are_distinct(count):
    assert len(set(plots.colours(count))) == count


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, ""), (0, "0.0 s"), (59.94, "59.9 s"), (59.97, "1 min 00 s"), (3600, "1 h 00 min")],
)
def test_durations_are_written_in_the_units_people_read(seconds, shown):
    assert text.duration(seconds) == shown
