"""From settings to all that training needs, every input checked before the first trial."""

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from animefer_core.config import RANDOM_WEIGHTS, TrialConfig, config_from, resize_for
from animefer_core.data.catalog import read_images
from animefer_core.data.faces import write_faces
from animefer_core.data.pixels import ImageSet, image_set
from animefer_core.data.split import write_split_file
from animefer_core.errors import InputError
from animefer_core.models.weights import Weights, find_weights, fit_state, read_weights
from animefer_core.models.zoo import build
from animefer_core.record import TrialRecord
from animefer_core.training.device import choose_compute
from animefer_core.training.strategies import Strategy, strategy_from
from animefer_core.trial import versions
from sweep import folder as results
from sweep.checkpoints import Place, place_for
from sweep.execution.environment import configure_ray
from sweep.execution.memory import estimate
from sweep.execution.packing import USABLE, Node, Packing, Peak, available_cores, pack, this_machine
from sweep.keeping import tidy
from sweep.plan import Plan, divide, grid, plan
from sweep.search.tuned import check_splits, searched_from
from sweep.settings import DEMO, LOCAL, Settings

FACES_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A sweep that may begin."""

    settings: Settings
    """With the number of threads settled."""
    data: ImageSet
    weights: Mapping[str, Weights]
    """Model -> pretrained weights; empty where training starts from random ones."""
    packing: Packing
    peaks: Mapping[tuple[str, str], int]
    """(model, strategy) -> the bytes that a trial takes at most of its machine or card, as estimated."""
    plan: Plan
    records: Sequence[TrialRecord]
    """The whole records that the folder holds already."""
    set_aside: Sequence[str]
    """What was wrong with records that were moved aside."""
    checkpoints: Place
    """Where the trials keep their epochs."""

    @property
    def arrays(self) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
        """Model -> its pretrained weights as arrays, for Ray's object store."""
        return {
            model: {name: tensor.float().numpy() for name, tensor in weights.state.items()}
            for model, weights in self.weights.items()
        }

    def repeat_command(self, config: TrialConfig) -> str:
        """Return the command line that runs one trial of this sweep alone."""
        out = shlex.quote(str(self.settings.out))
        config_file = shlex.quote(str(self.settings.out / "sweep.toml"))
        return (
            f"animefer trial --config {config_file} --model {shlex.quote(config.model)} "
            f"--strategy {shlex.quote(config.strategy.name)} --seed {config.seed} --out {out}"
        )


@contextlib.contextmanager
def prepared(settings: Settings, *, one_trial: bool, command: Sequence[str] | None) -> Iterator[Prepared]:
    """Lock the results folder, check every input, freeze the split, and note the call in the folder.

    `one_trial` gives a trial the whole machine. `command` is the command line to note; without one nothing is
    noted, and nothing but drawn faces is written; with one, checkpoints of completed trials are deleted. Raises
    InputError for whatever a user can mend.
    """
    with results.locked(settings.out), _machines(settings, one_trial=one_trial) as nodes:
        checkpoints = place_for(settings, one_trial=one_trial)
        if settings.storage is not None:
            checkpoints.check()
        catalog, pixels = read_images(
            _data_folder(settings),
            resize_for(settings.image_size),
            skip_bad=settings.skip_bad,
            allow_duplicates=settings.allow_duplicates,
            fit=settings.fit,
        )
        divisions = divide(settings, catalog)
        data = image_set(catalog, pixels, {split for each in divisions.all for split in each.splits})
        weights = _weights(settings, len(catalog.classes))
        peaks = {} if one_trial else _peaks(settings, nodes, data)
        packing = _packing(settings, nodes, peaks, one_trial=one_trial)
        settings = replace(settings, threads=packing.threads)
        digests = {model: weights[model].sha256 if weights else RANDOM_WEIGHTS for model in settings.models}
        trials = grid(settings, divisions, weights=digests, threads=packing.threads)
        for digest, fraction in {(config.split_digest, config.train_fraction) for config in trials}:
            data.rows(digest, fraction)
        check_splits(settings.searched, trials)
        common = results.fingerprint(trials[0], versions())
        results.check_fits(settings.out, catalog.images_digest, common, trials)
        known = results.known_divisions(settings.out, catalog)
        found = results.find_records(settings.out, move_damaged=command is not None)
        _check_arms(settings, trials, found.records)
        if command is not None:
            checkpoints.calm()
            checkpoints.discard(*(record.trial_id for record in found.records if record.status == "completed"))
            best_only = settings.save_models == "best" and "all" not in results.kept_models(settings.out)
            tidy(settings.out, found.records, best_only=best_only)
            write_split_file(settings.out / "split.json", catalog, tuple(dict.fromkeys([*known, *divisions.all])))
            results.note_call(
                settings.out,
                images_digest=catalog.images_digest,
                common=common,
                planned=trials,
                searched=settings.searched,
                settings_toml=None if one_trial else _with_strategies_of(settings.out, settings).to_toml(),
                call={
                    "command": list(command),
                    "settings": _as_json(settings),
                    "trials": [config.trial_id for config in trials],
                    "versions": versions(),
                },
            )
        yield Prepared(
            settings=settings,
            data=data,
            weights=weights,
            packing=packing,
            peaks={name: peak.card if packing.shares[name].gpu else peak.process for name, peak in peaks.items()},
            plan=plan(trials, {record.trial_id: record.status for record in found.records}),
            records=found.records,
            set_aside=found.set_aside,
            checkpoints=checkpoints,
        )


def _check_models(settings: Settings) -> None:
    """Refuse models that are not there, and image sizes that they cannot take, before anything is read."""
    for model in settings.models:
        with torch.device("meta"):
            build(model, 2, settings.image_size)


