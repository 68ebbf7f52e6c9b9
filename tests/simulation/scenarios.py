"""What is simulated: every cell of the documentation's table, and the bounds that it must keep."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from sweep.statistics import aurc_interval, calibration_interval, f1_values, total_interval
from sweep.statistics.comparisons import variance_model
from sweep.statistics.families import Layout, pair_contrasts
from sweep.statistics.ranking import best_of, ranks_of
from tests.simulation.world import EIGHTFOLD, LARGE, NOISE_SD, SMALL, STUDY_LAYOUT, World, equal, study

Floats = npt.NDArray[np.float64]
Measure = Callable[[np.random.Generator], tuple[float, ...]]
"""One draw's figures, one a quantity."""

COVERAGE = (0.93, 0.975)
AT_LEAST = (0.93, 1.0)
SMOOTH = (0.91, 1.0)
"""Of metrics whose linearisation is only nearly their own."""
NO_BOUND = (0.0, 1.0)
WORTH_FINDING = 0.008
"""Power counts the pairs whose true accuracies are further apart."""


FEW = (
    "three seeds tell the seeds' variance with two degrees of freedom, and where it rules, Satterthwaite's "
    "approximation gives too many"
)
PRIOR = (
    "with fewer than 8 configurations the prior that is fitted to their seed variances is taken as known, and four "
    "variances cannot tell that they are eightfold apart; with so many images the seeds rule"
)
ALONE = (
    "a single configuration that is sensitive to its training images, among fifteen that are not, is taken for more "
    "like them than it is: 3 or 5 folds cannot tell it from chance"
)


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
    why: str = ""
    """The reason, where the figure is known to lie outside its bounds."""


def scenarios() -> Iterator[Scenario]:
    """Yield every cell of the table."""
    yield from _totals()
    yield from _differences()
    yield from _families_of_120()
    yield from _small_families()
    yield from _other_sizes()
    yield from _probabilities()
    yield from _in_folds()
    yield from _unusual_worlds()


