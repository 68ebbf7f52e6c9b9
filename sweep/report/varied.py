"""Which sources of chance the total intervals of a page know of, and which they do not, in sentences."""

from dataclasses import dataclass

from sweep.frames import Sweep


@dataclass(frozen=True, kw_only=True)
class Varied:
    """What the methods section says of the sources of chance."""

    in_total: str
    not_in_total: str
    never: str
    """What no interval of the page has in it."""


def varied(sweep: Sweep) -> Varied:
    """Return what varied in the main tables of a sweep."""
    images = "the test images" if sweep.groups is None else "the groups of test images"
    seeds = "the seeds (initialisation, order and augmentation together)" if not sweep.imported else "the seeds"
    several = any(len(each.seeds) > 1 for each in sweep.configurations)
    known = f"{seeds} and {images}" if several else f"{images} alone, for there is one seed"
    if sweep.division.n_folds:
        known += f", and the training images as far as {sweep.division.n_folds} folds tell"
    labels = "who labelled the images, and where images of this kind come from"
    return Varied(
        in_total=f"{known}.",
        not_in_total=_fixed(sweep),
        never=f"other choices of rates, epochs and augmentation; {labels}.",
    )


def _fixed(sweep: Sweep) -> str:
    if sweep.imported:
        return "the split; what of the training images varied is not known."
    if sweep.division.n_folds:
        return "a training set that shares no image with the others: those of the folds overlap."
    return (
        "the training and validation images, which were the same in every trial of the main tables, so that no total "
        "interval says how results would move with others."
    )
