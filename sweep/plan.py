"""Grid x seeds, minus the records that are there already.

ordinary trials   models x strategies x seeds, on every split (or fold) and share of the training images
arms              the same models and strategies, one stream following the seeds and the others held at the first
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from animefer_core.config import FROZEN_SEED, Arm, Streams, TrialConfig, Views
from animefer_core.data.catalog import Catalog
from animefer_core.data.split import Division, make_folds, make_split
from animefer_core.errors import InputError
from sweep.search.tuned import fits
from sweep.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a call trains."""

    trials: tuple[TrialConfig, ...]
    """All trials that the settings name."""
    to_run: tuple[TrialConfig, ...]
    """Those without a completed record; failed ones are tried again."""

    failed: int = 0
    """How many of those have the record of a failure."""

    @property
    def present(self) -> int:
        """How many trials have a completed record already."""
        return len(self.trials) - len(self.to_run)


@dataclass(frozen=True, kw_only=True)
class Divisions:
    """The ways in which a call divides the images."""

    ordinary: tuple[Division, ...]
    """Of the ordinary trials."""
    varied: tuple[Division, ...] = ()
    """Of the trials in which the split follows the seed, one a seed."""

    @property
    def all(self) -> tuple[Division, ...]:
        """Every one, none twice."""
        return tuple(dict.fromkeys(self.ordinary + self.varied))


def divide(settings: Settings, catalog: Catalog) -> Divisions:
    """Return the splits and folds that the settings ask for.

    Raises InputError for splits of a folder that gives all its parts, which nothing can vary, and for what
    `make_split` and `make_folds` refuse.
    """
    shares = {"validation_share": settings.validation_share, "test_share": settings.test_share}

    def split(seed: int) -> Division:
        return Division(splits=(make_split(catalog, **shares, seed=seed),), seed=seed)

    if settings.folds:
        folds = make_folds(catalog, settings.folds, **shares, seed=FROZEN_SEED)
        return Divisions(ordinary=(Division(splits=folds, seed=FROZEN_SEED),))
    varies = "split" in settings.vary
    if (varies or settings.splits != (FROZEN_SEED,)) and {image.part for image in catalog.images} >= {
        "train",
        "validation",
        "test",
    }:
        raise InputError(
            f"{'--vary split' if varies else '--splits'}: {catalog.root} gives all parts, so that nothing is left to "
            "split; put all images into class folders."
        )
    return Divisions(
        ordinary=tuple(split(seed) for seed in settings.splits),
        varied=tuple(split(seed) for seed in settings.seeds) if varies else (),
    )


def grid(
    settings: Settings, divisions: Divisions, *, weights: Mapping[str, str], threads: int
) -> tuple[TrialConfig, ...]:
    """Return the trials of the settings: seed by seed, so that a sweep cut short is balanced; the arms last.

    `weights` gives each model's digest, or "random". A strategy that a search found for one model is for no other.
    """
    return tuple(
        TrialConfig(
            model=model,
            strategy=settings.known_strategies[strategy],
            streams=each.streams,
            arm=each.arm,
            split_digest=each.split_digest,
            split_seed=each.split_seed,
            train_fraction=fraction,
            weights_digest=weights[model],
            image_size=settings.image_size,
            epochs_cap=settings.epochs,
            views=Views(normalisation=settings.normalisation),
            fit=settings.fit,
            frozen_norm=settings.frozen_norm,
            precision=settings.precision,
            threads=threads,
        )
        for each in (*_ordinary(settings, divisions), *_arms(settings, divisions))
        for fraction, model, strategy in product(settings.train_fraction, settings.models, settings.strategies)
        if fits(settings.searched, model, strategy)
    )


@dataclass(frozen=True, kw_only=True)
class _Chance:
    """What chance decides in a trial: its streams and its split."""

    arm: Arm
    streams: Streams
    split_digest: str
    split_seed: int


def _ordinary(settings: Settings, divisions: Divisions) -> Iterator[_Chance]:
    for seed, division in product(settings.seeds, divisions.ordinary):
        for split in division.splits:
            yield _Chance(
                arm="all",
                streams=Streams(init=seed, order=seed, augmentation=seed),
                split_digest=split.digest,
                split_seed=division.seed,
            )


def _arms(settings: Settings, divisions: Divisions) -> Iterator[_Chance]:
    """Yield R trials an arm.

    The one whose seed is the held one repeats the ordinary trial of that seed under another name: what the two differ
    by is the hardware's doing, and nothing on a processor.
    """
    held = settings.seeds[0] if settings.held_seed is None else settings.held_seed
    (frozen, *_), varied = divisions.ordinary, {division.seed: division for division in divisions.varied}
    for seed, arm in product(settings.seeds, settings.vary):
        division = varied[seed] if arm == "split" else frozen
        streams = {"init": held, "order": held, "augmentation": held} | ({} if arm == "split" else {arm: seed})
        yield _Chance(
            arm=arm,
            streams=Streams(**streams),
            split_digest=division.splits[0].digest,
            split_seed=division.seed,
        )


def plan(trials: Sequence[TrialConfig], status: Mapping[str, str]) -> Plan:
    """Return the plan for trials of which some have records; `status` maps trial ids to completed or failed."""
    missing = tuple(config for config in trials if status.get(config.trial_id) != "completed")
    failed = sum(status.get(config.trial_id) == "failed" for config in missing)
    return Plan(trials=tuple(trials), to_run=missing, failed=failed)
