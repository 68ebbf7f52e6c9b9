"""What decides a trial's numbers, in one frozen value whose hash is the trial's id."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from animefer_core.training.strategies import Strategy

Precision = Literal["auto", "fp32", "bf16"]
Fit = Literal["crop", "pad", "stretch"]
Arm = Literal["all", "init", "order", "augmentation", "split"]
RANDOM_WEIGHTS = "random"
FROZEN_SEED = 42
"""The study's: what the one split is drawn by that does not follow the trials' seeds."""
STUDY_MODELS = ("resnet18", "resnet50", "vit_b_16", "vit_s_16")


@dataclass(frozen=True, kw_only=True)
class Streams:
    """The seeds of a trial's random streams; equal in an ordinary trial."""

    init: int
    """Seed of the new head, and of the whole network where no pretrained weights are used."""
    order: int
    """Seed of the order in which the training images are met."""
    augmentation: int
    """Seed of the augmentation draws (and of dropout, where a model has it)."""


@dataclass(frozen=True, kw_only=True)
class Views:
    """How pixels become network input; the defaults are the study's."""

    crop_scale: tuple[float, float] = (0.8, 1.0)
    """Range of the random resized crop's area, as a share of the image."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Range of the crop's aspect ratio, drawn on a log scale."""
    flip: float = 0.5
    """Chance of a horizontal flip."""
    brightness: float = 0.2
    """Brightness factor, drawn from 1 minus to 1 plus this."""
    contrast: float = 0.2
    """Contrast factor, likewise."""
    saturation: float = 0.2
    """Saturation factor, likewise."""
    hue: float = 0.05
    """Hue shift, from minus to plus this share of the colour circle."""
    rotation: float = 10.0
    """Largest rotation to either side, in degrees; bilinear, black corners."""
    erase: float = 0.1
    """Chance of random erasing."""
    erase_scale: tuple[float, float] = (0.02, 0.33)
    """Range of the erased area, as a share of the view."""
    erase_ratio: tuple[float, float] = (0.3, 3.3)
    """Range of the erased area's aspect ratio, drawn on a log scale."""
    normalisation: Literal["auto", "study", "weights"] = "auto"
    """ImageNet's mean and deviation ("study"), the weights' own, or "auto": study for its four models."""

    def __post_init__(self) -> None:
        """Make numbers floats and ranges tuples: 1 and 1.0 are one value, and have to give one trial id."""
        for name, value in dict(vars(self)).items():
            if isinstance(value, tuple | list):
                object.__setattr__(self, name, tuple(float(end) for end in value))
            elif isinstance(value, int):
                object.__setattr__(self, name, float(value))


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """All that changes a trial's numbers, as asked. Device, paths and addresses change none and stand elsewhere."""

    model: str
    """One of the study's four models, or a timm name."""
    strategy: Strategy
    """How it is fine-tuned."""
    streams: Streams
    """Seeds of the random streams."""
    arm: Arm = "all"
    """What follows the seed: all streams in ordinary trials, else one of them alone, or the split."""
    split_digest: str
    """Digest of the split: images, labels and parts."""
    split_seed: int = FROZEN_SEED
    """What the split was drawn by."""
    train_fraction: float = 1.0
    """Share of the split's training images that is trained on, of every class."""
    weights_digest: str = RANDOM_WEIGHTS
    """SHA-256 of the pretrained weights' file; "random" where training starts from none."""
    image_size: int = 224
    """Side of the network's square input, in pixels."""
    epochs_cap: int | None = None
    """Cap on the strategy's epochs and its schedule's length."""
    views: Views = field(default_factory=Views)
    """Augmentation and normalisation."""
    fit: Fit = "crop"
    """How an image that is no square becomes one: its centre, the whole with bars, or the whole distorted."""
    frozen_norm: Literal["eval", "train"] = "eval"
    """Whether BatchNorm in frozen blocks keeps its statistics (eval) or goes on averaging them (train)."""
    precision: Precision = "auto"
    """As asked; what was used stands in the record's environment."""
    threads: int = 1
    """CPU threads; one and two differ in the last bits."""

    def __post_init__(self) -> None:
        """Make the share of training images a float: 1 and 1.0 are one value, and have to give one trial id."""
        object.__setattr__(self, "train_fraction", float(self.train_fraction))

    @property
    def seed(self) -> int:
        """The seed that tells this trial from its siblings of the same configuration, split and arm."""
        return (
            self.split_seed
            if self.arm == "split"
            else int(getattr(self.streams, "init" if self.arm == "all" else self.arm))
        )

    @property
    def name(self) -> str:
        """The configuration as it is written everywhere: model/strategy."""
        return f"{self.model}/{self.strategy.name}"

    @property
    def title(self) -> str:
        """The trial in words: configuration, seed, and what is not as in an ordinary trial."""
        arm = "" if self.arm == "all" else f", {self.arm} alone varied"
        split = "" if self.split_seed == FROZEN_SEED else f", split {self.split_seed}"
        share = "" if self.train_fraction == 1 else f", {100 * self.train_fraction:g} % of the training images"
        return f"{self.name} seed {self.seed}{arm}{split}{share}"

    @property
    def held_seed(self) -> int:
        """The seed at which an arm holds the streams that it does not vary; an ordinary trial's own seed."""
        return self.streams.init if self.arm == "order" else self.streams.order

    @property
    def resize(self) -> int:
        """Side to which images are decoded: 256 for 224, in proportion for other sizes."""
        return resize_for(self.image_size)

    def as_dict(self) -> dict[str, Any]:
        """Return the config as JSON-ready dicts and lists."""
        values: dict[str, Any] = json.loads(canonical_json(asdict(self)))
        return values

    @property
    def trial_id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(canonical_json(asdict(self)).encode()).hexdigest()[:16]


def resize_for(image_size: int) -> int:
    """Return the decoded side for a network input of `image_size` pixels (256 for 224)."""
    return round(image_size * 256 / 224)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def config_from(values: Mapping[str, Any]) -> TrialConfig:
    """Return the config that `TrialConfig.as_dict` wrote."""
    parts = {
        "strategy": Strategy(**values["strategy"]),
        "streams": Streams(**values["streams"]),
        "views": Views(**values["views"]),
    }
    return TrialConfig(**{**values, **parts})
