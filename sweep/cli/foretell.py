"""What `animefer plan` and `animefer sweep --dry-run` say: what would run, and what it would cost."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from animefer_core.calibration import Pace, measure
from animefer_core.config import TrialConfig
from sweep.cost import Cost, costs, disk_bytes, memory_bytes
from sweep.execution.progress import in_words
from sweep.prepare import Prepared, prepared
from sweep.report.words import count
from sweep.settings import LOCAL, resolve

LISTED = 40
"""Trials that are named one by one, at most."""


def run_plan(given: Mapping[str, Any]) -> int:
    """Print the plan of a sweep; nothing is trained but a few steps on noise."""
    settings = resolve(given)
    with prepared(settings, one_trial=False, command=None) as work:
        for line in lines(work, Console(stderr=True)):
            print(line)
    return 0


def lines(work: Prepared, console: Console) -> Iterator[str]:
    """Tell which trials would run, which are there or failed, and time, memory and disk; `console` hears of waiting."""
    plan, to_run = work.plan, work.plan.to_run
    yield f"{len(plan.trials)} trials: {plan.present} are there, {plan.failed} failed, {len(to_run)} to train"
    yield from (f"would train {config.title}" for config in to_run[:LISTED])
    if len(to_run) > LISTED:
        yield f"and {len(to_run) - LISTED} more"
    if to_run:
        yield from _time(work, console)
        yield from _memory(work)
    yield from _disk(work)


def _time(work: Prepared, console: Console) -> Iterator[str]:
    settings = work.settings

    def pace(config: TrialConfig) -> Pace:
        console.print(f"timing {config.model} on noise", highlight=False, markup=False)
        if settings.address == LOCAL:
            return measure(config, len(work.data.classes), settings.device)
        from sweep.execution.cluster import measured_there

        return measured_there(config, len(work.data.classes), settings.device, work.packing.share(config))

    found = list(costs(work.plan.to_run, work.records, work.data, pace, extra_views=settings.extra_views))
    yield from (_cost_line(cost) for cost in found)
    seconds = sum(cost.seconds for cost in found) / min(work.packing.trials_at_once, len(work.plan.to_run))
    yield (
        f"time: about {in_words(seconds)} at most, {work.packing.trials_at_once} trials at once with "
        f"{count(work.packing.threads, 'thread')} each; stopping early takes less, sharing a device may take more"
    )


def _cost_line(cost: Cost) -> str:
    source = f"as the {cost.measured} that are there took" if cost.measured else "by a calibration"
    return f"  {cost.model}: {cost.trials} trials of {in_words(cost.seconds / cost.trials)} each, {source}"


def _memory(work: Prepared) -> Iterator[str]:
    needed, room = memory_bytes(work.packing, work.peaks)
    device = "card" if any(share.gpu for share in work.packing.shares.values()) else "machine"
    fits = "it fits" if needed <= room else "it may not fit: give fewer trials at once, by --threads or --gpu-share"
    yield f"memory: {_gigabytes(needed)} (estimated) of {_gigabytes(room)} on the fullest {device}; {fits}"


def _disk(work: Prepared) -> Iterator[str]:
    settings = work.settings
    needed = disk_bytes(
        work.plan.to_run,
        work.data,
        work.packing,
        save_models=settings.save_models,
        extra_views=settings.extra_views,
        keeps_epochs=work.checkpoints.where is not None and Path(work.checkpoints.where).is_relative_to(settings.out),
    )
    room = shutil.disk_usage(settings.out).free
    fits = "it fits" if needed <= room else "it does not fit: make room, or give --save-models none"
    yield f"disk: {_gigabytes(needed)} at most of {_gigabytes(room)} free at {settings.out}; {fits}"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
