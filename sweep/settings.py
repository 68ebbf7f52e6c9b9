"""What a sweep is asked to do: presets, a TOML file and options, the later winning over the earlier.

preset        quick (drawn faces, random weights, minutes) or paper (the study's settings)
--config      a TOML file with the options' names, and [strategy.NAME] tables for strategies of one's own; a search
              writes a [search.NAME] table beside each that it found
options       as typed
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import tomli_w

from animefer_core.config import FROZEN_SEED, STUDY_MODELS, Arm, Fit
from animefer_core.errors import InputError
from animefer_core.training.strategies import KNOWN, STUDY, Strategy, strategy_from
from sweep.search.tuned import Searched, check_models, check_seeds, searched_from

DEMO = "demo"
AUTO, LOCAL = "auto", "local"
SaveModels = Literal["none", "best", "all"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the options of `animefer sweep` and `animefer trial` can say, resolved."""

    preset: str
    """"paper" or "quick"."""
    data: str
    """A folder of labelled images, absolute, or "demo" for drawn faces."""
    out: Path
    """The results folder, absolute."""
    models: tuple[str, ...] = STUDY_MODELS
    strategies: tuple[str, ...] = tuple(STUDY)
    seeds: tuple[int, ...] = (42, 1, 2, 3, 4)
    held_seed: int | None = None
    """What the arms of `vary` hold the other streams at; None: the first of `seeds`."""
    folds: int | None = None
    """Folds that test every image once; None: one split."""
    splits: tuple[int, ...] = (FROZEN_SEED,)
    """Seeds of the splits; the study's one is 42's."""
    vary: tuple[Arm, ...] = ()
    """What is varied alone, in trials beside the ordinary ones."""
    train_fraction: tuple[float, ...] = (1.0,)
    """Shares of the training images that are trained on."""
    known_strategies: Mapping[str, Strategy]
    """Name -> strategy: the study's under the preset, and those of the config file."""
    searched: Mapping[str, Searched] = field(default_factory=dict)
    """Name of a strategy that a search found -> how; from the config file."""
    image_size: int = 224
    """Side of the network's input, in pixels."""
    epochs: int | None = None
    """Cap on every strategy's epochs."""
    threads: int | None = None
    """CPU threads a trial; None: cores divided by trials at once."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = AUTO
    pretrained: bool = True
    weights_dir: Path | None = None
    """A folder of pretrained weights, absolute; None: torchvision's and timm's."""
    normalisation: Literal["auto", "study", "weights"] = "auto"
    fit: Fit = "crop"
    frozen_norm: Literal["eval", "train"] = "eval"
    address: str = LOCAL
    """Ray cluster: "local" starts one in this machine's processes."""
    gpu_share: float | None = None
    """Share of a GPU that a trial gets; None: by the memory that it needs."""
    trial_timeout: float | None = None
    """Minutes after which a trial is given up; None: never."""
    deterministic: bool = False
    """Whether only algorithms may be used that give equal bits in every run on one card."""
    storage: str | None = None
    """Where checkpoints lie, a folder, absolute, or a URI; None: in the results folder, and nowhere on a cluster."""
    checkpoint_minutes: float = 5.0
    """Least age of a trial's last checkpoint when the next is written; 0: every epoch."""
    save_models: SaveModels = "best"
    skip_bad: bool = False
    allow_duplicates: bool = False
    validation_share: float = 0.15
    test_share: float = 0.15
    per_class: int = 45
    """Drawn faces a class."""
    extra_views: bool = True
    """Whether trials meet the test images altered as well; changes no other number of theirs."""
    logger: tuple[str, ...] = ()
    """Where epochs and results are logged beside the records."""

    @property
    def own_strategies(self) -> dict[str, Strategy]:
        """The strategies that are not the study's."""
        return {name: strategy for name, strategy in self.known_strategies.items() if name not in KNOWN}

    def to_toml(self) -> str:
        """Return the file that repeats this sweep as `--config`, into a folder and on a cluster of one's choice."""
        leave_out = {"known_strategies", "searched", "out", "address"}
        # Any machine has an "auto"; a device that was asked for by name is part of what ran.
        leave_out |= {"device"} if self.device == AUTO else set()
        leave_out |= {name for name in ("splits", "vary", "logger") if getattr(self, name) == getattr(Settings, name)}
        values = {name: value for name, value in vars(self).items() if name not in leave_out and value is not None}
        values = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
        own = {
            name: {key: value for key, value in asdict(strategy).items() if key != "name" and value is not None}
            for name, strategy in self.own_strategies.items()
        }
        searched = {name: facts.as_dict() for name, facts in self.searched.items() if name in own}
        tables = {"strategy": own, "search": searched}
        return tomli_w.dumps(values | {name: table for name, table in tables.items() if table})


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    # Sized so that 16 configurations x 5 seeds end within minutes on two cores without bf16, ViT-B/16 among them: 16
    # pixels are the least that a patch of 16 takes. Of 45 images a class 24 train, 6 validate and 15 test.
    "quick": {
        "image_size": 16,
        "epochs": 6,
        "pretrained": False,
        "validation_share": 6 / 45,
        "test_share": 15 / 45,
    },
}

