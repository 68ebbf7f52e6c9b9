"""Logits and labels -> every number that the study reports, and calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, softmax

CALIBRATION_BINS = 15
IMAGES_A_BIN = 4


def evaluate(
    logits: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.int64], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the contract's metrics as JSON-ready numbers.

    logits (images, classes), labels (images,) class numbers; `classes` names the columns. Loss is the mean
    cross-entropy in nats; all else are fractions. Macro averages run over the classes that have at least one
    image here: a class without one has no recall to average. `confusion` has the true classes as its rows.
    """
    scores = np.asarray(logits, dtype=np.float64)
    predicted = scores.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    hits, support, named = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = _share(hits, named), _share(hits, support)
    f1 = _share(2 * hits, named + support)
    present = support > 0
    return {
        "accuracy": float((predicted == labels).mean()),
        "loss": cross_entropy(scores, labels),
        "precision_macro": float(precision[present].mean()),
        "recall_macro": float(recall[present].mean()),
        "f1_macro": float(f1[present].mean()),
        "f1_weighted": float(np.average(f1, weights=support)),
        "ece": expected_calibration_error(softmax(scores, axis=1).max(axis=1), predicted == labels),
        "per_class": [
            {
                "class": name,
                "precision": float(precision[number]),
                "recall": float(recall[number]),
                "f1": float(f1[number]),
                "support": int(support[number]),
            }
            for number, name in enumerate(classes)
        ],
        "confusion": confusion.tolist(),
    }


def _share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return part / whole, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def cross_entropy(logits: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.int64]) -> float:
    """Return the mean of log-sum-exp minus the true class's logit, in float64; logits (images, classes)."""
    scores = np.asarray(logits, dtype=np.float64)
    return float((logsumexp(scores, axis=1) - scores[np.arange(len(labels)), labels]).mean())


def expected_calibration_error(confidence: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_]) -> float:
    """Return the top-label expected calibration error with 15 bins of equal mass (Guo et al. 2017, binned by rank).

    confidence and correct are (images,). The image of rank r falls into bin r * bins // images, ties in stable
    order; fewer bins where they would hold fewer than four images each.
    """
    images = len(confidence)
    bins = max(1, min(CALIBRATION_BINS, images // IMAGES_A_BIN))
    gap = (confidence - correct)[np.argsort(confidence, kind="stable")]
    bin_of_rank = np.arange(images) * bins // images
    return float(np.abs(np.bincount(bin_of_rank, weights=gap, minlength=bins)).sum() / images)
