"""A sweep's configurations on common seeds and images: the paired matrices that families of comparisons need.

A family is computed on the seeds that all its configurations have. Where too few would be left, the configurations
with the fewest seeds leave the family first, and are named. Imported predictions whose seeds have other numbers in
every configuration are matched in the numbers' order: seeds of different trainers have nothing in common, so any
matching is as good as another.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.frames import Configuration, Sweep, TestOutcomes, Units
from sweep.statistics import VarianceModel, count_units, f1_values, variance_model

Values = npt.NDArray[np.float64]
Match = Callable[[Sequence[Configuration]], tuple[tuple[int, ...], ...]]

SHARE_OF_SEEDS = 0.8


@dataclass(frozen=True, kw_only=True)
class Matrices:
    """The configurations that can be compared as one family, on the seeds that all of them have."""

    configurations: tuple[Configuration, ...]
    seeds: tuple[tuple[int, ...], ...]
    """(configurations, seeds): what stands in one column is compared with one another."""
    left_out: tuple[Configuration, ...]
    """Configurations with test results that have too few seeds in common with the others."""
    match: Match
    """How seeds are matched, for pairs outside the family as well."""
    n_classes: int
    units: Units
    """Which test images belong together, and in which folds they were met."""

    @property
    def names(self) -> tuple[str, ...]:
        """model/strategy of every configuration."""
        return tuple(each.name for each in self.configurations)

    @property
    def n_seeds(self) -> int:
        """Seeds of the family."""
        return len(self.seeds[0])

    @property
    def seeds_are_paired(self) -> bool:
        """Whether equal numbers stand in every column, so that what a seed draws is the same for all."""
        return len(set(self.seeds)) == 1

    @property
    def layout(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Numbers of model and strategy, one a configuration each."""
        models = np.unique([each.model for each in self.configurations], return_inverse=True)[1]
        strategies = np.unique([each.strategy for each in self.configurations], return_inverse=True)[1]
        return models, strategies

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that can be compared: none for a single test image or group, no loss without probabilities."""
        if count_units(self.n_images, self.units.groups) < 2:
            return ()
        told = all(outcomes.has_probabilities for outcomes in self.outcomes)
        return tuple(metric for metric in METRICS if told or metric != "loss")

    @property
    def n_images(self) -> int:
        """Test images."""
        return len(self.outcomes[0].labels)

    def values(self, metric: str) -> Values:
        """Return (configurations, seeds, images) values, whose mean over images is each seed's metric.

        Computed anew each time: of a large sweep the arrays of all metrics would not fit side by side.
        """
        return self.common(partial(per_image, metric=metric, n_classes=self.n_classes))

    def seed_means(self, metric: str) -> Values:
        """Return every seed's metric, (configurations, seeds)."""
        self._study(metric)
        return self._seed_means[metric]

    def common(self, of: Callable[[TestOutcomes], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return an array (configurations, seeds, images) of what is (seeds, images) in each, common seeds only."""
        matched = zip(self.outcomes, self.seeds, strict=True)
        return np.stack([of(outcomes)[outcomes.rows(seeds)] for outcomes, seeds in matched])

    def model(self, metric: str) -> VarianceModel:
        """Return the variances of a metric over all configurations; raises ValueError for fewer than two seeds."""
        self._study(metric)
        if metric not in self._models:
            raise ValueError("one seed: nothing tells the seeds' chance from a difference")
        return self._models[metric]

    def _study(self, metric: str) -> None:
        """Take from a metric's values all that is needed of them, once."""
        if metric in self._seed_means:
            return
        values = self.values(metric)
        self._seed_means[metric] = values.mean(axis=2)
        if self.n_seeds > 1:
            self._models[metric] = variance_model(values, self.units.groups, self.layout, folds=self.units.folds)

    @cached_property
    def _models(self) -> dict[str, VarianceModel]:
        return {}

    @cached_property
    def _seed_means(self) -> dict[str, Values]:
        return {}

    @cached_property
    def outcomes(self) -> tuple[TestOutcomes, ...]:
        """Of every configuration, all its seeds."""
        return tuple(each.outcomes for each in self.configurations if each.outcomes is not None)


METRICS = ("accuracy", "f1_macro", "f1_weighted", "loss")


def paired(sweep: Sweep) -> Matrices | None:
    """Return the family of all configurations with test results; None where there is none.

    At least four fifths of the planned seeds (three of three, two of two) must be common to all; until they are, the
    configuration with the fewest seeds leaves, of several the first by name. None leaves where that cannot leave the
    others more seeds.
    """
    staying = [each for each in sweep.configurations if each.records]
    if not staying:
        return None
    planned = {seed for each in sweep.configurations for seed in each.planned_seeds}
    n_planned = max(len(each.planned_seeds) for each in staying) if sweep.imported else len(planned)
    needed = math.ceil(SHARE_OF_SEEDS * n_planned)
    match = _match_of(sweep)
    left_out: list[Configuration] = []
    while len(match(staying)[0]) < min(needed, max(len(each.seeds) for each in staying)):
        leaving = min(staying, key=lambda each: (len(each.seeds), each.name))
        staying.remove(leaving)
        left_out.append(leaving)
    return _matrices(sweep, staying, left_out, match)


def paired_alone(sweep: Sweep, configurations: Sequence[Configuration]) -> Matrices | None:
    """Return a family of some configurations by themselves, on the seeds that they share; None where there is none."""
    match = _match_of(sweep)
    return _matrices(sweep, configurations, (), match) if match(configurations)[0] else None


def _match_of(sweep: Sweep) -> Match:
    """Return how seeds are matched: in a sweep by their numbers alone."""
    return matched_seeds if sweep.imported else common_seeds


def _matrices(
    sweep: Sweep, staying: Sequence[Configuration], left_out: Sequence[Configuration], match: Match
) -> Matrices:
    return Matrices(
        configurations=tuple(staying),
        seeds=match(staying),
        left_out=tuple(left_out),
        match=match,
        n_classes=len(sweep.classes),
        units=sweep.units_of(staying[0].outcomes),
    )


def common_seeds(configurations: Sequence[Configuration]) -> tuple[tuple[int, ...], ...]:
    """Return the seeds that all have completed, in the first one's order, once a configuration."""
    first, *others = configurations
    common = tuple(seed for seed in first.seeds if all(seed in other.seeds for other in others))
    return (common,) * len(configurations)


def matched_seeds(configurations: Sequence[Configuration]) -> tuple[tuple[int, ...], ...]:
    """Return the common seeds, unless that costs a configuration some that others would match: then in their order."""
    common = common_seeds(configurations)
    fewest = min(len(each.seeds) for each in configurations)
    return common if len(common[0]) == fewest else tuple(each.seeds[:fewest] for each in configurations)


def per_image(outcomes: TestOutcomes, metric: str, n_classes: int) -> Values:
    """Return (seeds, images) values of a metric whose mean over images is each seed's metric."""
    if metric == "accuracy":
        return outcomes.correct.astype(np.float64)
    if metric == "loss":
        return outcomes.loss
    return f1_values(outcomes.predicted, outcomes.labels, n_classes, "macro" if metric == "f1_macro" else "weighted")
