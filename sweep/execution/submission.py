"""A sweep on a cluster that is far from here: the same command as a Ray job on the head, where animefer is installed.

Nothing is uploaded: paths are those of the head.
"""

import asyncio
import logging
import shlex
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

from animefer_core.errors import InputError
from sweep.execution.environment import configure_client

COMMANDS = ("sweep", "search")
"""The commands that train on a cluster."""
FOLDERS = ("--out", "--data", "--config", "--weights-dir", "--storage")
"""Options that name files; on the head, where nobody knows what a relative path is relative to."""
BAD_INPUT = 2
STOP_SECONDS = 60
"""How long a job that is stopped may take to save where it stands; Ray would kill it after 3 s."""
ENVIRONMENT = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
"""All that goes with the command; Ray itself gives the job its cluster's address."""
NOT_FOUND = 127
"""A shell's exit code for a command that it does not find."""
POLL_SECONDS = 1.0


def submit(address: str, command: Sequence[str], *, wait: bool, say: Callable[[str], None]) -> int:
    """Submit `animefer` with the words of `command` to the head whose dashboard has this address; tell its id first.

    Return 0 once it is submitted; with `wait`, tell its log and return the exit code of the command.
    Raises InputError for a command that cannot run there, a head that does not answer or refuses, a missing extra.
    """
    entrypoint = entrypoint_of(command)
    client = _client(address)
    try:
        job = str(client.submit_job(entrypoint=entrypoint, runtime_env={"env_vars": ENVIRONMENT}))
    except RuntimeError as error:
        raise InputError(f"--address {address}: the job was not taken there ({_first_line(error)}).") from error
    say(job)
    say(f"to follow it: ray job logs --follow --address {address} {job}")
    say(f"to stop it: ray job stop --address {address} {job}")
    return _result(client, job, say) if wait else 0


def entrypoint_of(command: Sequence[str]) -> str:
    """Return the head's command line; raises InputError for a command or a path that means nothing there."""
    if not command:
        raise InputError("submit: there is no command; write it after --, as in -- sweep --data /ON/HEAD.")
    name, *options = command
    if name not in COMMANDS:
        raise InputError(f"submit: {name!r} is nothing to submit; after -- stands {' or '.join(COMMANDS)}.")
    given = _folders(options)
    if "--out" not in given:
        raise InputError("submit: name the results folder on the head by --out /PATH after --.")
    for option, value in given.items():
        is_uri = option == "--storage" and "://" in value
        if not value.startswith(("/", "~")) and not is_uri and (option, value) != ("--data", "demo"):
            raise InputError(f"{option} {value}: the path is the head's; write it in full, from / on.")
    return shlex.join(["animefer", *command])


def _folders(options: Sequence[str]) -> dict[str, str]:
    """Return the options that name files, written as `--out DIR` or as `--out=DIR`, with their values."""
    words = [part for word in options for part in (word.split("=", 1) if word.startswith("--") else [word])]
    return {word: value for word, value in pairwise([*words, ""]) if word in FOLDERS}


def _client(address: str) -> Any:
    """Return Ray's client of the job server at an http address; it has answered."""
    if not address.startswith(("http://", "https://")):
        raise InputError(f"--address {address}: write the head's dashboard, as http://HEAD:8265.")
    if find_spec("aiohttp") is None:
        raise InputError("submit: it needs Ray's job client, which is not installed: install animefer[cluster].")
    configure_client()
    import requests
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    # Ray logs each closed connection.
    logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise InputError(
            f"--address {address}: the cluster did not accept the token; have the cluster's in ~/.ray/auth_token or "
            "in the file that RAY_AUTH_TOKEN_PATH names."
        ) from error
    except (ConnectionError, requests.RequestException, RuntimeError, KeyError) as error:
        raise InputError(
            f"--address {address}: no Ray dashboard answers there ({_first_line(error)}); is the port forwarded?"
        ) from error


def _result(client: Any, job: str, say: Callable[[str], None]) -> int:
    """Tell the job's log until it ends, and return its command's exit code; 1 where the log or the job was cut off."""
    try:
        asyncio.run(_tell_log(client, job, say))
        info = client.get_job_info(job)
        while not info.status.is_terminal():
            time.sleep(POLL_SECONDS)
            info = client.get_job_info(job)
    except KeyboardInterrupt:
        say(f"Job {job} goes on without being followed.")
        return 1
    except (OSError, RuntimeError) as error:
        say(f"The connection was lost ({_first_line(error)}); job {job} goes on if its head does.")
        return 1
    if info.driver_exit_code == NOT_FOUND:
        raise InputError("submit: the head finds no animefer; install it where its Ray was started from.")
    say(f"Job {job}: {info.status.value.lower()}.")
    if info.status.value == "SUCCEEDED":
        return 0
    return BAD_INPUT if info.driver_exit_code == BAD_INPUT else 1


async def _tell_log(client: Any, job: str, say: Callable[[str], None]) -> None:
    async for lines in client.tail_job_logs(job):
        say(lines.rstrip("\n"))


def _first_line(error: object) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