ONE_OF: Mapping[str, str] = {"model": "models", "strategy": "strategies", "seed": "seeds"}
"""Options of one thing -> those of several."""
VARIED = ("init", "order", "augmentation", "split")
EXCLUSIVE = (("folds", "splits"), ("folds", "vary"), ("splits", "vary"))
"""Options of which one call takes one."""
LOGGERS = ("tensorboard", "mlflow", "wandb")
CHECKPOINTS = "checkpoints"
RESULT_FOLDERS = ("trials", "tables", "damaged", "earlier", CHECKPOINTS, "tensorboard", "mlruns", "wandb")
"""Folders in a results folder that a sweep writes into."""


def resolve(options: Mapping[str, Any], *, kind: str = "") -> Settings:
    """Return the settings that a preset, the file of options["config"] and the options themselves give.

    Options that are None were not typed; model, strategy and seed are one model, strategy and seed. `kind` ends the
    name of a results folder that nobody named.
    Raises InputError naming the option at fault, and the file where it stands in one.
    """
    config = options.get("config")
    written, own, searched = _read_file(Path(config)) if config is not None else ({}, {}, {})
    typed = _typed(options)
    if options.get("seed") is not None and "seeds" in written:
        # One trial of a sweep, whose arms are held at the sweep's first seed.
        written.setdefault("held_seed", replace(written["seeds"], value=written["seeds"].value[0]))
    given = written | typed
    values = {name: one.value for name, one in given.items()}
    data = values.setdefault("data", DEMO)
    preset = values.setdefault("preset", "quick" if data == DEMO else "paper")
    values.setdefault("out", Path("reports").absolute() / f"{preset if data == DEMO else _name_of(Path(data))}{kind}")
    known = _strategies(preset) | own
    settings = Settings(**{**PRESETS[preset], **values}, known_strategies=known, searched=searched)
    for strategy in settings.strategies:
        if strategy not in settings.known_strategies:
            near = get_close_matches(strategy, settings.known_strategies) or list(settings.known_strategies)
            raise InputError(
                f"{given['strategies'].where}: there is no strategy {strategy!r}; perhaps you mean {', '.join(near)}."
            )
    check_models(settings.searched, settings.models, settings.strategies)
    check_seeds(settings.searched, settings.strategies, settings.seeds)
    if data != DEMO:
        _keep_apart(Path(data), settings.out)
        _keep_checkpoints_apart(Path(data), settings.storage)
    _check_divisions(given)
    return settings


def _check_divisions(given: Mapping[str, "_Given"]) -> None:
    """Refuse ways of dividing the images that leave open which of them a trial is to follow."""
    one, other = next(((a, b) for a, b in EXCLUSIVE if a in given and b in given), (None, None))
    if one and other:
        raise InputError(
            f"{given[other].where}: it does not go with --{one}, which divides the images in another way; give them in "
            "two calls, which may share a results folder."
        )


@dataclass(frozen=True, kw_only=True)
class _Given:
    """A value that somebody wrote, checked, and the words for where."""

    value: Any
    where: str


