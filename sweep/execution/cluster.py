"""Joining a Ray cluster, and what its machines are: their CPUs, memory and cards, and whether they can run trials."""

import contextlib
import importlib.metadata
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from animefer_core.calibration import Pace, measure
from animefer_core.config import TrialConfig
from animefer_core.errors import InputError
from sweep.execution.packing import Node, Share, check_device
from sweep.settings import AUTO

QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
REACH_SECONDS = 10
KNOCK_SECONDS = 30
KNOCK = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]).internal_kv_keys(b'', None)"
PROBE_SECONDS = 120
EQUAL = {"animefer": 3, "torch": 2, "torchvision": 2, "timm": 2}
"""Packages that must be the same on all machines -> how many parts of their versions."""


@contextlib.contextmanager
def joined(address: str, device: str) -> Iterator[tuple[Node, ...]]:
    """Join the cluster at "auto" or HOST:PORT, and give its machines; `configure_ray` has been called.

    Cards count where `device` uses them.

    Raises InputError where no cluster answers or lets us in, and where one of its machines could not run a trial as
    this one would.
    """
    check_device(device)
    _reach(address)
    with tempfile.TemporaryFile() as said:
        try:
            with _said_to(said):
                connect(address=address)
        except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
            said.seek(0)
            raise InputError(f"--address {address}: {_why(error, said.read().decode(errors='replace'))}") from error
    try:
        nodes = tuple(_machines(address, on_cards=device != "cpu"))
        if not nodes:
            raise InputError(f"--address {address}: no machine is left there; see `ray status` on its head.")
        if device == "cuda" and not any(node.gpus for node in nodes):
            raise InputError(f"--device cuda: no machine of the cluster at {address} has a GPU; leave --device out.")
        yield nodes
    finally:
        disconnect()


def connect(**options: Any) -> None:
    """Start or join Ray, uninterrupted: half of a Ray crashes at the end of its process.

    A signal that comes meanwhile is heard by its handler afterwards; Ray's own of SIGTERM would say nothing.
    """
    ours = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    heard: list[int] = []
    for number, handler in ours.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: heard.append(number))
    try:
        ray.init(**QUIET, **options)
    except SystemExit:
        # Ray has put its handler in the place of that for SIGTERM, and raises this.
        heard.append(signal.SIGTERM)
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    if heard:
        disconnect()
        signal.raise_signal(heard[0])


def disconnect() -> None:
    """End or leave Ray, which would have SIGTERM kill this process from then on."""
    ours = signal.getsignal(signal.SIGTERM)
    ray.shutdown()
    signal.signal(signal.SIGTERM, ours)


def _reach(address: str) -> None:
    """Knock before Ray does, which tries for longer and says more."""
    if address == AUTO:
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(
            f"--address {address}: nothing answers there ({why}); start the cluster's head by "
            f"`ray start --head --port={port}`, or leave --address and RAY_ADDRESS out to use this machine."
        ) from error
    # Ray itself would ask something that is no cluster for ever; what else may be wrong it tells soon.
    try:
        command = [sys.executable, "-c", KNOCK, address]
        subprocess.run(command, timeout=KNOCK_SECONDS, capture_output=True, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"--address {address}: what answers there is no Ray cluster; give the address that `ray start --head` told."
        ) from error


@contextlib.contextmanager
def _said_to(file: BinaryIO) -> Iterator[None]:
    """Have what is written to standard error go into a file: Ray's C++ tells there what Python is not told."""
    sys.stderr.flush()
    before = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _why(error: Exception, said: str) -> str:
    """Return why Ray refused, and what to do, from what it raised and what it wrote."""
    text = " ".join(str(error).split())
    if "ersion mismatch" in text:
        return (
            f"the cluster runs another Ray or Python ({text.rstrip('.')}); install the same on every machine, this one "
            "included."
        )
    if isinstance(error, ray.exceptions.AuthenticationError) or "InvalidAuthToken" in said:
        return (
            "the cluster demands a token, and the one given here is missing or wrong; set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) as on its head."
        )
    return f"no Ray cluster can be used there ({text[:200].rstrip('.')}); see `ray status --address HOST:PORT`."


