import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from raudeep.errors import EvaluationError
from raudeep.evaluation.classifier import fit_classifier, seeds_for
from raudeep.evaluation.cross_validation import evaluate_split
from raudeep.evaluation.folds import Split, splits_from_folds
from raudeep.evaluation.metrics import score_predictions
from raudeep.evaluation.stratified import stratified_folds


class NearestMean:
    """Classifies by the nearest class mean; the same for every seed."""

    def __init__(self, X, y, num_classes, seeds):
        self.means = np.stack([X[y == label].mean(axis=0) for label in range(num_classes)])
        self.repeats = len(seeds)

    def predict_proba(self, X):
        distances = ((X[:, None] - self.means) ** 2).sum(axis=2)
        probabilities = np.eye(len(self.means), dtype=np.float32)[distances.argmin(axis=1)]
        return np.repeat(probabilities[None], self.repeats, axis=0)


class Recorder:
    """A classifier that keeps what it was given."""

    def __call__(self, X, y, num_classes, seeds):
        self.train_X, self.train_y = X, y
        self.shape = len(seeds), num_classes
        return self

    def predict_proba(self, X):
        self.valid_X = X
        return np.zeros((self.shape[0], len(X), self.shape[1]), np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def rows(num_train, num_valid):
    return Split(0, np.arange(num_train), np.arange(num_train, num_train + num_valid))


def evaluate(embeddings, label_ids, split, fit, num_classes=2, **options):
    return evaluate_split(
        embeddings, label_ids, split, fit=fit, num_classes=num_classes, seeds=[1, 2], **options
    )


def cross_validated_accuracy(embeddings, labels):
    label_map = sorted(set(labels))
    ids = np.array([label_map.index(label) for label in labels])
    files = [f"{i}.wav" for i in range(len(labels))]
    columns = {"files": [], "labels": [], "predicted": [], "folds": [], "repeats": []}
    folds = stratified_folds(files, labels, num_folds=4, seed=0)
    for split in splits_from_folds(files, folds):
        probabilities = evaluate(embeddings, ids, split, NearestMean, len(label_map))
        for repeat, predicted in enumerate(probabilities.argmax(axis=2)):
            for row, label_id in zip(split.valid, predicted, strict=True):
                columns["files"].append(files[row])
                columns["labels"].append(labels[row])
                columns["predicted"].append(label_map[label_id])
                columns["folds"].append(split.fold)
                columns["repeats"].append(repeat)
    return score_predictions(**columns, label_map=label_map).accuracy


def test_perfect_embeddings_score_one(rng):
    labels = list("abcd") * 20
    embeddings = np.eye(4, dtype=np.float32)[[ord(label) - ord("a") for label in labels]]
    assert cross_validated_accuracy(embeddings, labels) == 1.0


def test_permuted_labels_score_near_chance(rng):
    labels = list("abcd") * 100
    embeddings = np.eye(4, dtype=np.float32)[[ord(label) - ord("a") for label in labels]]
    permuted = rng.permutation(labels).tolist()
    assert cross_validated_accuracy(embeddings, permuted) == pytest.approx(0.25, abs=0.1)


def test_scaling_is_that_of_scikit_learn_on_the_training_rows(rng):
    embeddings = (rng.standard_normal((30, 5)) * [1, 5, 0.1, 9, 0] + 7).astype(np.float32)
    recorder = Recorder()
    evaluate(embeddings, np.arange(30) % 2, rows(20, 10), recorder)
    scaler = StandardScaler().fit(embeddings[:20].astype(np.float64))
    np.testing.assert_allclose(recorder.train_X, scaler.transform(embeddings[:20]), atol=1e-5)
    np.testing.assert_allclose(recorder.valid_X, scaler.transform(embeddings[20:]), atol=1e-5)
    assert recorder.train_X.dtype == recorder.valid_X.dtype == np.float32


def test_outlier_among_validation_rows_changes_no_other_row(rng):
    embeddings = rng.standard_normal((30, 5)).astype(np.float32)
    before, after = Recorder(), Recorder()
    evaluate(embeddings, np.arange(30) % 2, rows(20, 10), before)
    spoiled = embeddings.copy()
    spoiled[29] = 1e6
    evaluate(spoiled, np.arange(30) % 2, rows(20, 10), after)
    np.testing.assert_array_equal(before.train_X, after.train_X)
    np.testing.assert_array_equal(before.valid_X[:-1], after.valid_X[:-1])


def test_embeddings_are_left_as_they_were(rng):
    embeddings = rng.standard_normal((10, 3)).astype(np.float32)
    embeddings.flags.writeable = False
    evaluate(embeddings, np.arange(10) % 2, rows(6, 4), Recorder())


def test_constant_column_is_only_centred():
    embeddings = np.full((10, 1), 0.1, dtype=np.float32)
    embeddings[9] = 2.1
    recorder = Recorder()
    evaluate(embeddings, np.arange(10) % 2, rows(6, 4), recorder)
    np.testing.assert_allclose(recorder.train_X, 0, atol=1e-6)
    np.testing.assert_allclose(recorder.valid_X[-1], 2, atol=1e-6)


def test_column_that_differs_by_rounding_is_only_centred():
    embeddings = np.full((10, 2), 0.7, dtype=np.float32)
    embeddings[::2, 0] = np.nextafter(np.float32(0.7), np.float32(1))
    embeddings[:, 1] = 1e-44 * (np.arange(10) % 3)
    embeddings[9] = 1.7
    recorder = Recorder()
    evaluate(embeddings, np.arange(10) % 2, rows(6, 4), recorder)
    np.testing.assert_allclose(recorder.train_X, 0, atol=1e-6)
    np.testing.assert_allclose(recorder.valid_X[-1], [1, 1.7], atol=1e-6)


def test_column_of_the_largest_numbers_is_standardised():
    embeddings = np.where(np.arange(10) % 2, 3e38, -3e38).astype(np.float32)[:, None]
    recorder = Recorder()
    evaluate(embeddings, np.arange(10) % 2, rows(6, 4), recorder)
    np.testing.assert_allclose(recorder.train_X.ravel(), [-1, 1] * 3, rtol=1e-6)
    np.testing.assert_allclose(recorder.valid_X.ravel(), [-1, 1] * 2, rtol=1e-6)


def test_embeddings_out_of_all_proportion_to_those_trained_on_are_refused(rng):
    embeddings = rng.standard_normal((8, 2)).astype(np.float32)
    embeddings[:, 1] *= np.float32(1e-30)
    embeddings[6, 1] = 1e30
    message = r"of the scale of those .* trained on: 1 rows of fold 0 are not, e\.g\. row 6\."
    with pytest.raises(EvaluationError, match=message):
        evaluate(embeddings, np.arange(8) % 2, rows(6, 2), Recorder())


def test_rows_without_finite_probabilities_are_refused(rng):
    class Overflowing(Recorder):
        def predict_proba(self, X):
            probabilities = super().predict_proba(X)
            probabilities[1, np.abs(X).max(axis=1) > 1e30] = np.nan
            return probabilities

    embeddings = rng.standard_normal((8, 2)).astype(np.float32)
    embeddings[7] = 1e35
    with pytest.raises(EvaluationError, match=r"1 rows of fold 0 are not, e\.g\. row 7\."):
        evaluate(embeddings, np.arange(8) % 2, rows(6, 2), Overflowing())


def test_rows_without_a_label_are_predicted_and_not_trained_on(rng):
    embeddings = rng.standard_normal((10, 3)).astype(np.float32)
    label_ids = np.array([0, 1, -1, 0, 1, -1, -1, 0, 1, -1])
    recorder = Recorder()
    assert evaluate(embeddings, label_ids, rows(6, 4), recorder).shape == (2, 4, 2)
    assert recorder.train_y.tolist() == [0, 1, 0, 1]
    assert len(recorder.train_X) == 4
    np.testing.assert_allclose(recorder.train_X.mean(axis=0), 0, atol=1e-6)


def test_upsampling_repeats_training_rows_alone_and_comes_before_standardising():
    embeddings = np.array([[0], [0], [0], [4], [7], [9]], np.float32)
    label_ids = np.array([0, 0, 0, 1, -1, 0])
    recorder = Recorder()
    evaluate(embeddings, label_ids, rows(5, 1), recorder, upsample=True)
    assert recorder.train_y.tolist() == [0, 0, 0, 1, 1, 1]
    # Mean and standard deviation are both 2, as of [0, 0, 0, 4, 4, 4].
    np.testing.assert_allclose(recorder.train_X.ravel(), [-1, -1, -1, 1, 1, 1])
    np.testing.assert_allclose(recorder.valid_X.ravel(), [3.5])


def test_embeddings_of_another_size_are_refused(rng):
    classifier = fit_classifier(
        rng.standard_normal((6, 3)).astype(np.float32),
        np.arange(6) % 2,
        np.arange(6),
        fit=Recorder(),
        num_classes=2,
        seeds=[1],
    )
    message = "a classifier of embeddings of 3 values cannot predict embeddings of 4"
    with pytest.raises(EvaluationError, match=message):
        classifier.predict_proba(np.zeros((2, 4), np.float32))


def test_training_rows_of_one_class_are_refused():
    split, label_ids = rows(3, 1), np.array([1, 1, -1, 0])
    message = "fold 0 has 3 training rows, 2 of them with a label, of 1 classes"
    with pytest.raises(EvaluationError, match=message):
        evaluate(np.zeros((4, 2), np.float32), label_ids, split, Recorder())


@pytest.mark.parametrize("row", [0, 4])
def test_embeddings_that_are_not_finite_are_refused(row):
    embeddings = np.zeros((5, 2), np.float32)
    embeddings[row, 1] = np.nan
    with pytest.raises(EvaluationError, match=rf"1 rows of fold 0 are not, e\.g\. row {row}"):
        evaluate(embeddings, np.array([0, 1, 0, 1, 0]), rows(4, 1), Recorder())


def test_seeds_differ_between_folds_and_repeats_and_are_reproducible():
    seeds = [seed for base in (0, 1) for fold in (None, 0, 1) for seed in seeds_for(base, fold, 5)]
    assert len(set(seeds)) == 30
    assert seeds_for(0, 1, 5) == seeds_for(0, 1, 5)


def test_first_seeds_do_not_depend_on_the_number_of_repeats():
    assert seeds_for(3, 2, 5)[:2] == seeds_for(3, 2, 2)