def _typed(options: Mapping[str, Any]) -> dict[str, _Given]:
    """Return what was typed, by the settings' names."""
    typed = {name: value for name, value in options.items() if value is not None and name != "config"}
    given = {}
    for name, value in typed.items():
        where = f"--{name.replace('_', '-')}"
        if name in ONE_OF:
            given[ONE_OF[name]] = _checked(ONE_OF[name], [value], where)
        else:
            given[name] = _checked(name, value, where)
    return _with_weights(given)


def _read_file(path: Path) -> tuple[dict[str, _Given], dict[str, Strategy], dict[str, Searched]]:
    """Return a config file's options, its own strategies, and how those of them that a search found were found."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config {path}: the file cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"--config {path}: this is no valid TOML ({error}).") from error
    own = _own_strategies(path, values.pop("strategy", {}))
    searched = _searched(path, values.pop("search", {}), own)
    given: dict[str, _Given] = {}
    for written, value in values.items():
        name = written.replace("-", "_")
        if name not in CHECKS:
            raise InputError(
                f"--config {path}: there is no option {written!r}; the names are those of `animefer sweep --help`."
            )
        if name in given:
            raise InputError(f"--config {path}: {name} stands there twice, with - and with _; keep one.")
        given[name] = _checked(name, value, f"--config {path}: {name}")
    return _with_weights(given), own, searched


def _own_strategies(path: Path, tables: Any) -> dict[str, Strategy]:
    """Return the strategies of the [strategy.NAME] tables of a config file."""
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise InputError(f"--config {path}: write a strategy of your own as a table [strategy.NAME].")
    for name in tables:
        if name in KNOWN:
            raise InputError(f"--config {path}: the strategy name {name!r} is taken; choose another.")
        # A configuration is written model/strategy, and a list of strategies is split at commas.
        if not name.isprintable() or name != name.strip() or not name or "/" in name or "," in name:
            raise InputError(
                f"--config {path}: the strategy name {name!r} is empty or has a slash, a comma, outer spaces or an "
                "unprintable character; choose another."
            )
    try:
        return {name: strategy_from(name, table) for name, table in tables.items()}
    except InputError as error:
        raise InputError(f"--config {path}: {error}") from error


def _searched(path: Path, tables: Any, own: Mapping[str, Strategy]) -> dict[str, Searched]:
    """Return the facts of the [search.NAME] tables of a config file."""
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise InputError(f"--config {path}: a [search.NAME] table is written by `animefer search`; take 'search' away.")
    if unknown := [name for name in tables if name not in own]:
        raise InputError(f"--config {path}: [search.{unknown[0]}] has no [strategy.{unknown[0]}]; restore that table.")
    try:
        return {name: searched_from(name, table) for name, table in tables.items()}
    except InputError as error:
        raise InputError(f"--config {path}: {error}") from error


def _checked(name: str, value: Any, where: str) -> _Given:
    """Return an option's value in the type of its field; raises InputError for any other."""
    try:
        return _Given(value=CHECKS[name](value), where=where)
    except ValueError as error:
        raise InputError(f"{where}: {error}.") from error


def _with_weights(given: dict[str, _Given]) -> dict[str, _Given]:
    """Have a folder of weights ask for its weights, unless the same file or command line says otherwise."""
    if "weights_dir" in given:
        given.setdefault("pretrained", _Given(value=True, where=given["weights_dir"].where))
    return given


def _name_of(folder: Path) -> str:
    return folder.name if folder.name != ".." else folder.resolve().name


def _keep_apart(data: Path, out: Path) -> None:
    """Refuse results among the images: the next sweep would take their folders for classes."""
    images, results = data.resolve(), out.resolve()
    if results.is_relative_to(images):
        raise InputError(
            f"--out {out}: the results would lie among the images of --data {data}; choose another folder."
        )
    for name in RESULT_FOLDERS:
        if images.is_relative_to(results / name):
            raise InputError(
                f"--out {out}: its folder {name} is for results, and --data {data} lies there; choose another folder."
            )


def _keep_checkpoints_apart(data: Path, storage: str | None) -> None:
    if storage is not None and "://" not in storage and Path(storage).resolve().is_relative_to(data.resolve()):
        raise InputError(
            f"--storage {storage}: the checkpoints would lie among the images of --data {data}; choose another folder."
        )


