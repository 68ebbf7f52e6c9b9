"""A results folder: what it holds, and what may be added to it.

    DIR/sweep.json   every call, the fingerprint, and the trials ever planned
    DIR/split.json   the images and their parts
    DIR/sweep.toml   the settings of the last call, as a file for --config
    DIR/trials/      one folder a record

One folder belongs to one set of images and one fingerprint; one process at a time writes into it.
"""

import contextlib
import datetime
import fcntl
import json
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from animefer_core.config import TrialConfig
from animefer_core.data.catalog import Catalog
from animefer_core.data.split import Division, read_split_file
from animefer_core.errors import InputError
from animefer_core.record import TrialRecord, read_record, write_atomically
from sweep.search.tuned import Searched

DAMAGED, EARLIER = "damaged", "earlier"
"""Folders of records that count no more: cut or edited ones, and those that --again replaced."""
SWEEP_FIELDS = {"images_digest", "fingerprint", "strategy", "weights", "planned", "calls"}
CONFIGURATION_FIELDS = (
    *("model", "strategy", "streams", "arm", "weights_digest"),
    *("split_digest", "split_seed", "train_fraction"),
)
"""Fields of a config that tell trials of one folder apart; all others are part of the fingerprint."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The records that a folder already holds."""

    records: tuple[TrialRecord, ...]
    """Completed and failed ones, without their predictions."""
    set_aside: tuple[str, ...]
    """What was wrong with records that were moved to DIR/damaged/."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for one process; the lock goes with the process, however that ends.

    A folder that was made for this and holds nothing in the end is taken away again.

    Raises InputError where another process holds it, or where the folder cannot be written.
    """
    lock, new = folder / ".lock", not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = lock.open("w", encoding="ascii")
    except OSError as error:
        raise InputError(f"--out {folder}: the folder cannot be written ({error.strerror}); choose another.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"--out {folder}: another sweep is writing there; wait for it or choose another."
            ) from error
        try:
            yield
        finally:
            if new and list(folder.iterdir()) == [lock]:
                lock.unlink()
                folder.rmdir()


def find_records(folder: Path, *, move_damaged: bool) -> Found:
    """Return the records that are whole; one that was cut or edited may be moved aside, to be trained again."""
    records, set_aside = [], []
    for path in sorted((folder / "trials").glob("*/record.json")):
        try:
            record = read_record(path.parent)
        except (ValueError, TypeError, KeyError, OSError) as error:
            moved = f": moved to {move_aside(folder, path.parent).relative_to(folder)}" if move_damaged else ""
            set_aside.append(f"{error}{moved}")
        else:
            records.append(replace(record, predictions=None))
    return Found(records=tuple(records), set_aside=tuple(set_aside))


def move_aside(folder: Path, directory: Path) -> Path:
    """Move a damaged trial's directory into DAMAGED, and return where it lies now."""
    return directory.rename(_place_for(folder / DAMAGED, directory.name))


def copy_aside(folder: Path, directory: Path) -> None:
    """Copy a trial's directory into EARLIER: until the new record is there the old one stays where it was."""
    place = _place_for(folder / EARLIER, directory.name)
    beside = folder / f".{place.name}"
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(directory, beside).rename(place)


def _place_for(aside: Path, name: str) -> Path:
    """Return a name that nothing has yet in a folder for things set aside."""
    aside.mkdir(exist_ok=True)
    return aside / f"{name}-{sum(1 for path in aside.iterdir() if path.name.startswith(name))}"


def read_sweep_file(folder: Path) -> dict[str, Any]:
    """Return sweep.json, or {} where the folder is new."""
    path = folder / "sweep.json"
    if not path.exists():
        return {}
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no valid JSON ({error}); restore it, or choose a new folder by --out.") from error
    if not isinstance(values, dict) or not values.keys() >= SWEEP_FIELDS:
        raise InputError(f"{path} was edited and lacks fields; restore it, or choose a new folder by --out.")
    return values


