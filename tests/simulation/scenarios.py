"""What is simulated: every cell of the documentation's table, and the bounds that it must keep."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from sweep.statistics import total_interval
from sweep.statistics.comparisons import variance_model
from sweep.statistics.families import Layout, pair_contrasts
from sweep.statistics.ranking import best_of, ranks_of
from tests.simulation.world import EIGHTFOLD, LARGE, SMALL, STUDY_LAYOUT, World, equal, study

Floats = npt.NDArray[np.float64]
Measure = Callable[[np.random.Generator], tuple[float, ...]]
"""One draw's figures, one a quantity."""

COVERAGE = (0.93, 0.975)
AT_LEAST = (0.93, 1.0)
WORTH_FINDING = 0.008
"""Power counts the pairs whose true accuracies are further apart."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A world, what is measured in it, and between which bounds the mean of each figure must lie."""

    section: str
    name: str
    bounds: dict[str, tuple[float, float]]
    """Quantity -> (lowest, highest)."""
    measure: Measure
    draws: int
    """Of the long form."""


def scenarios() -> Iterator[Scenario]:
    """Yield every cell of the table."""
    yield from _totals()
    yield from _differences()
    yield from _families_of_120()
    yield from _small_families()


def covers_mean(world: World, n_seeds: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Whether the total interval of the first configuration holds its accuracy."""
    groups = world.groups if world.group_sizes else None
    interval = total_interval(world.draw(rng, n_seeds)[0], groups=groups)
    return (float(interval.low <= world.accuracies[0] <= interval.high),)


def covers_difference(world: World, n_seeds: int, rng: np.random.Generator) -> tuple[float, ...]:
    """The share of all pairs whose own interval holds the true difference."""
    family = variance_model(world.draw(rng, n_seeds)).family(pair_contrasts(len(world.accuracies)))
    truth = pair_contrasts(len(world.accuracies)) @ world.accuracies
    return (float(np.mean((family.low <= truth) & (truth <= family.high))),)


def errs_anywhere(world: World, n_seeds: int, layout: Layout | None, rng: np.random.Generator) -> tuple[float, ...]:
    """Whether any of all pairs of equal configurations is called different."""
    model = variance_model(world.draw(rng, n_seeds), layout=layout)
    return (float((model.family(pair_contrasts(len(world.accuracies))).p_adjusted < 0.05).any()),)


def finds(world: World, n_seeds: int, layout: Layout | None, rng: np.random.Generator) -> tuple[float, ...]:
    """Power; whether the best is in the set of the best; how many rank intervals hold the true rank."""
    n_configurations = len(world.accuracies)
    model = variance_model(world.draw(rng, n_seeds), layout=layout)
    contrasts = pair_contrasts(n_configurations)
    family, truth = model.family(contrasts), contrasts @ world.accuracies
    worth = np.abs(truth) > WORTH_FINDING
    right = (family.p_adjusted < 0.05) & (np.sign(family.difference) == np.sign(truth))
    ranks = ranks_of(model, n_configurations)
    place = 1 + (world.accuracies[:, None] < world.accuracies).sum(axis=1)
    return (
        float(right[worth].mean()),
        float(best_of(model, n_configurations)[world.accuracies.argmax()]),
        float(((ranks[:, 0] <= place) & (place <= ranks[:, 1])).mean()),
    )


def _totals() -> Iterator[Scenario]:
    for spread, seed_sd in (("small", SMALL), ("large", LARGE)):
        for n_images in (150, 450, 3000):
            for n_seeds in (3, 5, 10):
                yield Scenario(
                    section="Total interval of one configuration",
                    name=f"{spread} seed spread, {n_images} images, {n_seeds} seeds",
                    bounds={"coverage": COVERAGE},
                    measure=partial(covers_mean, equal(1, seed_sd, n_images, 0.78), n_seeds),
                    draws=4000,
                )


def _differences() -> Iterator[Scenario]:
    for n_configurations in (2, 4, 16):
        for spread, seed_sd in (("small", SMALL), ("large", LARGE)):
            for n_seeds in (3, 5, 10):
                world = replace(equal(n_configurations, seed_sd), accuracies=np.linspace(0.7, 0.8, n_configurations))
                yield Scenario(
                    section="Interval of one difference",
                    name=f"{n_configurations} configurations, {spread} seed spread, {n_seeds} seeds",
                    bounds={"coverage": COVERAGE},
                    measure=partial(covers_difference, world, n_seeds),
                    draws=4000 if n_configurations < 16 else 400,
                )


# Family-wise error and power that moderated variances and Holm's correction, or the posterior's draws, must reach:
# (spread, seeds) -> power, from an independent program on the same world.
POWER = {
    ("small", 3): 0.54,
    ("small", 5): 0.62,
    ("small", 10): 0.67,
    ("large", 3): 0.12,
    ("large", 5): 0.27,
    ("large", 10): 0.47,
    ("eightfold by model", 3): 0.29,
    ("eightfold by model", 5): 0.41,
    ("eightfold by model", 10): 0.54,
    ("eightfold in no order", 3): 0.23,
    ("eightfold in no order", 5): 0.39,
    ("eightfold in no order", 10): 0.56,
}
SPREADS: dict[str, tuple[float, ...]] = {
    "small": (SMALL,),
    "large": (LARGE,),
    "eightfold by model": tuple(np.repeat(EIGHTFOLD, 4)),
    "eightfold in no order": tuple(np.repeat(EIGHTFOLD, 4)[[9, 2, 14, 5, 0, 11, 7, 12, 3, 8, 15, 4, 10, 1, 6, 13]]),
}


def _families_of_120() -> Iterator[Scenario]:
    for (spread, n_seeds), power in POWER.items():
        sd = SPREADS[spread]
        yield Scenario(
            section="All 120 pairs of 16 configurations",
            name=f"all equal, {spread}, {n_seeds} seeds",
            bounds={"family-wise error": (0.0, 0.10 if n_seeds == 3 else 0.07)},
            measure=partial(errs_anywhere, equal(16, sd), n_seeds, STUDY_LAYOUT),
            draws=1200,
        )
        yield Scenario(
            section="All 120 pairs of 16 configurations",
            name=f"the study's accuracies, {spread}, {n_seeds} seeds",
            bounds={
                "power": (power - 0.03, 1.0),
                "best in the set": AT_LEAST,
                "true ranks inside": AT_LEAST,
            },
            measure=partial(finds, study(sd), n_seeds, STUDY_LAYOUT),
            draws=600,
        )
    yield Scenario(
        section="All 120 pairs of 16 configurations",
        name="all equal, large, 5 seeds, 3000 images",
        bounds={"family-wise error": (0.0, 0.07)},
        measure=partial(errs_anywhere, equal(16, LARGE, 3000), 5, STUDY_LAYOUT),
        draws=600,
    )


def _small_families() -> Iterator[Scenario]:
    for n_configurations in (2, 3, 4, 7, 8, 12):
        for n_seeds in (3, 5, 10):
            for spread, sd in (("large", LARGE), ("eightfold", EIGHTFOLD)):
                yield Scenario(
                    section="All pairs of fewer configurations",
                    name=f"{n_configurations} equal configurations, {spread}, {n_seeds} seeds",
                    bounds={"family-wise error": (0.0, 0.10 if n_seeds == 3 else 0.07)},
                    measure=partial(errs_anywhere, equal(n_configurations, sd), n_seeds, None),
                    draws=3000 if n_configurations < 8 else 800,
                )