def covers_mean(world: World, n_seeds: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Whether the total interval of the first configuration holds its accuracy."""
    groups = world.groups if world.group_sizes else None
    interval = total_interval(world.draw(rng, n_seeds)[0], groups=groups, folds=world.folds)
    return (float(interval.low <= world.accuracies[0] <= interval.high),)


def covers_difference(world: World, n_seeds: int, rng: np.random.Generator) -> tuple[float, ...]:
    """The share of all pairs whose own interval holds the true difference."""
    family = variance_model(world.draw(rng, n_seeds), folds=world.folds).family(pair_contrasts(len(world.accuracies)))
    truth = pair_contrasts(len(world.accuracies)) @ world.accuracies
    return (float(np.mean((family.low <= truth) & (truth <= family.high))),)


def errs_anywhere(world: World, n_seeds: int, layout: Layout | None, rng: np.random.Generator) -> tuple[float, ...]:
    """Whether any of all pairs of equal configurations is called different; a collapsed one is not equal."""
    model = variance_model(world.draw(rng, n_seeds), layout=layout, folds=world.folds)
    contrasts = pair_contrasts(len(world.accuracies))
    if world.collapsed_to is not None:
        contrasts = contrasts[contrasts[:, 0] == 0]
    return (float((model.family(contrasts).p_adjusted < 0.05).any()),)


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
                    why=FEW if n_seeds == 3 else "",
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
                    why=FEW if n_seeds == 3 else "",
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
            draws=600,
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
            draws=300,
        )
    yield Scenario(
        section="All 120 pairs of 16 configurations",
        name="all equal, large, 5 seeds, 3000 images",
        bounds={"family-wise error": (0.0, 0.07)},
        measure=partial(errs_anywhere, equal(16, LARGE, 3000), 5, STUDY_LAYOUT),
        draws=300,
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


def _other_sizes() -> Iterator[Scenario]:
    """Yield families at other numbers of images than 450, and at two seeds."""
    section = "Families at other sizes"
    for n_configurations, draws in ((2, 3000), (4, 2000), (16, 300)):
        layout = STUDY_LAYOUT if n_configurations == 16 else None
        for n_images in (150, 3000):
            yield Scenario(
                section=section,
                name=f"{n_configurations} equal configurations, eightfold, 5 seeds, {n_images} images",
                bounds={"family-wise error": (0.0, 0.07)},
                measure=partial(errs_anywhere, equal(n_configurations, EIGHTFOLD, n_images), 5, layout),
                draws=draws,
                why=PRIOR if n_configurations == 4 else "",
            )
        yield Scenario(
            section=section,
            name=f"{n_configurations} equal configurations, eightfold, two seeds (the report warns)",
            bounds={"family-wise error": NO_BOUND},
            measure=partial(errs_anywhere, equal(n_configurations, EIGHTFOLD), 2, layout),
            draws=draws,
        )
    for n_seeds in (3, 5):
        spread = replace(equal(4, EIGHTFOLD), accuracies=np.array([0.7, 0.73, 0.76, 0.79]))
        yield Scenario(
            section=section,
            name=f"4 configurations 3 points apart, eightfold, {n_seeds} seeds",
            bounds={"power": NO_BOUND, "best in the set": AT_LEAST, "true ranks inside": AT_LEAST},
            measure=partial(finds, spread, n_seeds, None),
            draws=2000,
        )


OVERCONFIDENT = 1.5
"""How much steeper confidence rises with the signal than the chance to be right."""


def _confidence(signals: Floats) -> Floats:
    return np.asarray(special.ndtr(OVERCONFIDENT * signals / NOISE_SD))


def _probabilities() -> Iterator[Scenario]:
    """Yield loss, calibration error and AURC: the confidence in the answer is a steep function of its signal."""
    for n_seeds in (3, 5, 10):
        for spread, seed_sd in (("small", SMALL), ("large", LARGE)):
            yield Scenario(
                section="Loss, calibration error and AURC of overconfident models",
                name=f"{spread} seed spread, 450 images, {n_seeds} seeds",
                bounds={"coverage, loss": COVERAGE, "coverage, calibration error": SMOOTH, "coverage, AURC": SMOOTH},
                measure=partial(covers_probabilities, equal(1, seed_sd, accuracy=0.78), n_seeds),
                draws=1500,
                why=FEW if n_seeds == 3 else "",
            )


def covers_probabilities(world: World, n_seeds: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Whether the total intervals of loss, calibration error and AURC hold their values on endless images."""
    signals, right = world.draw_signals(rng, n_seeds)
    confidence = _confidence(signals)
    loss = -np.log(np.where(right, confidence, 1 - confidence).clip(1e-12))
    found = (
        total_interval(loss),
        calibration_interval(confidence, right),
        aurc_interval(confidence, right),
    )
    return tuple(
        float(each.low <= truth <= each.high) for each, truth in zip(found, true_probabilities(world), strict=True)
    )


def true_probabilities(world: World) -> tuple[float, float, float]:
    """Return loss, calibration error in 15 bins of equal mass, and AURC, by quadrature over the signal."""
    signals = world.signal_quantiles(150_000)
    chance, confidence = special.ndtr(signals / NOISE_SD), _confidence(signals).clip(1e-12, 1 - 1e-12)
    loss = -(chance * np.log(confidence) + (1 - chance) * np.log1p(-confidence)).mean()
    # Confidence rises with the signal, so that the bins are the signal's.
    gaps = (confidence - chance).reshape(15, -1).mean(axis=1)
    risk = (1 - chance)[::-1].cumsum() / np.arange(1, signals.size + 1)
    return float(loss), float(np.sqrt((gaps**2).mean())), float(risk.mean())


def _in_folds() -> Iterator[Scenario]:
    section = "Folds: every image tested once a seed, by models trained on the other folds"
    for n_folds in (3, 5):
        one = (LARGE, *15 * (0.0,))
        effects = (("none", (0.0,)), ("small", (SMALL,)), ("large", (LARGE,)), ("large on one configuration", one))
        for effect, fold_sd in effects:
            name = f"{n_folds} folds, effect of the training images {effect}, 5 seeds"
            folded = {"n_images": 900, "n_folds": n_folds, "fold_sd": fold_sd}
            if fold_sd is one:
                yield from _one_sensitive(section, name, folded)
            yield Scenario(
                section=section,
                name=f"total interval, {name}",
                bounds={"coverage": AT_LEAST},
                measure=partial(covers_mean, replace(equal(1, SMALL), **folded), 5),
                draws=4000,
            )
            for n_configurations, draws in ((2, 3000), (4, 2000), (16, 500)):
                yield Scenario(
                    section=section,
                    name=f"all pairs of {n_configurations} equal configurations, {name}",
                    bounds={"family-wise error": (0.0, 0.07)},
                    measure=partial(
                        errs_anywhere,
                        replace(equal(n_configurations, SMALL), **folded),
                        5,
                        STUDY_LAYOUT if n_configurations == 16 else None,
                    ),
                    draws=draws,
                )


def _one_sensitive(section: str, name: str, folded: dict[str, Any]) -> Iterator[Scenario]:
    """Yield the coverage of the pairs of a configuration that alone is sensitive to its training images."""
    for n_configurations, draws in ((4, 2000), (16, 300)):
        yield Scenario(
            section=section,
            name=f"its differences from {n_configurations - 1} others, {name}",
            bounds={"coverage": AT_LEAST},
            measure=partial(covers_first_differences, replace(equal(n_configurations, SMALL), **folded), 5),
            draws=draws,
            why=ALONE if n_configurations == 16 else "",
        )


def covers_first_differences(world: World, n_seeds: int, rng: np.random.Generator) -> tuple[float, ...]:
    """The share of the first configuration's pairs whose own interval holds the true difference."""
    contrasts = pair_contrasts(len(world.accuracies))
    contrasts = contrasts[contrasts[:, 0] == 1]
    family, truth = (
        variance_model(world.draw(rng, n_seeds), folds=world.folds).family(contrasts),
        contrasts @ world.accuracies,
    )
    return (float(np.mean((family.low <= truth) & (truth <= family.high))),)


def covers_f1(world: World, n_seeds: int, absent: bool, rng: np.random.Generator) -> tuple[float, ...]:
    """Whether the total interval of macro F1 holds its value on a vast test set; three classes, one perhaps absent.

    A wrong answer is the next class, so that F1 follows from accuracy alone.
    """
    labels = np.arange(world.n_images) % (2 if absent else 3)
    right = world.draw(rng, n_seeds)[0]
    predicted = np.where(right, labels, (labels + 1) % 3)
    interval = total_interval(f1_values(predicted, labels, 3))
    return (float(interval.low <= true_f1(float(world.accuracies[0]), absent) <= interval.high),)


def true_f1(accuracy: float, absent: bool) -> float:
    """Return macro F1 where every class is right with this chance and wrong answers are the next class."""
    if not absent:
        return accuracy
    # Class 0: nothing is mistaken for it (class 2 is absent); class 1: class 0's errors are.
    return (2 * accuracy / (1 + accuracy) + accuracy) / 2


def _unusual_worlds() -> Iterator[Scenario]:
    section = "Where trouble may be expected"
    for accuracy in (0.0, 0.02, 0.995, 1.0):
        yield Scenario(
            section=section,
            name=f"accuracy {accuracy:.1%}, 5 seeds, 150 images",
            bounds={"coverage": AT_LEAST},
            measure=partial(covers_mean, equal(1, SMALL, 150, accuracy), 5),
            draws=4000,
        )
    for spread, seed_sd, lowest in (("small", SMALL, 0.93), ("large", LARGE, 0.90)):
        yield Scenario(
            section=section,
            name=f"two seeds, {spread} seed spread, 450 images (the report warns)",
            bounds={"coverage": (lowest, 1.0)},
            measure=partial(covers_mean, equal(1, seed_sd), 2),
            draws=4000,
        )
    yield Scenario(
        section=section,
        name="40 images, 5 seeds",
        bounds={"coverage": COVERAGE},
        measure=partial(covers_mean, equal(1, SMALL, 40), 5),
        draws=4000,
    )
    for n_images in (450, 1350):
        yield Scenario(
            section=section,
            name=f"groups of 1 to 30 images, {n_images} images, 5 seeds",
            bounds={"coverage": (0.92, 0.975)},
            measure=partial(covers_mean, replace(equal(1, SMALL, n_images), group_sizes=(1, 2, 30, 5, 1, 12, 3)), 5),
            draws=4000,
        )
    for absent in (False, True):
        yield Scenario(
            section=section,
            name=f"macro F1, {'one of three classes without a test image' if absent else 'three classes'}, 5 seeds",
            bounds={"coverage": COVERAGE},
            measure=partial(covers_f1, equal(1, SMALL), 5, absent),
            draws=4000,
        )
    many = equal(100, LARGE)
    for name, world, draws in (
        ("4 with a strong common effect of the seeds", replace(equal(4, SMALL), common_seed_sd=0.4), 2000),
        ("16 with a strong common effect of the seeds", replace(equal(16, SMALL), common_seed_sd=0.4), 500),
        ("4 of which one run of one collapsed", replace(equal(4, SMALL), collapsed_to=0.2), 2000),
        ("16 of which one run of one collapsed", replace(equal(16, SMALL), collapsed_to=0.2), 500),
        ("100 configurations", many, 60),
    ):
        yield Scenario(
            section=section,
            name=f"all pairs of equal ones, {name}, 5 seeds",
            bounds={"family-wise error": (0.0, 0.07)},
            measure=partial(errs_anywhere, world, 5, STUDY_LAYOUT if len(world.accuracies) == 16 else None),
            draws=draws,
        )