def measured_there(config: TrialConfig, classes: int, device: str, share: Share) -> Pace:
    """Return a trial's pace on a machine of the cluster that is joined, with a trial's share of it."""
    remote: Any = ray.remote(measure).options(num_cpus=share.cpus, num_gpus=share.gpu)
    try:
        pace: Pace = ray.get(remote.remote(config, classes, device), timeout=PROBE_SECONDS)
    except ray.exceptions.GetTimeoutError as error:
        raise InputError(
            f"plan: no machine of the cluster has had room for a calibration within {PROBE_SECONDS} s; wait for what "
            "runs there."
        ) from error
    return pace


def alive() -> list[dict[str, Any]]:
    """Return what Ray tells of each machine that is up."""
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _machines(address: str, *, on_cards: bool) -> Iterator[Node]:
    everything = alive()
    found = [node for node in everything if node["Resources"].get("CPU", 0) >= 1]
    if not found:
        raise InputError(
            f"--address {address}: no machine there has a CPU for trials; add one by `ray start --address=...`."
        )
    for node in everything:
        if on_cards and node not in found and node["Resources"].get("GPU", 0):
            raise InputError(
                f"--address {address}: {node['NodeManagerAddress']} has GPUs but no CPU for trials; start its Ray with "
                "--num-cpus, or say --device cpu."
            )
    own = _versions()
    cards = [int(node["Resources"].get("GPU", 0)) if on_cards else 0 for node in found]
    probes = [_probe(node, has_card=count > 0) for node, count in zip(found, cards, strict=True)]
    for node, gpus, probe in zip(found, cards, probes, strict=True):
        name, resources = node["NodeManagerAddress"], node["Resources"]
        try:
            versions, gpu_bytes = ray.get(probe, timeout=PROBE_SECONDS)
        except ray.exceptions.GetTimeoutError as error:
            raise InputError(
                f"--address {address}: {name} has not answered within {PROBE_SECONDS} s; where other work has "
                "taken all of its cards, wait for it."
            ) from error
        except (ray.exceptions.RayError, ImportError) as error:
            if node["NodeID"] not in {each["NodeID"] for each in alive()}:
                # Lost since it was counted: the sweep can do without.
                continue
            reason = " ".join(str(error).strip().splitlines()[-1:])[:200]
            raise InputError(
                f"--address {address}: {name} cannot run trials ({reason}); install animefer and the same Python there."
            ) from error
        check_versions(versions, own, f"--address {address}: {name}")
        if gpus and not gpu_bytes:
            raise InputError(
                f"--address {address}: {name} has {gpus} GPUs that its torch cannot use; install a torch that "
                "was built for them and their driver, or say --device cpu."
            )
        yield Node(
            name=name,
            cpus=int(resources["CPU"]),
            memory=int(resources.get("memory", 0)),
            gpus=gpus,
            gpu_bytes=gpu_bytes,
        )


def check_versions(there: Mapping[str, str], here: Mapping[str, str], where: str) -> None:
    """Raise InputError, which begins with `where`, for packages whose versions would make other numbers."""
    for package, parts in EQUAL.items():
        if there[package].split(".")[:parts] != here[package].split(".")[:parts]:
            raise InputError(
                f"{where} has {package} {there[package]}, and this machine {here[package]}; install the same on every "
                "machine."
            )


def _probe(node: dict[str, Any], *, has_card: bool) -> Any:
    """Have a machine tell of itself; returns a reference to what `_tell` returns."""
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    # A little of one card lets the process see it.
    gpu = 0.01 if has_card else 0
    return (
        ray.remote(_tell).options(num_cpus=0, num_gpus=gpu, max_retries=0, scheduling_strategy=there).remote(has_card)
    )


def _tell(has_card: bool) -> tuple[dict[str, str], int]:
    """Return the versions of what decides a trial's numbers, and the memory of this process's card in bytes."""
    if not has_card:
        return _versions(), 0
    import torch

    return _versions(), torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0


def _versions() -> dict[str, str]:
    return {package: importlib.metadata.version(package) for package in EQUAL}
