"""What a sweep tells, in the shapes that the study's claims are made of: weights, matrices, draws.

All arrays run over the configurations that are compared, their common seeds and the test images, in this order.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from animefer_core.config import STUDY_MODELS
from animefer_core.record import TrialRecord
from sweep.frames import Configuration, Sweep, Units
from sweep.matrices import Matrices
from sweep.statistics import VarianceModel, calibration_values, variance_model
from sweep.verdicts import Floats, Ints, Resampled, resample

Pair = tuple[str, str]
LP, PT, FT, PG = STRATEGIES = ("linear_probe", "partial", "full", "progressive")
RESNET18, RESNET50, VIT_B, VIT_S = STUDY_MODELS
GRID: tuple[Pair, ...] = tuple((model, strategy) for model in STUDY_MODELS for strategy in STRATEGIES)
ANGRY, EMBARRASSED, HAPPY, PSYCHO, SCARED = "Angry", "Embarrassed", "Happy", "Psycho-Crazy", "Scared"

SETTLED = 12
"""The epoch by which the study has linear probes settled."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that is a mean over test images, or over those of one class."""

    name: str
    scale: float = 100.0
    """From a fraction to the unit of the table."""
    true: str | None = None
    """The class whose images count; None: all."""
    called: str | None = None
    """The class that they were predicted as."""


ACCURACY = Metric(name="accuracy")
LOSS = Metric(name="loss", scale=1.0)
CALIBRATION = Metric(name="squared calibration error", scale=1.0)


def rate(true: str, called: str) -> Metric:
    """Return the share of a class's images that are predicted as another, or its recall."""
    name = f"recall of {true}" if true == called else f"{true} taken for {called}"
    return Metric(name=name, true=true, called=called)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the compared configurations said of the test images, in the shapes that claims are made of."""

    sweep: Sweep
    matrices: Matrices

    def at(self, model: str, strategy: str) -> Floats:
        """Return the weights, (configurations,), of one configuration alone."""
        return np.asarray([each.name == f"{model}/{strategy}" for each in self.matrices.configurations], dtype=float)

    def rows(self, pairs: Iterable[Pair]) -> list[int]:
        """Return the configurations' places."""
        return [self.matrices.names.index(f"{model}/{strategy}") for model, strategy in pairs]

    @property
    def few_seeds(self) -> bool:
        """Whether nothing tells the seeds' chance."""
        return self.matrices.n_seeds < 2

    def class_number(self, name: str) -> int:
        """Return the number of the class that the study calls `name`."""
        return [plain(each) for each in self.sweep.classes].index(plain(name))

    @property
    def labels(self) -> Ints:
        """(images,) class numbers."""
        return self.matrices.outcomes[0].labels

    @cached_property
    def predicted(self) -> Ints:
        """(configurations, seeds, images) class numbers."""
        return np.asarray(self.matrices.common(lambda each: each.predicted))

    @cached_property
    def correct(self) -> Floats:
        """(configurations, seeds, images), 1 where right."""
        return np.asarray(self.predicted == self.labels, dtype=np.float64)

    def images(self, metric: Metric) -> npt.NDArray[np.intp]:
        """Return the places of the images that a metric is a mean over."""
        if metric.true is None:
            return np.arange(self.labels.size)
        return np.flatnonzero(self.labels == self.class_number(metric.true))

    def units(self, metric: Metric) -> Units:
        """Return which of those images belong together, and in which folds they were met."""
        return self.matrices.units.of(self.images(metric))

    def values(self, metric: Metric) -> Floats:
        """Return (configurations, seeds, images of the metric) values whose means are the metric, as a fraction."""
        if metric.called is not None:
            guesses = self.predicted[..., self.images(metric)]
            return np.asarray(guesses == self.class_number(metric.called), dtype=np.float64)
        if metric is CALIBRATION:
            return np.asarray(self.matrices.common(lambda each: calibration_values(each.confidence, each.correct)))
        return self.correct if metric is ACCURACY else np.asarray(self.matrices.common(lambda each: each.loss))

    def model(self, metric: Metric) -> VarianceModel:
        """Return a metric's variances over all configurations."""
        if metric in (ACCURACY, LOSS):
            return self.matrices.model(metric.name)
        units = self.units(metric)
        return variance_model(self.values(metric), units.groups, self.matrices.layout, folds=units.folds)

    def records(self, model: str, strategy: str) -> list[tuple[TrialRecord, ...]]:
        """Return a configuration's trials, one a fold, in the order of the common seeds."""
        (row,) = self.rows([(model, strategy)])
        of_seeds = self.matrices.configurations[row].of_seeds
        return [of_seeds[seed] for seed in self.matrices.seeds[row]]

    def over_folds(self, model: str, strategy: str, value: Callable[[TrialRecord], float]) -> Floats:
        """Return a number of a configuration's trials, (common seeds,): the mean over a seed's folds."""
        return np.array([np.mean([value(each) for each in records]) for records in self.records(model, strategy)])

    def best(self, model: str) -> str:
        """Return the fine-tuning strategy with the highest validation accuracy, a mean over the common seeds."""
        return max((PT, FT, PG), key=lambda strategy: self.over_folds(model, strategy, _validation_accuracy).mean())

    def gain(self, model: str) -> Floats:
        """Return the weights of a model's best strategy less its linear probe."""
        return self.at(model, self.best(model)) - self.at(model, LP)

    @cached_property
    def resampled(self) -> Resampled:
        """Draws of the two-way bootstrap, the same for all claims."""
        return resample(self.matrices.n_seeds, self.labels.size, self.matrices.units.groups, np.random.default_rng(0))


