"""Ray's TensorBoard logger, with tags of our own."""

from collections.abc import Mapping
from typing import Any

from ray.tune.logger import TBXLoggerCallback


class TensorBoard(TBXLoggerCallback):
    """A run directory a trial, its filters and last values as hyperparameters."""

    def log_trial_result(self, iteration: int, trial: Any, result: Mapping[str, float]) -> None:
        """Write scalars; Ray would have them all begin with ray/tune."""
        for name, value in result.items():
            self._trial_writer[trial].add_scalar(name, value, global_step=iteration)
        self._trial_writer[trial].flush()
        self._trial_result[trial] = dict(result)
