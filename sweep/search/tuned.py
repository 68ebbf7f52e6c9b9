"""What stands beside a strategy that a search found: which search, for which model, on which split and seeds.

    [strategy.full_tuned_resnet18]     what to train with
    [search.full_tuned_resnet18]       how that was found

Whoever uses such a strategy is held to it: with its model alone, with other seeds than the search's, and on the split
whose test images the search did not have.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from animefer_core.config import TrialConfig
from animefer_core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Searched:
    """How a strategy was found; the fields of its [search.NAME] table."""

    model: str
    """The one model that it is for."""
    strategy: str
    """The strategy that the search began with."""
    candidates: int
    """How many were tried, the strategy as it stood among them."""
    epochs: int
    """Epochs at most of each candidate."""
    seeds: tuple[int, ...]
    """With which each candidate was trained."""
    split_digest: str
    """The split on whose training and validation images it was found."""
    validation_loss: float
    """Mean over the seeds of the best epoch's."""
    validation_accuracy: float
    """Of the same epochs."""
    start_validation_loss: float | None = None
    """Of the strategy as it stood; None where it failed."""
    start_validation_accuracy: float | None = None
    at: str = ""
    """When the search ended, as ISO 8601 in UTC."""

    def __post_init__(self) -> None:
        """Raise InputError, naming the field, for what no search writes; seeds become a tuple."""
        self._require("model", isinstance(self.model, str) and self.model != "", "the model's name")
        self._require("strategy", isinstance(self.strategy, str), "the name of the strategy that it began with")
        for field in ("candidates", "epochs"):
            self._require(field, _is_integer(getattr(self, field)) and getattr(self, field) >= 1, "an integer")
        seeds = self.seeds
        listed = isinstance(seeds, list | tuple) and bool(seeds) and all(_is_integer(seed) for seed in seeds)
        self._require("seeds", listed, "a list of integers")
        object.__setattr__(self, "seeds", tuple(seeds))
        self._require("split_digest", isinstance(self.split_digest, str), "the split's digest")
        for field in ("validation_loss", "validation_accuracy"):
            self._require(field, _is_number(getattr(self, field)), "a number")
        for field in ("start_validation_loss", "start_validation_accuracy"):
            value = getattr(self, field)
            self._require(field, value is None or _is_number(value), "a number, or leave it out")
        self._require("at", isinstance(self.at, str), "the time as text")

    def _require(self, field: str, fits: bool, wanted: str) -> None:
        if not fits:
            raise InputError(f"{field} is {getattr(self, field)!r}; give {wanted}.")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that have a value, ready for TOML and JSON."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return values | {"seeds": list(self.seeds)}


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def searched_from(name: str, values: Mapping[str, Any]) -> Searched:
    """Return the facts of a [search.NAME] table; raises InputError for a field that is unknown, missing or wrong."""
    known = {field.name: field.default is MISSING for field in fields(Searched)}
    if unknown := sorted(set(values) - set(known)):
        raise InputError(f"[search.{name}]: no such field {unknown[0]!r}; the fields are {', '.join(known)}.")
    if missing := [field for field, needed in known.items() if needed and field not in values]:
        raise InputError(f"[search.{name}]: {missing[0]} is missing; restore the table as `animefer search` wrote it.")
    try:
        return Searched(**values)
    except InputError as error:
        raise InputError(f"[search.{name}]: {error}") from error


def fits(searched: Mapping[str, Searched], model: str, strategy: str) -> bool:
    """Return whether a model is trained under a strategy: one that was found for another model is not for it."""
    return strategy not in searched or searched[strategy].model == model


def check_models(searched: Mapping[str, Searched], models: Sequence[str], strategies: Sequence[str]) -> None:
    """Raise InputError where a strategy that was found for one model, or a model, has nothing to be trained with."""
    for strategy in strategies:
        if not any(fits(searched, model, strategy) for model in models):
            raise InputError(
                f"--strategies: {strategy} was found for {searched[strategy].model}, which --models does not name; "
                "add that model, or leave the strategy out."
            )
    for model in models:
        if not any(fits(searched, model, strategy) for strategy in strategies):
            raise InputError(
                f"--models: every strategy of --strategies was found for another model than {model}; add a strategy "
                "for it, or leave the model out."
            )


def check_seeds(searched: Mapping[str, Searched], strategies: Iterable[str], seeds: Sequence[int]) -> None:
    """Raise InputError where a strategy is to be trained with a seed that it was found with."""
    for strategy in strategies:
        if shared := _shared(searched[strategy].seeds if strategy in searched else (), seeds):
            raise InputError(
                f"--seeds: {strategy} was found with seed {shared}, which would favour it here; choose other seeds."
            )


def check_search_seeds(search_seeds: Sequence[int], seeds: Sequence[int]) -> None:
    """Raise InputError where a search would use a seed of the sweep that is to come."""
    if shared := _shared(search_seeds, seeds):
        raise InputError(
            f"--search-seeds: {shared} is one of the sweep's --seeds, which a search must not use; choose another."
        )


def _shared(some: Iterable[int], others: Iterable[int]) -> str:
    return ", ".join(str(seed) for seed in some if seed in set(others))


def check_splits(searched: Mapping[str, Searched], trials: Iterable[TrialConfig]) -> None:
    """Raise InputError where a strategy would meet test images that its search may have chosen it by."""
    for config in trials:
        facts = searched.get(config.strategy.name)
        if facts is not None and facts.split_digest != config.split_digest:
            raise InputError(
                f"--strategies: {config.strategy.name} was found on another split, whose validation images may be test "
                "images here; search again on these images and shares, or leave it out."
            )
