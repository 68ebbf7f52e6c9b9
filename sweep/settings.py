"""What a sweep is asked to do: presets, a TOML file and options, the later winning over the earlier.

preset        quick (drawn faces, random weights, minutes) or paper (the study's settings)
--config      a TOML file with the options' names, and [strategy.NAME] tables for strategies of one's own
options       as typed
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import tomli_w

from animefer_core.config import STUDY_MODELS
from animefer_core.errors import InputError
from animefer_core.training.strategies import STUDY, Strategy, strategy_from

DEMO = "demo"
SaveModels = Literal["none", "best", "all"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the options of `animefer sweep` and `animefer trial` can say, resolved."""

    preset: str
    """"paper" or "quick"."""
    data: str
    """A folder of labelled images, or "demo" for drawn faces."""
    out: Path
    """The results folder."""
    models: tuple[str, ...] = STUDY_MODELS
    strategies: tuple[str, ...] = tuple(STUDY)
    seeds: tuple[int, ...] = (42, 1, 2, 3, 4)
    known_strategies: Mapping[str, Strategy]
    """Name -> strategy: the study's under the preset, and those of the config file."""
    image_size: int = 224
    """Side of the network's input, in pixels."""
    epochs: int | None = None
    """Cap on every strategy's epochs."""
    threads: int | None = None
    """CPU threads a trial; None: cores divided by trials at once."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    pretrained: bool = True
    weights_dir: Path | None = None
    normalisation: Literal["auto", "study", "weights"] = "auto"
    frozen_norm: Literal["eval", "train"] = "eval"
    address: str = "local"
    """Ray cluster: "local" starts one in this machine's processes."""
    gpu_share: float = 1.0
    """Share of a GPU that a trial gets."""
    save_models: SaveModels = "best"
    skip_bad: bool = False
    allow_duplicates: bool = False
    validation_share: float = 0.15
    test_share: float = 0.15
    per_class: int = 45
    """Drawn faces a class."""

    @property
    def own_strategies(self) -> dict[str, Strategy]:
        """The strategies that are not the study's."""
        return {name: strategy for name, strategy in self.known_strategies.items() if name not in STUDY}

    def to_toml(self) -> str:
        """Return the file that repeats this sweep as `--config`."""
        leave_out = {"known_strategies", "out", "address", "device"}
        values = {name: value for name, value in vars(self).items() if name not in leave_out and value is not None}
        values = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
        own = {
            name: {key: value for key, value in asdict(strategy).items() if key != "name" and value is not None}
            for name, strategy in self.own_strategies.items()
        }
        return tomli_w.dumps(values | ({"strategy": own} if own else {}))


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


def resolve(options: Mapping[str, Any]) -> Settings:
    """Return the settings that a preset, the file of options["config"] and the options themselves give.

    Options that are None were not typed. Raises InputError naming the option or the file at fault.
    """
    typed = {name: value for name, value in options.items() if value is not None and name != "config"}
    written, own = _read_file(options["config"]) if options.get("config") else ({}, {})
    given = {**written, **typed}
    data = str(given.get("data", DEMO))
    preset = str(given.get("preset", "quick" if data == DEMO else "paper"))
    if preset not in PRESETS:
        raise InputError(f"--preset {preset}: there is no such preset; choose one of {', '.join(PRESETS)}.")
    if "weights_dir" in given:
        given.setdefault("pretrained", True)
    values = {**PRESETS[preset], **given, "preset": preset, "data": data}
    values = {name: _convert(name, value) for name, value in values.items()}
    if data != DEMO:
        values["data"] = str(Path(data).expanduser().absolute())
    values.setdefault("out", Path("reports") / (preset if data == DEMO else Path(values["data"]).name))
    values["out"] = values["out"].expanduser().absolute()
    settings = Settings(**values, known_strategies=_strategies(preset) | own)
    _check(settings)
    return settings


def _strategies(preset: str) -> dict[str, Strategy]:
    strategies = dict(STUDY)
    if preset == "quick":
        strategies["progressive"] = replace(STUDY["progressive"], unfreeze_every=1)
    return strategies


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, Strategy]]:
    """Return a config file's options and its own strategies."""
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config {path}: the file cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path}: this is no valid TOML ({error}).") from error
    tables = values.pop("strategy", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise InputError(f"--config {path}: write a strategy of your own as a table [strategy.NAME].")
    if taken := sorted(set(tables) & set(STUDY)):
        raise InputError(f"--config {path}: the strategy name {taken[0]!r} is the study's; choose another.")
    own = {name: strategy_from(name, table) for name, table in tables.items()}
    options = {name.replace("-", "_"): value for name, value in values.items()}
    known = {field.name for field in fields(Settings)} - {"known_strategies"}
    if unknown := sorted(set(options) - known):
        raise InputError(
            f"--config {path}: there is no option {unknown[0]!r}; the names are those of `animefer sweep --help`."
        )
    return options, own


def _convert(name: str, value: Any) -> Any:
    """Return an option's value in the type of its field; texts of a list are split at commas."""
    if name in ("models", "strategies"):
        return _unique(name, _items(value))
    if name == "seeds":
        return _unique(name, [_integer(name, item, least=0) for item in _unique(name, _items(value))])
    if name in ("image_size", "epochs", "threads", "per_class"):
        return _integer(name, value, least=1)
    if name in ("gpu_share", "validation_share", "test_share"):
        return _share(name, value)
    if name in ("weights_dir", "out"):
        return Path(value)
    if name in ("pretrained", "skip_bad", "allow_duplicates") and not isinstance(value, bool):
        raise InputError(f"{_option(name)}: {value!r} is neither true nor false.")
    return value


def _items(value: Any) -> list[Any]:
    parts = value.split(",") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else [value]
    return [part.strip() if isinstance(part, str) else part for part in parts]


def _integer(name: str, value: Any, least: int) -> int:
    try:
        number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or number < least:
        raise InputError(f"{_option(name)}: {value!r} is no integer of at least {least}.")
    return number


def _share(name: str, value: Any) -> float:
    try:
        share = 1.0 if value == "auto" else float(value)
    except (TypeError, ValueError):
        share = 0.0
    if not 0 < share <= 1:
        raise InputError(f"{_option(name)}: {value!r} is no number above 0 and up to 1.")
    return share


def _unique(name: str, items: Sequence[Any]) -> tuple[Any, ...]:
    if not items or "" in items:
        raise InputError(f"{_option(name)}: the list is empty or has an empty entry; separate entries by one comma.")
    if repeated := [item for number, item in enumerate(items) if item in items[:number]]:
        raise InputError(f"{_option(name)}: {repeated[0]} is given twice; name each once.")
    return tuple(items)


def _check(settings: Settings) -> None:
    """Refuse names that are not there, with the near matches."""
    choices = {
        "precision": ("auto", "fp32", "bf16"),
        "save_models": ("none", "best", "all"),
        "normalisation": ("auto", "study", "weights"),
        "frozen_norm": ("eval", "train"),
    }
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            raise InputError(f"{_option(name)}: {getattr(settings, name)!r} is none of {', '.join(allowed)}.")
    for strategy in settings.strategies:
        if strategy not in settings.known_strategies:
            from difflib import get_close_matches

            near = get_close_matches(strategy, settings.known_strategies) or list(settings.known_strategies)
            raise InputError(f"--strategies: there is no strategy {strategy!r}; perhaps you mean {', '.join(near)}.")
    if settings.address.startswith("ray://"):
        raise InputError(f"--address {settings.address}: Ray Client is not supported; submit the sweep as a job there.")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
