"""The short form of the simulations: every kind of world, few draws, a tolerance that follows from their number.

The long form is `python -m tests.simulation`, whose table is docs/simulations.md.
"""

import pytest

from tests.simulation.cells import measure
from tests.simulation.scenarios import Scenario, scenarios

DRAWS = {
    "Total interval of one configuration": 400,
    "Interval of one difference": 150,
    "All 120 pairs of 16 configurations": 30,
    "All pairs of fewer configurations": 60,
    "Families at other sizes": 60,
    "Loss, calibration error and AURC of overconfident models": 60,
    "Folds: every image tested once a seed, by models trained on the other folds": 400,
    "Where trouble may be expected": 300,
}
SLOW = (
    "16 configurations",
    "16 equal configurations",
    "15 others",
    "100 configurations",
    "16 with",
    "16 of",
    "3000 images",
)
TOLERANCE = 3.5
"""Standard errors: of some hundred figures, one in twenty runs of another seed would exceed it somewhere."""


def chosen() -> list[Scenario]:
    """Every cheap scenario, and of 120 pairs those at five seeds."""
    return [
        each
        for each in scenarios()
        if (each.section.startswith("All 120") and ", 5 seeds" in each.name and "3000" not in each.name)
        or not (each.section.startswith("All 120") or any(mark in each.name for mark in SLOW))
    ]


@pytest.mark.parametrize("scenario", chosen(), ids=lambda each: f"{each.section}: {each.name}")
def test_figures_keep_their_bounds(scenario):
    for cell in measure(scenario, DRAWS[scenario.section]):
        assert cell.inside(TOLERANCE), f"{cell.quantity} {cell.mean:.3f}, allowed {cell.lowest} to {cell.highest}"
