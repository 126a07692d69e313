"""What scikit-learn asks of every estimator, by its own checks, and what people do with them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_checks as checks
from sklearn.utils import get_tags

from raudeep.config import SpectrogramConfig
from raudeep.sklearn import AutoencoderTransformer, EmbeddingTransformer
from tests.models import write_model

pytestmark = pytest.mark.usefixtures("decoding_here")

# Those that need no recordings; `check_estimator` skips them, as it has only numbers to fit on.
WITHOUT_DATA = [
    checks.check_estimator_cloneable,
    checks.check_estimator_tags_renamed,
    checks.check_valid_tag_types,
    checks.check_estimator_repr,
    checks.check_no_attributes_set_in_init,
    checks.check_do_not_raise_errors_in_init_or_set_params,
    checks.check_mixin_order,
    checks.check_get_params_invariance,
    checks.check_set_params,
    checks.check_transformer_n_iter,
]
# Those that fit numbers and look at what comes out, which `Tones` are for.
WITH_DATA = [
    checks.check_fit_score_takes_y,
    checks.check_estimators_overwrite_params,
    checks.check_dont_overwrite_parameters,
    checks.check_estimators_fit_returns_self,
    checks.check_readonly_memmap_input,
    checks.check_fit_check_is_fitted,
    checks.check_methods_sample_order_invariance,
    checks.check_transformer_general,
    checks.check_transformers_unfitted_stateless,
    checks.check_set_output_transform,
]


class Tones(EmbeddingTransformer):
    """Takes numbers, of which each stands for a recording: a tone."""

    def transform(self, X):
        seconds = np.arange(1600) / 16000
        paths = []
        for number in np.asarray(X, np.float64)[:, 0].tolist():
            paths.append(Path(f"{self.output}-tone-of-{number!r}.wav"))
            if not paths[-1].exists():
                tone = np.sin(2 * np.pi * (500 + 1000 * abs(number) % 7000) * seconds)
                soundfile.write(paths[-1], tone / 2, 16000)
        return super().transform(paths)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
        tags.input_tags.string = False
        return tags


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(
        tmp_path_factory.mktemp("model") / "model", units=4, n_mels=16, fixed_seconds=0.1
    )


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return str(tmp_path_factory.mktemp("output") / "work")


@pytest.mark.parametrize("check", WITHOUT_DATA, ids=lambda check: check.__name__)
def test_transformers_pass_the_checks_that_need_no_data(check, tmp_path):
    view = SpectrogramConfig(n_mels=16)
    for transformer in (
        AutoencoderTransformer(str(tmp_path), spectrogram=view, readout="pooled"),
        EmbeddingTransformer([str(tmp_path)], str(tmp_path)),
    ):
        check(type(transformer).__name__, transformer)


def test_what_must_be_fitted_says_so(tmp_path):
    transformer = AutoencoderTransformer(str(tmp_path))
    checks.check_transformers_unfitted("AutoencoderTransformer", transformer)
    checks.check_estimators_unfitted("AutoencoderTransformer", transformer)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", WITH_DATA, ids=lambda check: check.__name__)
def test_transformers_pass_the_checks_on_numbers_that_are_sounds(check, model, output):
    check("Tones", Tones([model], output))


def test_tags_are_true(tmp_path):
    trained, given = AutoencoderTransformer("x"), EmbeddingTransformer(["m"], "x")
    for transformer in (trained, given):
        tags = get_tags(transformer)
        assert (tags.input_tags.string, tags.input_tags.one_d_array) == (True, True)
        assert (tags.input_tags.two_d_array, tags.input_tags.sparse) == (False, False)
        assert tags.transformer_tags.preserves_dtype == []
        assert (tags.non_deterministic, tags.target_tags.required) == (False, False)
    assert get_tags(trained).requires_fit
    assert not get_tags(given).requires_fit


def test_a_frame_of_pandas_keeps_the_index_of_what_was_given(corpus, model, output):
    files = pd.Series([str(path) for path in sorted(corpus.rglob("*.wav"))[:3]], index=[5, 3, 9])
    transformer = EmbeddingTransformer([model], output).set_output(transform="pandas")
    frame = transformer.fit_transform(files)
    assert frame.index.tolist() == [5, 3, 9]
    assert frame.columns.tolist() == transformer.get_feature_names_out().tolist()
    assert set(frame.dtypes) == {np.dtype(np.float32)}
    plain = EmbeddingTransformer([model], output).transform(files.to_frame())
    assert np.array_equal(frame.to_numpy(), plain)


def test_a_search_over_readouts_finds_one(corpus, model, output):
    paths = sorted(corpus.rglob("*.wav"))[:10]  # two of each class
    pipeline = make_pipeline(EmbeddingTransformer([model], output), StandardScaler(), LinearSVC())
    grid = {"embeddingtransformer__readout": ["state", "pooled"]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit([str(path) for path in paths], [path.parent.name for path in paths])
    assert search.best_params_["embeddingtransformer__readout"] in ("state", "pooled")
    assert search.cv_results_["mean_test_score"].shape == (2,)
