"""What Ray and Tune read from the environment, some of it at import: call this before anything imports ray."""

import os
import secrets
import sys
from pathlib import Path

from sweep.settings import LOCAL

SETTINGS = {
    # A driver started by `uv run` would otherwise have every worker build an environment of its own.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Trials name their files by absolute paths or not at all.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Nobody reads Tune's CSV, JSON and TensorBoard files: tables come from records.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's handler waits for every trial's next result; KeyboardInterrupt ends a sweep at once, and loses nothing.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The newer output engine prints even when told to be silent.
    "RAY_AIR_NEW_OUTPUT": "0",
}


def configure_ray(address: str) -> None:
    """Set the environment of this process and those that Ray starts.

    Local processes listen on every interface, so they demand a token, which is made for this process and known to
    those that it starts. Raises RuntimeError where ray was imported without one.
    """
    os.environ.update(SETTINGS)
    if address != LOCAL:
        # Whether a cluster lets us in is known at once: something has answered there.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "5")
        return
    if "ray" in sys.modules and os.environ.get("RAY_AUTH_MODE") != "token":
        raise RuntimeError("ray was imported before configure_ray; its processes would not demand a token")
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.pop("RAY_ADDRESS", None)


def configure_client() -> None:
    """Set the environment for talking to a head's job server: the address is the one typed, a token is brought along.

    Ray's client would let $RAY_ADDRESS win over the address typed, and leaves a token that it has at home.
    """
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        os.environ.pop(name, None)
    at_hand = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if at_hand or (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
