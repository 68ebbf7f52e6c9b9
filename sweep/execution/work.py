"""What a sweep gives to the executor, and what may end it early."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from animefer_core.config import TrialConfig
from animefer_core.data.pixels import ImageSet
from animefer_core.record import TrialRecord
from sweep.checkpoints import NOWHERE, Place
from sweep.execution.packing import Packing
from sweep.execution.trainable import State
from sweep.settings import SaveModels

Keep = Callable[[TrialRecord, Callable[[], State | None]], None]
"""Called with every record as soon as it is there, and with a function that fetches its checkpoint."""


class SweepStoppedError(Exception):
    """The sweep cannot go on; the message says why."""


class NotKeptError(Exception):
    """A record could not be written; the message says which and why."""


class SweepEndedError(Exception):
    """A scheduler ended the sweep; the message names its signal."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What there is to train, and with what."""

    trials: Sequence[TrialConfig]
    data: ImageSet
    weights: Mapping[str, State]
    """Model -> pretrained state dict; models without an entry start from random weights."""
    packing: Packing
    device: str
    save_models: SaveModels
    """Which of the chosen checkpoints the driver may ask for."""
    extra_views: bool = True
    """Whether the test images are met altered as well."""
    deterministic: bool = False
    """Whether trials have to give equal bits on one card."""
    checkpoints: Place = NOWHERE
    """Where a trial that is tried again finds its last epoch."""
    trial_timeout: float | None = None
    """Minutes after which a trial is given up."""
