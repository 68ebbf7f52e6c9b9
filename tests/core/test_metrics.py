import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from animefer_core.metrics import cross_entropy, evaluate, expected_calibration_error

CLASSES = ("Angry", "Happy", "Sad", "Scared")

METRICS = {
    "accuracy",
    "loss",
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "f1_weighted",
    "ece",
    "per_class",
    "confusion",
}
"""What validation{} and test{} of a record promise."""


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (images, 4) and labels (images,); some classes may have no image, or never be predicted."""
    images = draw(st.integers(1, 90))
    labels = draw(hnp.arrays(np.int64, images, elements=st.integers(0, len(CLASSES) - 1)))
    # Quarters, so that ties of logits and of confidences happen.
    quarters = draw(hnp.arrays(np.int64, (images, len(CLASSES)), elements=st.integers(-40, 40)))
    return (quarters / 4).astype(np.float32), labels


def slow_ece(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the same by its definition: images in order of confidence, one at a time into bins, bin by bin."""
    images = len(confidence)
    bins = max(1, min(15, images // 4))
    held: list[list[int]] = [[] for _ in range(bins)]
    for rank, image in enumerate(sorted(range(images), key=lambda image: confidence[image])):
        held[rank * bins // images].append(image)
    gaps = [
        abs(sum(confidence[i] for i in bin_) / len(bin_) - sum(correct[i] for i in bin_) / len(bin_)) for bin_ in held
    ]
    return sum(len(bin_) / images * gap for bin_, gap in zip(held, gaps, strict=True))


class TestAgainstScikitLearn:
    @settings(deadline=None, max_examples=50)
    @given(outcomes())
    def test_macro_averages_run_over_the_classes_that_have_images(self, outcome):
        logits, labels = outcome
        ours = evaluate(logits, labels, CLASSES)
        theirs = precision_recall_fscore_support(
            labels, logits.argmax(axis=1), labels=np.unique(labels), average="macro", zero_division=0
        )
        assert (ours["precision_macro"], ours["recall_macro"], ours["f1_macro"]) == pytest.approx(theirs[:3])

    @settings(deadline=None, max_examples=50)
    @given(outcomes())
    def test_weighted_f1(self, outcome):
        logits, labels = outcome
        theirs = precision_recall_fscore_support(labels, logits.argmax(axis=1), average="weighted", zero_division=0)
        assert evaluate(logits, labels, CLASSES)["f1_weighted"] == pytest.approx(theirs[2])

    @settings(deadline=None, max_examples=50)
    @given(outcomes())
    def test_each_class(self, outcome):
        logits, labels = outcome
        theirs = precision_recall_fscore_support(
            labels, logits.argmax(axis=1), labels=range(len(CLASSES)), zero_division=0
        )
        for ours, name, *expected in zip(evaluate(logits, labels, CLASSES)["per_class"], CLASSES, *theirs, strict=True):
            assert ours["class"] == name
            assert [ours[key] for key in ("precision", "recall", "f1", "support")] == pytest.approx(expected)

    @settings(deadline=None, max_examples=50)
    @given(outcomes())
    def test_confusion_has_the_true_classes_as_rows(self, outcome):
        logits, labels = outcome
        theirs = confusion_matrix(labels, logits.argmax(axis=1), labels=range(len(CLASSES)))
        assert evaluate(logits, labels, CLASSES)["confusion"] == theirs.tolist()

    @settings(deadline=None, max_examples=50)
    @given(outcomes())
    def test_accuracy(self, outcome):
        logits, labels = outcome
        assert evaluate(logits, labels, CLASSES)["accuracy"] == accuracy_score(labels, logits.argmax(axis=1))


class TestLoss:
    @settings(deadline=None, max_examples=50)
    @given(outcomes())
    def test_it_is_torchs(self, outcome):
        logits, labels = outcome
        theirs = torch.nn.functional.cross_entropy(torch.tensor(logits).double(), torch.tensor(labels))
        assert cross_entropy(logits, labels) == pytest.approx(float(theirs), abs=1e-12)

    def test_large_logits_do_not_overflow(self):
        assert cross_entropy(np.array([[3e4, 0.0]], np.float32), np.array([1])) == 3e4

    def test_an_image_without_doubt_costs_nothing(self):
        assert cross_entropy(np.array([[1e4, 0.0]], np.float32), np.array([0])) == 0


class TestCalibration:
    @settings(deadline=None, max_examples=50)
    @given(outcomes())
    def test_it_is_the_definition_whatever_the_number_of_images(self, outcome):
        logits, labels = outcome
        confidence = torch.tensor(logits).double().softmax(dim=1).amax(dim=1).numpy()
        expected = slow_ece(confidence, logits.argmax(axis=1) == labels)
        assert evaluate(logits, labels, CLASSES)["ece"] == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("images", [1, 3, 4, 7, 8, 59, 60, 61, 450])
    def test_few_images_make_fewer_bins(self, images):
        rng = np.random.default_rng(images)
        confidence, correct = rng.uniform(0.3, 1, images), rng.random(images) < 0.6
        assert expected_calibration_error(confidence, correct) == pytest.approx(slow_ece(confidence, correct))

    def test_certain_and_right_is_calibrated(self):
        assert expected_calibration_error(np.ones(60), np.ones(60, dtype=bool)) == 0

    def test_certain_and_wrong_is_as_bad_as_can_be(self):
        assert expected_calibration_error(np.ones(60), np.zeros(60, dtype=bool)) == 1

    def test_certain_images_are_counted_among_others(self):
        confidence = np.array([0.5] * 4 + [1.0] * 4)
        correct = np.array([True, False, True, False] + [False] * 4)
        assert expected_calibration_error(confidence, correct) == pytest.approx(0.5)

    def test_ties_fill_bins_in_their_order(self):
        tied = np.full(8, 0.5)
        right_first = np.array([True] * 4 + [False] * 4)
        assert expected_calibration_error(tied, right_first) == 0.5
        assert expected_calibration_error(tied, np.tile([True, False], 4)) == 0

    def test_it_does_not_change_its_input(self):
        confidence = np.array([0.9, 0.2, 0.5, 0.4])
        expected_calibration_error(confidence, np.ones(4, dtype=bool))
        assert confidence.tolist() == [0.9, 0.2, 0.5, 0.4]


class TestFields:
    LOGITS = np.eye(4, dtype=np.float32)[[0, 1, 2, 2]]
    LABELS = np.array([0, 1, 2, 0])

    def test_every_metric_of_the_contract_is_there(self):
        assert set(evaluate(self.LOGITS, self.LABELS, CLASSES)) == METRICS

    def test_json_gives_them_back(self):
        metrics = evaluate(self.LOGITS, self.LABELS, CLASSES)
        assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics

    def test_a_class_without_images_and_predictions_warns_of_nothing(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scared = evaluate(self.LOGITS, self.LABELS, CLASSES)["per_class"][3]
        assert scared == {"class": "Scared", "precision": 0, "recall": 0, "f1": 0, "support": 0}

    def test_a_tie_of_logits_goes_to_the_first_class(self):
        assert evaluate(np.zeros((1, 4), np.float32), np.array([0]), CLASSES)["accuracy"] == 1
