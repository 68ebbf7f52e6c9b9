"""What a plan will cost: time by a short calibration, or by the trials that are there, memory, and disk."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from animefer_core.calibration import Pace
from animefer_core.config import TrialConfig
from animefer_core.data.alterations import ALTERATIONS
from animefer_core.data.pixels import ImageSet
from animefer_core.models.zoo import build
from animefer_core.record import TrialRecord
from sweep.execution.packing import Packing
from sweep.settings import SaveModels

RECORD_BYTES = 40_000
"""Of a record's JSON, for a usual number of epochs."""
REPORT_BYTES = 10_000_000
"""The page, and the tables beside it."""
START_SECONDS = 2.0
"""Of a trial: its network built, its weights copied, its record written."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the trials of one model that are still to run will cost."""

    model: str
    trials: int
    seconds: float
    """Of all of them, one after another."""
    measured: int
    """How many trials that are there told it; 0: a calibration did."""


def costs(
    to_run: Sequence[TrialConfig],
    present: Sequence[TrialRecord],
    data: ImageSet,
    pace: Callable[[TrialConfig], Pace],
    *,
    extra_views: bool,
) -> Iterator[Cost]:
    """Yield each model's cost; `pace` measures a model by one of its trials, and is asked where no record tells."""
    known: dict[tuple[str, str], list[float]] = {}
    for record in present:
        if record.status == "completed" and "trial_seconds" in record.efficiency:
            known.setdefault((record.model, record.strategy), []).append(record.efficiency["trial_seconds"])
    for model in dict.fromkeys(config.model for config in to_run):
        own = [config for config in to_run if config.model == model]
        told = [known[key] for config in own if (key := (model, config.strategy.name)) in known]
        if len(told) == len(own):
            seconds = sum(fmean(each) + START_SECONDS for each in told)
            measured = sum(len(each) for (name, _), each in known.items() if name == model)
        else:
            measured, seconds = 0, _calibrated(own, data, pace(own[0]), extra_views=extra_views)
        yield Cost(model=model, trials=len(own), seconds=seconds, measured=measured)


def _calibrated(trials: Sequence[TrialConfig], data: ImageSet, pace: Pace, *, extra_views: bool) -> float:
    with torch.device("meta"):
        blocks = len(build(trials[0].model, len(data.classes), trials[0].image_size).blocks)
    views = _views(extra_views=extra_views)
    total = 0.0
    for config in trials:
        rows = data.rows(config.split_digest, config.train_fraction)
        total += START_SECONDS + pace.seconds(
            config.strategy,
            config.epochs_cap,
            blocks,
            training=len(rows["train"]),
            validation=len(rows["validation"]),
            test=views * len(rows["test"]),
        )
    return total


def disk_bytes(
    to_run: Sequence[TrialConfig],
    data: ImageSet,
    packing: Packing,
    *,
    save_models: SaveModels,
    extra_views: bool,
    keeps_epochs: bool,
) -> int:
    """Return the bytes that the trials to run will add to the results folder at most, while they run."""
    if not to_run:
        return REPORT_BYTES
    sizes = {config.model: 4 * _parameters(config, len(data.classes)) for config in to_run}
    views = _views(extra_views=extra_views)
    total = REPORT_BYTES
    for config in to_run:
        rows = data.rows(config.split_digest)
        images = len(rows["validation"]) + views * len(rows["test"])
        total += RECORD_BYTES + images * 4 * len(data.classes)
        total += sizes[config.model] if save_models == "all" else 0
    if save_models == "best":
        total += max(sizes.values()) * len({config.seed for config in to_run})
    if keeps_epochs:
        # Weights, the best epoch's, and two moments.
        total += 4 * max(sizes.values()) * min(packing.trials_at_once, len(to_run))
    return total


def _views(*, extra_views: bool) -> int:
    """Return how often a trial meets each test image."""
    return 1 + len(ALTERATIONS) if extra_views else 1


def _parameters(config: TrialConfig, classes: int) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build(config.model, classes, config.image_size).model.parameters())


def memory_bytes(packing: Packing, peaks: Mapping[tuple[str, str], int]) -> tuple[int, int]:
    """Return what the trials at once take at most, and what there is, on the machine or card that is fullest."""
    worst = (0, 1)
    for name, share in packing.shares.items():
        for node in packing.nodes:
            room, at_once = (node.gpu_bytes, int(1 / share.gpu)) if share.gpu else (node.memory, share.at_once_on(node))
            if room and peaks[name] * at_once * worst[1] > worst[0] * room:
                worst = (peaks[name] * at_once, room)
    return worst
