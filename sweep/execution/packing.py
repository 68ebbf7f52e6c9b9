"""How much of which machine each trial takes, and how many therefore run at once.

on processors   a trial takes its threads, or as many CPUs as the memory that it needs is worth
on GPUs         a share of one card by the memory that it needs, never parts of two; threads as cores allow
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from animefer_core.config import TrialConfig
from animefer_core.errors import InputError

USABLE = 0.8
"""Share of a machine's free memory that is planned with; estimates err, and others live there too."""
PER_CARD = (8, 6, 4, 3, 2, 1)
"""How many trials may share one card: few sizes, since a process that is reused keeps its own."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine, as far as trials see it."""

    name: str
    cpus: int
    memory: int
    """Bytes that trials may take."""
    gpus: int = 0
    gpu_bytes: int = 0
    """Memory of one of its cards; 0 where that is not known."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one trial takes of the one machine that it runs on."""

    cpus: int
    gpu: float = 0.0
    """Part of one card; 0 on a processor."""

    def at_once_on(self, node: Node) -> int:
        """Return how many trials of this share a machine runs at once, counted card by card."""
        by_cpus = node.cpus // self.cpus
        return min(by_cpus, node.gpus * int(1 / self.gpu)) if self.gpu else by_cpus


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The most memory that one configuration's trial takes, in bytes, as estimated."""

    process: int
    """Of its process, where it trains on a processor."""
    card: int
    """Of its card, where it trains on one."""


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How the machines are divided among trials."""

    nodes: Sequence[Node]
    threads: int
    """CPU threads of each trial."""
    shares: Mapping[tuple[str, str], Share]
    """(model, strategy) -> its share."""

    def share(self, config: TrialConfig) -> Share:
        """Return a trial's share; that of its model's hungriest strategy where its own is not known."""
        known = self.shares.get((config.model, config.strategy.name))
        return known or max((share for (model, _), share in self.shares.items() if model == config.model), key=_hunger)

    def at_once(self, share: Share) -> int:
        """Return how many trials of one share run at once on all machines."""
        return sum(share.at_once_on(node) for node in self.nodes)

    @property
    def trials_at_once(self) -> int:
        """How many trials run at once, on average over the configurations."""
        return max(1, round(sum(map(self.at_once, self.shares.values())) / len(self.shares)))

    def shares_device(self, config: TrialConfig) -> bool:
        """Whether a trial's timings are taken beside other trials on the same card, or the same processor."""
        share = self.share(config)
        return share.gpu < 1 and any(share.at_once_on(node) > max(1, node.gpus) for node in self.nodes)

    def ordered(self, trials: Iterable[TrialConfig]) -> list[TrialConfig]:
        """Return trials by share, the largest first, and as they come within one.

        A process serves one size of share after another only by being started anew; and the large ones would find no
        room behind the small.
        """
        return sorted(trials, key=lambda config: _hunger(self.share(config)), reverse=True)

    def alone(self) -> "Packing":
        """Return the packing in which every trial has a card to itself."""
        return replace(self, shares={name: replace(share, gpu=1.0) for name, share in self.shares.items()})


