"""What a call of `animefer search` tries: for every model and strategy the same number of candidates and seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from animefer_core.config import TrialConfig
from animefer_core.errors import InputError
from animefer_core.training.strategies import Strategy
from sweep.search.space import BATCH_SIZES, candidates, space
from sweep.settings import Settings

FEWEST = 2
"""Candidates at least: the strategy as it stands, and one other."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One strategy that a search tries."""

    number: int
    """From 1, which is the strategy as it stands."""
    strategy: Strategy
    trials: tuple[TrialConfig, ...]
    """One a seed of the search."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """The candidates of one model and strategy."""

    candidates: tuple[Candidate, ...]

    @property
    def start(self) -> Candidate:
        """The strategy as it stands; it is trained to its end whatever the others do."""
        return self.candidates[0]

    @property
    def model(self) -> str:
        """The model that is trained."""
        return self.start.trials[0].model

    @property
    def name(self) -> str:
        """What the winner is called."""
        return tuned_name(self.start.strategy.name, self.model)

    @property
    def epochs(self) -> int:
        """Epochs at most of each candidate."""
        return self.start.strategy.epochs(self.start.trials[0].epochs_cap)

    @property
    def grace(self) -> int:
        """Epochs after which the worse half is stopped first, and after twice as many again.

        A quarter of them all, the same for every model: a share, because strategies are of different lengths.
        """
        return -(-self.epochs // 4)

    @property
    def trials(self) -> tuple[TrialConfig, ...]:
        """All trials, candidate by candidate."""
        return tuple(config for candidate in self.candidates for config in candidate.trials)


def tuned_name(strategy: str, model: str) -> str:
    """Return the name of the strategy that a search of a model finds from another one."""
    return f"{strategy}_tuned_{model}"


def check_request(settings: Settings, budget: int) -> None:
    """Raise InputError for a budget that tries nothing, a name that is taken, or a folder that is a sweep's."""
    if budget < FEWEST:
        raise InputError(
            f"--budget {budget}: the first candidate is the strategy as it stands; give at least {FEWEST}."
        )
    for strategy in settings.strategies:
        for model in settings.models:
            if (name := tuned_name(strategy, model)) in settings.known_strategies:
                raise InputError(
                    f"--config: the strategy name {name!r} is taken, and the winner of {model}/{strategy} is to be "
                    "called so; rename that strategy, or leave --config out."
                )
    if (settings.out / "sweep.json").exists():
        raise InputError(f"--out {settings.out}: the folder is a sweep's; choose another one for the search.")


def divided_for(settings: Settings, seeds: Sequence[int]) -> Settings:
    """Return the settings by which a search divides machine and images.

    Its own seeds, the largest batches that it may draw, and the study's split with all its training images.
    """
    largest = {
        name: replace(strategy, batch_size=max(strategy.batch_size, *BATCH_SIZES))
        for name, strategy in settings.known_strategies.items()
    }
    usual = {name: getattr(Settings, name) for name in ("folds", "splits", "vary", "train_fraction")}
    return replace(settings, seeds=tuple(seeds), known_strategies=largest, **usual)


def searches_for(
    settings: Settings, budget: int, trials: Iterable[TrialConfig], blocks: Mapping[str, int]
) -> tuple[Search, ...]:
    """Return one search a model and strategy of `trials`, which has each once a seed; `blocks` is how many each has."""
    of_pair: dict[tuple[str, str], list[TrialConfig]] = {}
    for config in trials:
        of_pair.setdefault((config.model, config.strategy.name), []).append(config)
    return tuple(
        _search(settings.known_strategies[strategy], budget, configs, blocks[model])
        for (model, strategy), configs in of_pair.items()
    )


def _search(start: Strategy, budget: int, seeds: Sequence[TrialConfig], blocks: int) -> Search:
    ranges = space(start, blocks, seeds[0].epochs_cap)
    return Search(
        candidates=tuple(
            Candidate(
                number=number,
                strategy=strategy,
                trials=tuple(replace(config, strategy=strategy) for config in seeds),
            )
            for number, strategy in enumerate(candidates(start, ranges, budget, seeds[0].seed), start=1)
        )
    )