def kept_models(folder: Path) -> set[str]:
    """Return what --save-models was in the calls so far."""
    settings = (call.get("settings", {}) for call in read_sweep_file(folder).get("calls", []))
    return {values["save_models"] for values in settings if "save_models" in values}


def fingerprint(config: TrialConfig, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return what all trials of a folder have in common: settings, and versions as major.minor."""
    settings = {name: value for name, value in config.as_dict().items() if name not in CONFIGURATION_FIELDS}
    software = {name: ".".join(versions[name].split(".")[:2]) for name in ("torch", "torchvision", "timm")}
    return {**settings, "pretrained": config.weights_digest != "random", **software}


def check_fits(folder: Path, images_digest: str, wanted: Mapping[str, Any], planned: Sequence[TrialConfig]) -> None:
    """Raise InputError where the folder holds other images, another fingerprint, or other things of one name."""
    sweep = read_sweep_file(folder)
    if not sweep:
        return
    advice = "choose a new folder by --out"
    if sweep["images_digest"] != images_digest:
        raise InputError(f"--out {folder}: the folder belongs to another set of images; {advice}.")
    present = sweep["fingerprint"]
    differences = [
        f"{name} is {_short(present.get(name))} there and {_short(wanted.get(name))} here"
        for name in sorted({*present, *wanted})
        if present.get(name) != wanted.get(name)
    ]
    if differences:
        raise InputError(f"--out {folder}: {'; '.join(differences)}; {advice}.")
    for config in planned:
        values = config.as_dict()
        for kind, name, value in (
            ("strategy", config.strategy.name, values["strategy"]),
            ("weights", config.model, config.weights_digest),
        ):
            if sweep[kind].get(name, value) != value:
                other = "other weights" if kind == "weights" else "another strategy of that name"
                raise InputError(f"--out {folder}: {name} was trained there with {other}; {advice}.")


def known_divisions(folder: Path, catalog: Catalog) -> tuple[Division, ...]:
    """Return the splits and folds that the folder holds already.

    Records name images by their place in split.json, so the files must still be where they were: InputError where
    they have other names.
    """
    path = folder / "split.json"
    if not path.exists():
        return ()
    file = read_split_file(path)
    places = [(image.path, image.sha256) for image in catalog.images]
    if places != [(image.path, image.sha256) for image in file.images]:
        raise InputError(
            f"--out {folder}: its images were renamed since; name them as in {path}, or choose a new folder."
        )
    return file.divisions


def note_call(
    folder: Path,
    *,
    images_digest: str,
    common: Mapping[str, Any],
    planned: Sequence[TrialConfig],
    searched: Mapping[str, Searched],
    settings_toml: str | None,
    call: Mapping[str, Any],
) -> None:
    """Add a call and the trials that it plans to sweep.json, and write a sweep's settings to sweep.toml.

    `searched` tells how strategies were found; those that are planned are noted.
    """
    sweep = read_sweep_file(folder)
    trials = {trial["trial_id"]: trial for trial in sweep.get("planned", [])}
    for config in planned:
        trials[config.trial_id] = {
            "trial_id": config.trial_id,
            "model": config.model,
            "strategy": config.strategy.name,
            "seed": config.seed,
            "arm": config.arm,
            "split_digest": config.split_digest,
            "train_fraction": config.train_fraction,
        }
    strategies = {config.strategy.name: config.as_dict()["strategy"] for config in planned}
    weights = {config.model: config.weights_digest for config in planned}
    stamp = {"at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "host": socket.gethostname()}
    content = {
        "name": folder.name,
        "images_digest": images_digest,
        "fingerprint": dict(common),
        "strategy": sweep.get("strategy", {}) | strategies,
        "search": sweep.get("search", {}) | {name: searched[name].as_dict() for name in strategies if name in searched},
        "weights": sweep.get("weights", {}) | weights,
        "planned": list(trials.values()),
        "calls": [*sweep.get("calls", []), {**stamp, **call}],
    }
    write_atomically(folder / "sweep.json", json.dumps(content, indent=1, ensure_ascii=False).encode())
    if settings_toml is not None:
        write_atomically(folder / "sweep.toml", settings_toml.encode())


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
