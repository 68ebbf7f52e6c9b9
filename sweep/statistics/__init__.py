"""Arrays in, small frozen dataclasses out; numpy and scipy only."""

from sweep.statistics.comparisons import compare_all, variance_model
from sweep.statistics.families import CrossSquares, Family, VarianceModel, cross_squares, pair_contrasts
from sweep.statistics.folds import SplitInterval, split_interval
from sweep.statistics.intervals import (
    SeedInterval,
    TotalInterval,
    TwoWay,
    brier_values,
    calibration_interval,
    calibration_values,
    class_f1_values,
    count_units,
    equal_mass_bins,
    f1_values,
    group_values,
    log_probabilities,
    loss_values,
    seed_interval,
    total_interval,
    two_way,
)
from sweep.statistics.power import Components, Decision, components, what_decides
from sweep.statistics.ranking import best_of, best_set, rank_intervals, ranks_of
from sweep.statistics.selective import aurc, aurc_interval, risk_by_coverage
from sweep.statistics.variance import Component, Sources, sd_interval, sources, spread_between, summed

__all__ = [
    "Component",
    "Components",
    "CrossSquares",
    "Decision",
    "Family",
    "SeedInterval",
    "Sources",
    "SplitInterval",
    "TotalInterval",
    "TwoWay",
    "VarianceModel",
    "aurc",
    "aurc_interval",
    "best_of",
    "best_set",
    "brier_values",
    "calibration_interval",
    "calibration_values",
    "class_f1_values",
    "compare_all",
    "components",
    "count_units",
    "cross_squares",
    "equal_mass_bins",
    "f1_values",
    "group_values",
    "log_probabilities",
    "loss_values",
    "pair_contrasts",
    "rank_intervals",
    "ranks_of",
    "risk_by_coverage",
    "sd_interval",
    "seed_interval",
    "sources",
    "split_interval",
    "spread_between",
    "summed",
    "total_interval",
    "two_way",
    "variance_model",
    "what_decides",
]
