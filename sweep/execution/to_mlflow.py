"""Ray's MLflow logger: a store in the results folder, an experiment a folder, a run a trial."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.air.integrations.mlflow import MLflowLoggerCallback


class MLflow(MLflowLoggerCallback):
    """Runs in the store that MLFLOW_TRACKING_URI names, else in DIR/mlruns; the experiment is called after DIR."""

    def __init__(self, folder: Path) -> None:
        super().__init__(experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME") or folder.name)
        self._folder = folder / "mlruns"
        # They tell of every table of a new store, and of every try to reach a server; what comes of it is said.
        for talker in ("mlflow", "alembic", "urllib3.connectionpool"):
            logging.getLogger(talker).setLevel(logging.ERROR)

    def setup(self, *_: Any, **__: Any) -> None:
        """Open the store. MLflow 3.17 wants a database for a local one, and its artifacts in a place that is named."""
        # Ray has MLflow forget the variable where it is given no address.
        uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        if not uri:
            self._folder.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f"sqlite:///{self._folder / 'mlflow.db'}", (self._folder / "artifacts").as_uri()
        self.mlflow_util.setup_mlflow(
            tracking_uri=uri, experiment_name=self.experiment_name, artifact_location=artifacts
        )
        self.tags: dict[str, str] = {}
        self._trial_runs: dict[Any, str] = {}

    def log_trial_result(self, iteration: int, trial: Any, result: Mapping[str, float]) -> None:
        """Log metrics; Ray would log the step as one of them."""
        self.mlflow_util.log_metrics(run_id=self._trial_runs[trial], metrics_to_log=dict(result), step=iteration)

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Tag the run with the trial's status, and end it as finished or failed."""
        client = self.mlflow_util._get_client()
        client.set_tag(self._trial_runs[trial], "status", trial.status)
        super().log_trial_end(trial, failed)
