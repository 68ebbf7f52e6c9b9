"""Arrays in, small frozen dataclasses out; numpy and scipy only."""

from sweep.statistics.intervals import (
    SeedInterval,
    TotalInterval,
    TwoWay,
    brier_values,
    calibration_interval,
    calibration_values,
    f1_values,
    group_values,
    log_probabilities,
    loss_values,
    seed_interval,
    total_interval,
    two_way,
)

__all__ = [
    "SeedInterval",
    "TotalInterval",
    "TwoWay",
    "brier_values",
    "calibration_interval",
    "calibration_values",
    "f1_values",
    "group_values",
    "log_probabilities",
    "loss_values",
    "seed_interval",
    "total_interval",
    "two_way",
]