def _data_folder(settings: Settings) -> Path:
    """Return the folder of images; the drawn faces are written beside the results that they gave."""
    if settings.data != DEMO:
        return Path(settings.data)
    folder = settings.out / "faces"
    write_faces(folder, settings.per_class, FACES_SEED)
    return folder


def _weights(settings: Settings, classes: int) -> dict[str, Weights]:
    """Read every model's weights and fit them to a network that is only a shape, so that no trial meets wrong ones."""
    if not settings.pretrained:
        return {}
    found = {}
    for model in settings.models:
        path = find_weights(model, settings.weights_dir)
        found[model] = read_weights(path)
        with torch.device("meta"):
            network = build(model, classes, settings.image_size)
        try:
            fit_state(network, model, found[model].state, settings.image_size)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    return found


def _as_json(settings: Settings) -> dict[str, Any]:
    """Return the settings as they stand in sweep.json; strategies and their searches stand there by themselves."""
    values = {name: value for name, value in vars(settings).items() if name not in ("known_strategies", "searched")}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def _with_strategies_of(folder: Path, settings: Settings) -> Settings:
    """Return the settings with the strategies of the folder's earlier calls, which its records are repeated by."""
    sweep = results.read_sweep_file(folder)
    earlier = {
        name: strategy_from(name, {key: value for key, value in values.items() if key != "name"})
        for name, values in sweep.get("strategy", {}).items()
    }
    searched = {name: searched_from(name, values) for name, values in sweep.get("search", {}).items()}
    return replace(
        settings,
        known_strategies=earlier | dict(settings.known_strategies),
        searched=searched | dict(settings.searched),
    )


def _check_arms(settings: Settings, trials: Sequence[TrialConfig], records: Sequence[TrialRecord]) -> None:
    """Raise InputError for arms whose other streams would be held at another seed than those that are there."""
    there = {config.held_seed for record in records if (config := config_from(record.config)).arm != "all"}
    wanted = {config.held_seed for config in trials if config.arm != "all"}
    if there and wanted - there:
        held = min(there)
        raise InputError(
            f"--vary: the arms in {settings.out} hold the other streams at seed {held}, and these would at "
            f"{min(wanted - there)}; give {held} as the first of --seeds, or choose a new folder."
        )


@contextlib.contextmanager
def _machines(settings: Settings, *, one_trial: bool) -> Iterator[Sequence[Node]]:
    """Give the machines that trials run on: this one, or those of the cluster, which is joined for as long.

    What needs no cluster to be refused is refused before.
    """
    _check_models(settings)
    if one_trial:
        choose_compute(settings.device, settings.precision, settings.image_size)
        yield (Node(name="this machine", cpus=available_cores(), memory=0),)
    elif settings.address == LOCAL:
        machine = this_machine(settings.device)
        choose_compute(settings.device, settings.precision, settings.image_size)
        yield (machine,)
    else:
        configure_ray(settings.address)
        # Importing ray takes a second, and reads what was just configured.
        from sweep.execution.cluster import joined

        with joined(settings.address, settings.device) as nodes:
            yield nodes


def _packing(
    settings: Settings, nodes: Sequence[Node], peaks: Mapping[tuple[str, str], Peak], *, one_trial: bool
) -> Packing:
    """Return how the machines are divided; a folder's trials keep the number of threads that they began with."""
    began_with = results.read_sweep_file(settings.out).get("fingerprint", {}).get("threads")
    threads = settings.threads or began_with
    widest = max(node.cpus for node in nodes)
    if settings.threads is None and began_with is not None and began_with > widest:
        raise InputError(
            f"--out {settings.out}: its trials began with {began_with} threads, and here are no more than {widest} "
            "cores; go on with it where there are as many, or choose a new folder."
        )
    if one_trial:
        return Packing(nodes=nodes, threads=_own_threads(threads), shares={})
    return pack(
        nodes,
        peaks,
        threads=threads,
        gpu_share=settings.gpu_share,
        on_cards=any(node.gpus for node in nodes),
    )


def _own_threads(threads: int | None) -> int:
    cores = available_cores()
    if threads is not None and threads > cores:
        raise InputError(f"--threads {threads}: this machine has {cores} cores; give at most that many.")
    return threads or cores


def _peaks(settings: Settings, nodes: Sequence[Node], data: ImageSet) -> dict[tuple[str, str], Peak]:
    """Return each configuration's peak memory, or its model's upper bound where even that leaves every core its trial.

    An estimate takes half a second.
    """
    known = [settings.known_strategies[name] for name in settings.strategies]
    hungriest = Strategy(name="hungriest", blocks="all", batch_size=max(each.batch_size for each in known))
    bounds = {model: _peak(settings, model, hungriest, data) for model in settings.models}
    most = max(peak.process for peak in bounds.values())
    if not any(node.gpus for node in nodes) and all(node.cpus * most <= USABLE * node.memory for node in nodes):
        return {each: bounds[each[0]] for each in product(settings.models, settings.strategies)}
    return {
        (model, strategy.name): _peak(settings, model, strategy, data)
        for model, strategy in product(settings.models, known)
    }


def _peak(settings: Settings, model: str, strategy: Strategy, data: ImageSet) -> Peak:
    # What a cluster's machines make of "auto" is theirs to find out; fp32 needs more.
    here = settings.address == LOCAL and settings.precision == "auto"
    compute = choose_compute(settings.device, "auto", settings.image_size) if here else None
    need = estimate(
        model,
        strategy,
        classes=len(data.classes),
        image_size=settings.image_size,
        epochs_cap=settings.epochs,
        precision="bf16" if "bf16" in (settings.precision, compute and compute.precision) else "fp32",
    )
    return Peak(process=need.on_processor, card=need.on_card(data.pixels.nbytes))
