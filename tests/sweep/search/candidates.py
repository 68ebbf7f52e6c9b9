"""Searches for tests, and records of their trials with planned validation losses."""

from animefer_core.config import TrialConfig
from animefer_core.record import TrialRecord
from animefer_core.trial import failed_record, identity
from sweep.plan import grid
from sweep.search.ledger import STOPPED
from sweep.search.searches import Search, divided_for, searches_for
from sweep.settings import Settings, resolve
from tests.sweep.records import one_split

SEED = 1001


def settings_of(**options) -> Settings:
    return resolve({"models": "resnet18", "strategies": "full", "epochs": 8, **options})


def searches(settings: Settings, budget: int = 3, seeds: tuple[int, ...] = (SEED,)) -> tuple[Search, ...]:
    weights = dict.fromkeys(settings.models, "random")
    trials = grid(divided_for(settings, seeds), one_split(), weights=weights, threads=1)
    return searches_for(settings, budget, trials, dict.fromkeys(settings.models, 5))


def finished(config: TrialConfig, *losses: float, stopped: bool = False) -> TrialRecord:
    """Return the record of a trial whose epochs had these validation losses, and an accuracy that falls with them."""
    best = min(losses)
    return TrialRecord(
        **identity(config),
        status="completed",
        epochs_run=len(losses),
        best_epoch=losses.index(best) + 1,
        history=[{"epoch": number, "validation_loss": loss} for number, loss in enumerate(losses, start=1)],
        validation={"loss": best, "accuracy": 1 / (1 + best)},
        environment={STOPPED: True} if stopped else {},
    )


def failed(config: TrialConfig, error: Exception) -> TrialRecord:
    return failed_record(config, error)
