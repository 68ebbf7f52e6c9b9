"""Ray's Weights & Biases logger, in this process: Ray starts two more for every trial, for runs that need none."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
from ray.air.integrations.wandb import WandbLoggerCallback


class WeightsAndBiases(WandbLoggerCallback):
    """A run a trial, grouped by results folder; offline in DIR/wandb where WANDB_MODE and WANDB_DIR say nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            project=os.environ.get("WANDB_PROJECT") or "animefer",
            group=os.environ.get("WANDB_RUN_GROUP") or folder.name,
            mode=os.environ.get("WANDB_MODE") or "offline",
            dir=os.environ.get("WANDB_DIR") or str(folder),
            # A trial's id is the same in every results folder, and W&B's ids are good for one run.
            id=None,
            reinit="create_new",
            # Its figures on the machine would be of the driver's, and its copy of the output the sweep's.
            settings=wandb.Settings(console="off", x_disable_stats=True),
        )
        self._runs: dict[Any, Any] = {}

    def __del__(self) -> None:
        # Ray's own ends the processes that it has started.
        return

    def setup(self, *_: Any, **__: Any) -> None:
        """Leave the key to W&B: Ray wants one that an offline run has no use for."""

    def _start_logging_actor(self, trial: Any, exclude_results: list[str], **wandb_init_kwargs: Any) -> None:
        self._runs[trial] = wandb.init(**wandb_init_kwargs)

    def log_trial_result(self, iteration: int, trial: Any, result: Mapping[str, float]) -> None:
        """Log values."""
        self._runs[trial].log(dict(result), step=iteration)

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Note the trial's status, and end the run."""
        run = self._runs.pop(trial)
        run.summary["status"] = trial.status
        run.finish(exit_code=int(failed))
