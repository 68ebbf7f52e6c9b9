"""Candidates of a search -> one Tuner: validation alone, and Tune's ASHA for each model, strategy and seed by itself.

The candidates are drawn beforehand (sweep/search/space.py) and given to Tune's basic variant generator as one axis,
so that a search is repeatable; ASHA (Li et al. 2020) stops the worse half after a quarter of the epochs, and of the
rest again after half of them. Which of two it stops depends on which came first: it waits for nobody.
"""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from animefer_core.config import TrialConfig, config_from
from animefer_core.data.pixels import ImageSet
from animefer_core.record import TrialRecord
from animefer_core.trial import identity, validate
from sweep.search.ledger import STOPPED, Ledger
from sweep.search.searches import Search


def validated(
    config: TrialConfig, data: ImageSet, weights: Any, *, device: str, on_epoch: Any, **_: Any
) -> TrialRecord:
    """Train and validate a candidate; what stands in for `run_trial`, and meets no test image.

    The record says nothing of the test, and is never written as a trial's.
    """
    found = validate(config, data, weights, device=device, on_epoch=on_epoch)
    return TrialRecord(
        **identity(config),
        status="completed",
        epochs_run=len(found.history),
        best_epoch=found.best_epoch,
        history=found.history,
        validation=found.metrics,
    )


class Halving(FIFOScheduler):
    """One of Tune's ASHA schedulers a search and seed, so that no model competes with another.

    It looks at the lowest validation loss so far, so that whatever it stops was already beaten by what goes on. A
    search's first candidate, the strategy as it stands, is never stopped, nor is anything after its last epoch.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._of: dict[str, tuple[Search, Any]] = {}
        self._entries: dict[str, list[Mapping[str, Any]]] = {}
        self._stopped: dict[str, TrialRecord] = {}
        for search in ledger.searches:
            for configs in zip(*(candidate.trials for candidate in search.candidates), strict=True):
                asha = _asha(search.grace)
                self._of |= {config.trial_id: (search, asha) for config in configs}
                _recall(asha, [ledger.result(config.trial_id) for config in configs])

    def stopped(self, config: TrialConfig) -> TrialRecord | None:
        """Return what a trial that was stopped had come to; None for one that was not."""
        return self._stopped.get(config.trial_id)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Enter a trial into the halving of its search."""
        self._of[_config(trial).trial_id][1].on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Say whether a trial goes on after an epoch."""
        config = _config(trial)
        search, asha = self._of[config.trial_id]
        if result["epoch"] == 1:
            # It may begin again after its process was lost.
            self._entries[config.trial_id] = []
        entries = self._entries[config.trial_id]
        entries.append({name: result[name] for name in ("epoch", "validation_loss", "validation_accuracy")})
        best = min(entries, key=lambda entry: float(entry["validation_loss"]))
        decision = asha.on_trial_result(tune_controller, trial, {**result, "validation_loss": best["validation_loss"]})
        spared = config.strategy == search.start.strategy or result["epoch"] >= search.epochs
        if decision != self.STOP or spared:
            return str(self.CONTINUE)
        self._stopped[config.trial_id] = _stopped_record(config, entries, best)
        return str(self.STOP)


def _asha(grace: int) -> Any:
    # Rungs at grace and twice that; max_t is the last rung, not an end, which a trial finds by itself.
    return ASHAScheduler(
        time_attr="epoch",
        metric="validation_loss",
        mode="min",
        max_t=2 * grace,
        grace_period=grace,
        reduction_factor=2,
        stop_last_trials=False,
    )


def _recall(asha: Any, results: Iterable[Mapping[str, Any]]) -> None:
    """Have ASHA hear of what an earlier call has trained, so that going on is as strict as never having stopped."""
    for number, result in enumerate(results):
        trial = SimpleNamespace(trial_id=f"earlier {number}")
        asha.on_trial_add(None, trial)
        for epoch, best in enumerate(accumulate(result.get("validation_losses", ()), min), start=1):
            asha.on_trial_result(None, trial, {"epoch": epoch, "validation_loss": best})


def _stopped_record(config: TrialConfig, entries: list[Mapping[str, Any]], best: Mapping[str, Any]) -> TrialRecord:
    return TrialRecord(
        **identity(config),
        status="completed",
        epochs_run=len(entries),
        best_epoch=best["epoch"],
        history=[dict(entry) for entry in entries],
        validation={"loss": best["validation_loss"], "accuracy": best["validation_accuracy"]},
        environment={STOPPED: True},
    )


def _config(trial: Any) -> TrialConfig:
    return config_from(trial.config["trial"])
