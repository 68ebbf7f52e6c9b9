"""Grid x seeds, minus the records that are there already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from animefer_core.config import Streams, TrialConfig, Views
from sweep.search.tuned import fits
from sweep.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a call trains."""

    trials: tuple[TrialConfig, ...]
    """All trials that the settings name."""
    to_run: tuple[TrialConfig, ...]
    """Those without a completed record; failed ones are tried again."""

    @property
    def present(self) -> int:
        """How many trials have a completed record already."""
        return len(self.trials) - len(self.to_run)


def grid(settings: Settings, *, split_digest: str, weights: Mapping[str, str], threads: int) -> tuple[TrialConfig, ...]:
    """Return the trials of the settings: seed by seed, so that a sweep cut short is balanced.

    `weights` gives each model's digest, or "random". A strategy that a search found for one model is for no other.
    """
    return tuple(
        TrialConfig(
            model=model,
            strategy=settings.known_strategies[strategy],
            streams=Streams(init=seed, order=seed, augmentation=seed),
            split_digest=split_digest,
            weights_digest=weights[model],
            image_size=settings.image_size,
            epochs_cap=settings.epochs,
            views=Views(normalisation=settings.normalisation),
            fit=settings.fit,
            frozen_norm=settings.frozen_norm,
            precision=settings.precision,
            threads=threads,
        )
        for seed in settings.seeds
        for model in settings.models
        for strategy in settings.strategies
        if fits(settings.searched, model, strategy)
    )


def plan(trials: Sequence[TrialConfig], status: Mapping[str, str]) -> Plan:
    """Return the plan for trials of which some have records; `status` maps trial ids to completed or failed."""
    missing = tuple(config for config in trials if status.get(config.trial_id) != "completed")
    return Plan(trials=tuple(trials), to_run=missing)