def _strategies(preset: str) -> dict[str, Strategy]:
    strategies = dict(KNOWN)
    if preset == "quick":
        strategies["progressive"] = replace(STUDY["progressive"], unfreeze_every=1)
    return strategies


def _text(value: Any) -> str:
    text = str(value) if isinstance(value, str | Path) else ""
    if not text.strip() or "\0" in text:
        raise ValueError(f"{value!r} is empty or no text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{value!r} is no Unicode") from error
    return text


def _path(value: Any) -> Path:
    try:
        return Path(_text(value)).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"there is no home folder for {str(value)!r}") from error


def _data(value: Any) -> str:
    return DEMO if value == DEMO else str(_path(value))


def _address(value: Any) -> str:
    address = _text(value)
    if address.startswith("ray://"):
        raise ValueError(
            f"{address} is a Ray Client's, with whose connection a sweep would be lost; have it run there as a job, by "
            "`animefer submit --address http://HEAD:8265 -- sweep ...`"
        )
    host, _, port = address.rpartition(":")
    if address not in (LOCAL, AUTO) and not (host and "/" not in host and port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"{address!r} is neither local nor auto nor HOST:PORT")
    return address


def _storage(value: Any) -> str:
    text = _text(value)
    if text.startswith("file://"):
        return str(_path(unquote(urlsplit(text).path)))
    return text if "://" in text else str(_path(text))


def _truth(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise ValueError(f"{value!r} is neither true nor false")


def _integer(value: Any, least: int = 1) -> int:
    try:
        number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or number < least:
        raise ValueError(f"{value!r} is no integer of at least {least}")
    return number


def _share(value: Any) -> float:
    try:
        share = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError(f"{value!r} is no number above 0 and up to 1")
    return share


def _minutes(value: Any) -> float:
    try:
        minutes = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        minutes = -1.0
    if not 0 <= minutes < math.inf:
        raise ValueError(f"{value!r} is no number of at least 0")
    return minutes


def _positive_minutes(value: Any) -> float:
    minutes = _minutes(value)
    if minutes == 0:
        raise ValueError("0 leaves a trial no time; give minutes above 0, or leave it out")
    return minutes


def _gpu_share(value: Any) -> float | None:
    return None if value == AUTO else _share(value)


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
        return str(value)

    return check


def _several(check: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return the check of a list, or of a text with commas, whose entries pass a check of their own."""

    def check_all(value: Any) -> tuple[Any, ...]:
        parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        parts = [part.strip() if isinstance(part, str) else part for part in parts]
        if not parts or "" in parts:
            raise ValueError("the list is empty or has an empty entry; separate entries by one comma")
        items = [check(part) for part in parts]
        if repeated := [item for number, item in enumerate(items) if item in items[:number]]:
            raise ValueError(f"{repeated[0]} is given twice; name each once")
        return tuple(items)

    return check_all


CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "preset": _one_of(*PRESETS),
    "data": _data,
    "out": _path,
    "models": _several(_text),
    "strategies": _several(_text),
    "seeds": _several(partial(_integer, least=0)),
    "held_seed": partial(_integer, least=0),
    "folds": partial(_integer, least=2),
    "splits": _several(partial(_integer, least=0)),
    "vary": _several(_one_of(*VARIED)),
    "train_fraction": _several(_share),
    "image_size": _integer,
    "epochs": _integer,
    "threads": _integer,
    "precision": _one_of("auto", "fp32", "bf16"),
    "device": _text,
    "pretrained": _truth,
    "weights_dir": _path,
    "normalisation": _one_of("auto", "study", "weights"),
    "fit": _one_of("crop", "pad", "stretch"),
    "frozen_norm": _one_of("eval", "train"),
    "address": _address,
    "gpu_share": _gpu_share,
    "trial_timeout": _positive_minutes,
    "deterministic": _truth,
    "storage": _storage,
    "checkpoint_minutes": _minutes,
    "save_models": _one_of("none", "best", "all"),
    "skip_bad": _truth,
    "allow_duplicates": _truth,
    "validation_share": _share,
    "test_share": _share,
    "per_class": _integer,
    "extra_views": _truth,
    "logger": _several(_one_of(*LOGGERS)),
}
"""Option -> its check: returns the value in its field's type, or raises ValueError with the middle of a sentence."""
