"""What the commands call: each takes parsed options and prints what happened."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from animefer_core.config import TrialConfig
from animefer_core.data.faces import EMOTIONS
from animefer_core.models.zoo import build
from animefer_core.training.timeline import explain
from animefer_core.trial import failed_record, run_trial
from sweep.cli.foretell import lines
from sweep.cli.options import typed
from sweep.execution.environment import configure_ray
from sweep.execution.last_words import last_words
from sweep.execution.loggers import check_installed, logged
from sweep.folder import copy_aside, find_records
from sweep.keeping import Keeper
from sweep.prepare import Prepared, prepared
from sweep.report.page import write_report
from sweep.report.words import count
from sweep.settings import DEMO, Settings, resolve


def run_sweep(given: Mapping[str, Any], *, dry_run: bool) -> int:
    """Run a sweep and return its exit code: 0 all trials have records, 1 some failed or it was stopped."""
    console = Console(stderr=True)
    settings = resolve(given)
    check_installed(settings.logger)
    if settings.data == DEMO:
        console.print(
            f"Drawn faces, preset {settings.preset} (name your own images by --data FOLDER).", highlight=False
        )
    with prepared(settings, one_trial=False, command=None if dry_run else typed()) as work:
        _announce(console, work)
        if dry_run:
            for line in lines(work, console):
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            return 0
        ended_by = None
        if work.plan.to_run:
            with last_words(settings.out):
                ended_by = _execute(console, work)
        if ended_by:
            console.print(_ending(ended_by, work), highlight=False, soft_wrap=True)
            return 1
        try:
            page = write_report(settings.out)
        except OSError as error:
            console.print(_no_report(error, settings.out), highlight=False, soft_wrap=True)
            return 1
    return _conclude(console, work, page)


def _no_report(error: OSError, folder: Path) -> str:
    return (
        f"All records are kept, but the report could not be written ({error.strerror or error}); once that is mended, "
        f"`animefer report {shlex.quote(str(folder))}` writes it."
    )


def explained(given: Mapping[str, Any]) -> Iterator[str]:
    """Tell the timeline of one configuration, with the six classes of the study."""
    settings = resolve(given)
    (model,), (strategy,) = settings.models, settings.strategies
    with torch.device("meta"):
        network = build(model, len(EMOTIONS), settings.image_size)
    yield from explain(network, model, settings.known_strategies[strategy], settings.epochs)


def _execute(console: Console, work: Prepared) -> str | None:
    """Train what is missing; return what ended it early, if anything or anyone did but a fault that a report is of."""
    settings = work.settings
    configure_ray(settings.address)
    from sweep.execution.executor import execute
    from sweep.execution.progress import display_for
    from sweep.execution.work import NotKeptError, SweepEndedError, SweepStoppedError, Work

    to_do = Work(
        trials=work.plan.to_run,
        data=work.data,
        weights=work.arrays,
        packing=work.packing,
        device=settings.device,
        save_models=settings.save_models,
        extra_views=settings.extra_views,
        deterministic=settings.deterministic,
        checkpoints=work.checkpoints,
        trial_timeout=settings.trial_timeout,
    )
    keeper = Keeper(settings.out, settings.save_models, work.records, work.checkpoints)
    display = logged(
        display_for(console, len(work.plan.to_run), work.packing.trials_at_once),
        settings.logger,
        settings.out,
        work.plan.trials,
        lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True),
    )
    try:
        execute(to_do, keeper.keep, display, work.repeat_command)
    except SweepStoppedError as error:
        console.print(f"Stopped: {error}.", highlight=False, markup=False, soft_wrap=True)
    except SweepEndedError as error:
        return f"Stopped by {error}"
    except NotKeptError as error:
        return f"Stopped: {error}"
    except KeyboardInterrupt:
        return "Stopped by Ctrl-C"
    return None


def _ending(ended_by: str, work: Prepared) -> str:
    """Say what a sweep that was ended leaves, and what is left to do."""
    left = _not_completed(work)
    begun = work.checkpoints.count(config.trial_id for config in left)
    goes_on = f", {begun} of them from a kept epoch" if begun else ""
    return (
        f"{ended_by}; what is finished is kept in {work.settings.out}: {len(left)} of {len(work.plan.trials)} "
        f"trials are left to train{goes_on}. The same command goes on from there."
    )


def _not_completed(work: Prepared) -> list[TrialConfig]:
    """Return the trials of the call that have no completed record now."""
    found = find_records(work.settings.out, move_damaged=False).records
    completed = {record.trial_id for record in found if record.status == "completed"}
    return [config for config in work.plan.trials if config.trial_id not in completed]


def _announce(console: Console, work: Prepared) -> None:
    settings, plan = work.settings, work.plan
    first = plan.trials[0]
    failed = f" ({plan.failed} of them failed before)" if plan.failed else ""
    parts = ", ".join(f"{len(rows)} {part}" for part, rows in work.data.rows(first.split_digest).items())
    console.print(
        f"{len(work.data.labels)} images of {len(work.data.classes)} classes ({parts}); "
        f"{len(settings.models) * len(settings.strategies)} configurations x {' x '.join(_axes(settings))}: "
        f"{plan.present} of {len(plan.trials)} trials are there, {len(plan.to_run)} to train{failed}, "
        f"{work.packing.trials_at_once} at once with {count(work.packing.threads, 'thread')} each. Results: "
        f"{settings.out}",
        highlight=False,
        soft_wrap=True,
    )
    if settings.gpu_share is not None and not any(node.gpus for node in work.packing.nodes):
        console.print("--gpu-share says nothing here: no GPU takes part.", highlight=False)
    for reason in work.set_aside:
        console.print(f"set aside: {reason}", highlight=False, markup=False, soft_wrap=True)


def _axes(settings: Settings) -> Iterator[str]:
    """Say over what each configuration is repeated."""
    yield f"{len(settings.seeds)} seeds"
    if settings.folds:
        yield f"{settings.folds} folds"
    if len(settings.splits) > 1:
        yield f"{len(settings.splits)} splits"
    if settings.vary:
        yield f"{1 + len(settings.vary)} arms"
    if len(settings.train_fraction) > 1:
        yield f"{len(settings.train_fraction)} shares of the training images"


def _conclude(console: Console, work: Prepared, page: Path) -> int:
    missing = _not_completed(work)
    if missing:
        console.print(
            f"{len(missing)} of {len(work.plan.trials)} trials are not completed; the same command tries them again.",
            highlight=False,
        )
    console.print(f"Report: {page}", highlight=False, soft_wrap=True)
    return 1 if missing else 0


def run_one(given: Mapping[str, Any], *, again: bool) -> int:
    """Run one configuration with one seed in this process, once on every split, arm and share that is asked for.

    Return the exit code. A trial that is completed runs again only where `again` is true; its record then lies in
    DIR/earlier/, copied there when the new one is whole, and the report says so.
    """
    console = Console(stderr=True)
    settings = resolve(given)
    with prepared(settings, one_trial=True, command=typed()) as work:
        keeper = Keeper(settings.out, settings.save_models, work.records, work.checkpoints)
        return max([_run_trial(console, work, keeper, config, again=again) for config in work.plan.trials])


def _run_trial(console: Console, work: Prepared, keeper: Keeper, config: TrialConfig, *, again: bool) -> int:
    settings = work.settings
    directory = settings.out / "trials" / config.trial_id
    completed = config not in work.plan.to_run
    if completed and not again:
        console.print(
            f"{config.title} is there already, and has met the test images: {directory} "
            "(--again trains it anew, and the report says so)",
            highlight=False,
            soft_wrap=True,
        )
        return 0
    if again:
        # Anew is from the first epoch on.
        work.checkpoints.discard(config.trial_id)
    weights = work.weights.get(config.model)
    try:
        record = run_trial(
            config,
            work.data,
            None if weights is None else weights.state,
            device=settings.device,
            on_epoch=lambda entry: console.print(_epoch_line(entry), highlight=False),
            keep_state=settings.save_models != "none",
            extra_views=settings.extra_views,
            deterministic=settings.deterministic,
            checkpoints=work.checkpoints.of(config.trial_id),
        )
    except Exception as error:
        # Like a sweep, a trial leaves a record of its failure.
        record = failed_record(config, error)
    if completed and record.status == "completed":
        copy_aside(settings.out, directory)
    if not completed or record.status == "completed":
        keeper.keep(record, lambda: record.state)
    if record.status == "failed":
        console.print(record.error["traceback"], highlight=False, markup=False)
        return 1
    console.print(f"test accuracy {record.test['accuracy']:.1%}; record: {directory}", highlight=False, soft_wrap=True)
    return 0


def _epoch_line(entry: Mapping[str, Any]) -> str:
    return (
        f"epoch {entry['epoch']}: training loss {entry['train_loss']:.3f}, "
        f"validation loss {entry['validation_loss']:.3f}, accuracy {entry['validation_accuracy']:.1%}, "
        f"{entry['images_per_second']:.0f} images/s"
    )
