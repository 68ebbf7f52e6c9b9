"""A plan -> one Tuner, in processes of this machine or on a Ray cluster; every record goes to the driver at once."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from animefer_core.config import TrialConfig, config_from
from animefer_core.trial import run_trial
from sweep.execution.cluster import connect, disconnect
from sweep.execution.packing import Packing, Share
from sweep.execution.progress import Display
from sweep.execution.searcher import Halving
from sweep.execution.sharing import share
from sweep.execution.trainable import Run, Shared, trainable
from sweep.execution.watcher import LOST_PROCESS_RETRIES, SIGNALS, Watcher, config_of
from sweep.execution.work import Keep, Work
from sweep.settings import LOCAL


def execute(
    work: Work,
    keep: Keep,
    display: Display,
    repeat: Callable[[TrialConfig], str],
    run: Run = run_trial,
    scheduler: Halving | None = None,
) -> None:
    """Train all trials, on the cluster that is joined or else here; `keep` gets every record as soon as it is there.

    It also gets a function that fetches the record's checkpoint, and is called in one thread of its own, record after
    record: trials need not wait while a model is written. `repeat` gives the command that runs a trial alone;
    `scheduler` may stop trials early, which a sweep never does.
    Raises SweepStoppedError when the first three trials fail for one cause, and when no machine is left for what is to
    come; NotKeptError when a record cannot be written; SweepEndedError on SIGTERM and SIGUSR1; KeyboardInterrupt when
    the user stops. What `keep` has got by then is whole.
    """
    with (
        Path(os.devnull).open("w", encoding="ascii") as nowhere,
        # Ray tells of lost processes there, whatever it is told; the display writes elsewhere.
        contextlib.redirect_stdout(nowhere),
        _started(work.packing),
        _scratch() as scratch,
        display,
        ThreadPoolExecutor(1, "keep") as keeping,
    ):
        watcher = Watcher(work, keep, display, repeat, keeping, scheduler)
        references = {model: ray.put(dict(state)) for model, state in work.weights.items()}
        shared = Shared(share(work.data), references)
        with _ended_by_signal(watcher):
            _fit(work, work.trials, shared, scratch / "trials", run, watcher)
            if too_large := watcher.too_large:
                watcher.now_alone()
                _fit(replace(work, packing=work.packing.alone()), too_large, shared, scratch / "alone", run, watcher)
        keeping.shutdown()
        if watcher.raised is not None:
            raise watcher.raised


def _fit(work: Work, trials: Sequence[TrialConfig], shared: Shared, storage: Path, run: Run, watcher: Watcher) -> None:
    """Run trials, each with its share of one machine."""
    packing = work.packing
    function = tune.with_parameters(
        trainable,
        shared=shared,
        run=run,
        # "auto" would quietly train on the processor where a card that was planned with cannot be used.
        device="cuda" if any(node.gpus for node in packing.nodes) and work.device == "auto" else work.device,
        save_models=work.save_models,
        packing=packing,
        extra_views=work.extra_views,
        deterministic=work.deterministic,
        checkpoints=work.checkpoints,
    )
    tuner = tune.Tuner(
        tune.with_resources(function, lambda config: _bundle(packing.share(config_from(config["trial"])))),
        param_space={"trial": tune.grid_search([config.as_dict() for config in packing.ordered(trials)])},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            trial_name_creator=_trial_id,
            trial_dirname_creator=_trial_id,
            scheduler=watcher.scheduler,
        ),
        run_config=tune.RunConfig(
            name=storage.name,
            storage_path=str(storage.parent),
            failure_config=tune.FailureConfig(max_failures=LOST_PROCESS_RETRIES),
            callbacks=[watcher],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except tune.TuneError:
        # Tune wraps what a callback raises.
        if watcher.raised is None:
            raise


def _bundle(share: Share) -> tune.PlacementGroupFactory:
    """Return what Ray sets aside for a trial: in one bundle, so that all of it is on one machine."""
    return tune.PlacementGroupFactory([{"CPU": share.cpus} | ({"GPU": share.gpu} if share.gpu else {})])


@contextlib.contextmanager
def _started(packing: Packing) -> Iterator[None]:
    """Start Ray in processes of this machine, unless a cluster is joined; `configure_ray` has been called."""
    if ray.is_initialized():
        yield
        return
    connect(
        address=LOCAL,
        num_cpus=sum(node.cpus for node in packing.nodes),
        num_gpus=sum(node.gpus for node in packing.nodes),
        include_dashboard=False,
    )
    try:
        yield
    finally:
        disconnect()


@contextlib.contextmanager
def _ended_by_signal(watcher: Watcher) -> Iterator[None]:
    """Have SIGTERM and SIGUSR1, by which schedulers tell of a time limit, end the sweep in good order."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    watcher.listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        watcher.calm()


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """Give Tune a place for the files of its own bookkeeping, which nothing here reads."""
    folder = Path(tempfile.mkdtemp(prefix="animefer-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _trial_id(trial: Any) -> str:
    return config_of(trial).trial_id