def pack(
    nodes: Sequence[Node],
    needs: Mapping[tuple[str, str], Peak],
    *,
    threads: int | None,
    gpu_share: float | None,
    on_cards: bool,
) -> Packing:
    """Return how trials that need so much are packed onto machines.

    `threads` is what was asked for; None: cores divided by trials at once. On a processor that is one, as far as memory
    allows: two trials beside each other waste less than two threads within one. `gpu_share` is what was asked for;
    None: as `needs` say. `on_cards`: trials train on GPUs, of which there is one at least.
    Raises InputError for threads or a share that no machine has room for.
    """
    if on_cards:
        nodes = [node for node in nodes if node.gpus]
    widest = max(node.cpus for node in nodes)
    if threads is not None and threads > widest:
        machine = "this machine has" if len(nodes) == 1 else "no machine has more than"
        raise InputError(f"--threads {threads}: {machine} {widest} cores; give at most that many.")
    if not on_cards:
        threads = threads or _threads_on_processors(nodes, needs)
        shares = {name: Share(cpus=_cpus(nodes, need, threads)) for name, need in needs.items()}
        return Packing(nodes=nodes, threads=threads, shares=shares)
    cards = {name: gpu_share or _part_of_a_card(nodes, need, threads or 1) for name, need in needs.items()}
    most = max(int(1 / part) for part in cards.values())
    asked, threads = threads, threads or max(1, min(node.cpus // (node.gpus * most) for node in nodes))
    shares = {name: Share(cpus=threads, gpu=part) for name, part in cards.items()}
    for node in nodes:
        if (used := max(share.at_once_on(node) for share in shares.values())) < node.gpus:
            raise InputError(
                f"--threads {threads}: of the {node.gpus} GPUs of {node.name}, {node.gpus - used} would be left idle, "
                f"for it has {node.cpus} cores; {_more_trials(node, asked)}."
            )
    return Packing(nodes=nodes, threads=threads, shares=shares)


def _more_trials(node: Node, threads: int | None) -> str:
    if threads is not None and node.cpus >= node.gpus:
        return f"give --threads {node.cpus // node.gpus} at most"
    return "give it more (`ray start --num-cpus`), or hide cards by CUDA_VISIBLE_DEVICES"


def _threads_on_processors(nodes: Sequence[Node], needs: Mapping[tuple[str, str], Peak]) -> int:
    """Return the threads at which the hungriest trials leave no core idle, on the machine with the fewest to spare."""
    largest = max(need.process for need in needs.values())
    return min(node.cpus // max(1, min(node.cpus, int(USABLE * node.memory / largest))) for node in nodes)


def _cpus(nodes: Sequence[Node], need: Peak, threads: int) -> int:
    """Return the CPUs whose part of the memory is enough; all of a machine's where none has enough."""
    worth = [need.process * node.cpus / max(1.0, USABLE * node.memory) for node in nodes]
    enough = [cpus for cpus, node in zip(map(math.ceil, worth), nodes, strict=True) if cpus <= node.cpus]
    return max(threads, min(enough, default=max(node.cpus for node in nodes)))


def _part_of_a_card(nodes: Sequence[Node], need: Peak, threads: int) -> float:
    """Return the smallest part of a card that holds a trial, as far as every machine's cores allow; 1 if unknown."""
    fitting = min(node.gpu_bytes // need.card for node in nodes)
    cores = min(node.cpus // (node.gpus * threads) for node in nodes)
    count = next((count for count in PER_CARD if count <= min(fitting, cores)), 1)
    # Ray counts in ten thousandths; three thirds must not be more than one card.
    return int(10_000 / count) / 10_000


def _hunger(share: Share) -> tuple[float, int]:
    return share.gpu, share.cpus


def check_device(device: str) -> None:
    """Raise InputError for a card by number: trials get theirs from Ray."""
    if device.startswith("cuda:"):
        raise InputError(
            f"--device {device}: a sweep gives its trials their cards by itself; choose which it may use by "
            f"CUDA_VISIBLE_DEVICES={device.partition(':')[2]}, and say --device cuda."
        )


def this_machine(device: str) -> Node:
    """Return the machine that this process runs on; cards count where `device` (auto, or as torch names it) uses them.

    Raises InputError where there are GPUs that nothing would use, and for a card by number.
    """
    check_device(device)
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if device == "auto" and not gpus and (unused := _nvidia_cards()) and "CUDA_VISIBLE_DEVICES" not in os.environ:
        raise InputError(
            f"--device auto: this machine has {unused} GPUs, and torch {torch.__version__} can use none of them; "
            "install a torch that was built for them and their driver, or say --device cpu."
        )
    return Node(
        name="this machine",
        cpus=available_cores(),
        memory=available_memory(),
        gpus=gpus,
        gpu_bytes=min((torch.cuda.get_device_properties(card).total_memory for card in range(gpus)), default=0),
    )


def _nvidia_cards() -> int:
    """Return how many cards NVIDIA's driver knows; it lists them here on Linux."""
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def available_cores() -> int:
    """Return the cores that this process may use; a scheduler's or container's allocation may be below the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    allowed, _, period = quota.read_text(encoding="ascii").partition(" ") if quota.exists() else ("max", "", "")
    return cores if allowed == "max" else max(1, min(cores, int(allowed) // int(period)))


def available_memory() -> int:
    """Return the bytes that can be allocated, the limit of a container included."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        line = next(
            line for line in meminfo.read_text(encoding="ascii").splitlines() if line.startswith("MemAvailable")
        )
        free = int(line.split()[1]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.exists() else "max"
    return free if text == "max" else min(free, int(text))