def plain(name: str) -> str:
    """Return a class's name with case and separators made alike."""
    return name.casefold().replace("_", "-").replace(" ", "-")


def _validation_accuracy(record: TrialRecord) -> float:
    return float(record.validation["accuracy"])


def validation_rows(record: TrialRecord) -> Ints:
    """Return the images of a record's validation part, ascending; none without predictions."""
    return np.empty(0, dtype=np.int64) if record.predictions is None else np.sort(record.predictions.validation_index)


def validation_correct(record: TrialRecord) -> Floats:
    """Return (validation images,) 1 where right, images ascending."""
    if record.predictions is None:
        return np.empty(0)
    part = record.predictions
    right: npt.NDArray[np.bool_] = part.validation_logits.argmax(axis=1) == part.validation_labels
    return right[np.argsort(part.validation_index, kind="stable")].astype(np.float64)


def _probabilities(configurations: Sequence[Configuration]) -> bool:
    return all(each.has_probabilities for each in configurations)


def _validation(configurations: Sequence[Configuration]) -> bool:
    """Return whether all trials have validation accuracies, on the same images."""
    records = [record for each in configurations for record in each.records]
    first = validation_rows(records[0])
    return first.size > 0 and all(
        record.validation.get("accuracy") is not None and np.array_equal(validation_rows(record), first)
        for record in records
    )


def _training(configurations: Sequence[Configuration]) -> bool:
    return all(record.history for each in configurations for record in each.records)


def _epochs(configurations: Sequence[Configuration]) -> bool:
    return any(_allowed(record) > SETTLED for each in configurations for record in each.records)


def _allowed(record: TrialRecord) -> int:
    """Return the epochs that a trial might have run."""
    longest = record.config.get("strategy", {}).get("max_epochs", record.epochs_run)
    cap = record.config.get("epochs_cap")
    return int(longest if cap is None else min(longest, cap))


NEEDS: Mapping[str, tuple[Callable[[Sequence[Configuration]], bool], str]] = {
    "probabilities": (_probabilities, "predicted classes alone have neither loss nor calibration"),
    "validation": (_validation, "not all trials have predictions of the same validation images"),
    "training": (_training, "nothing is known of the training"),
    "epochs": (_epochs, f"no linear probe was given more than {SETTLED} epochs"),
}
"""Name -> whether the configurations of a claim tell it, and the reason why not."""
