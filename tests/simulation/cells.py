"""One scenario -> the figures that it gives, with what the draws leave open."""

import math
import zlib
from dataclasses import dataclass

import numpy as np

from tests.simulation.scenarios import Scenario


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One measured figure."""

    section: str
    name: str
    quantity: str
    mean: float
    error: float
    """Standard error of the mean over draws."""
    draws: int
    lowest: float
    highest: float
    why: str
    """The reason, where it is known to lie outside."""

    def inside(self, errors: float = 2.0) -> bool:
        """Whether the figure is within its bounds, or so near that the draws cannot tell: by so many standard errors.

        Of a share of draws at the bound, which is an upper bound where a draw gives a share itself.
        """
        below, above = (errors * math.sqrt(bound * (1 - bound) / self.draws) for bound in (self.lowest, self.highest))
        return self.lowest - below <= self.mean <= self.highest + above


def measure(scenario: Scenario, draws: int) -> list[Cell]:
    """Draw a scenario so many times, from a stream of its own, and return its figures."""
    rng = np.random.default_rng(zlib.crc32(f"{scenario.section}: {scenario.name}".encode()))
    figures = np.array([scenario.measure(rng) for _ in range(draws)])
    means, errors = figures.mean(axis=0), figures.std(axis=0, ddof=1) / math.sqrt(draws)
    return [
        Cell(
            section=scenario.section,
            name=scenario.name,
            quantity=quantity,
            mean=float(mean),
            error=float(error),
            draws=draws,
            lowest=lowest,
            highest=highest,
            why=scenario.why,
        )
        for (quantity, (lowest, highest)), mean, error in zip(scenario.bounds.items(), means, errors, strict=True)
    ]
