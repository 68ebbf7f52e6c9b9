"""The science of animefer: data, models, training, metrics and records; no Ray, no tables, no command line.

from animefer_core import TrialConfig, run_trial
"""

from typing import TYPE_CHECKING, Any

from animefer_core.config import TrialConfig

if TYPE_CHECKING:
    from animefer_core.trial import run_trial

__all__ = ["TrialConfig", "run_trial"]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, and the command line reads configs and records without it.
    if name == "run_trial":
        from animefer_core.trial import run_trial

        return run_trial
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
