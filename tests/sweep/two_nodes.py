"""A real Ray cluster of two nodes on one machine: two network namespaces joined by a veth pair.

    head     10.213.77.1   the driver runs here
    worker   10.213.77.2   its own mounts, so that folders can be hidden from it: nothing is shared but the network

It needs root and `ip`; `reason_against` says what is lacking.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

HEAD, WORKER = "10.213.77.1", "10.213.77.2"
PORT = 6399
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
"""What the nodes and the driver know of Ray beforehand: nothing."""


def reason_against() -> str | None:
    """Return why no two nodes can be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if missing := [name for name in ("ip", "unshare", "mount") if shutil.which(name) is None]:
        return f"there is no {missing[0]} here"
    probe = f"animefer-probe-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
    return None if tried.returncode == 0 else f"no network namespace can be made here ({tried.stderr.strip()})"


@dataclass
class TwoNodes:
    """Both nodes; `address` is what a driver in the head's namespace connects to."""

    hidden: tuple[Path, ...]
    """Folders that the worker's node sees empty."""
    cpus: int
    secret: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: dict(CLEAN))
    head: str = f"afh{os.getpid()}"
    worker: str = f"afw{os.getpid()}"
    temporary: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="af", dir="/tmp")))
    address: str = f"{HEAD}:{PORT}"
    drivers: list["subprocess.Popen[str]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Ray demands a token that lies at home.
        self.environment["HOME"] = str(self.temporary)

    def start(self) -> None:
        """Join two namespaces, and start a node in each."""
        for space in (self.head, self.worker):
            _ip("netns", "add", space)
        _ip("link", "add", f"v{self.head}", "type", "veth", "peer", "name", f"v{self.worker}")
        for space, own in ((self.head, HEAD), (self.worker, WORKER)):
            _ip("link", "set", f"v{space}", "netns", space)
            for command in (f"addr add {own}/24 dev v{space}", f"link set v{space} up", "link set lo up"):
                _ip("-n", space, *command.split())
        self.start_head()
        self.start_worker()

    def start_head(self) -> None:
        """Start the head's node."""
        options = ["--head", f"--port={PORT}", f"--node-ip-address={HEAD}", "--include-dashboard=false"]
        self._start_node(self.head, [*options, f"--temp-dir={self.temporary}"], hidden=())

    def start_worker(self) -> None:
        """Start the worker's node, or start it again."""
        options = [f"--address={self.address}", f"--node-ip-address={WORKER}"]
        self._start_node(self.worker, options, hidden=self.hidden)

    def pids(self, space: str) -> list[int]:
        """Return every process of a node, the drivers in it included."""
        listed = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=False).stdout
        return [int(line) for line in listed.split()]

    def kill(self, space: str, but: tuple[int, ...] = ()) -> None:
        """Kill every process of a node at once, as a lost machine does."""
        for pid in self.pids(space):
            if pid not in but:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def lose_cluster(self) -> None:
        """Kill every node but what `drive` has started."""
        drivers = [process.pid for process in self.drivers]
        spared = {pid for pid in self.pids(self.head) if pid in drivers or _parent_of(pid) in drivers}
        self.kill(self.worker)
        self.kill(self.head, but=tuple(spared))

    def drive(self, arguments: list[str], stderr: "int | TextIO" = subprocess.PIPE) -> "subprocess.Popen[str]":
        """Start `animefer` on the head, with nothing of Ray's but its address in the environment."""
        driver = subprocess.Popen(
            ["ip", "netns", "exec", self.head, sys.executable, "-m", "sweep.cli.main", *arguments],
            env=self.environment | {"RAY_ADDRESS": self.address},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        self.drivers.append(driver)
        return driver

    def stop(self) -> None:
        """Kill what is left, and take the namespaces away."""
        for space in (self.worker, self.head):
            self.kill(space)
            _ip("netns", "del", space, check=False)
        for driver in self.drivers:
            # Reaps it, and closes its pipes.
            with driver:
                driver.kill()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _start_node(self, space: str, options: list[str], hidden: tuple[Path, ...]) -> None:
        hide = "".join(f"mount -t tmpfs none '{folder}' && " for folder in hidden)
        start = f"start --num-cpus={self.cpus} --num-gpus=0"
        command = f'hostname {space} && {hide}exec "$0" -m ray.scripts.scripts {start} "$@"'
        subprocess.run(
            ["ip", "netns", "exec", space, "unshare", "-mu", "sh", "-c", command, sys.executable, *options],
            env=self.environment | self.secret,
            check=True,
            capture_output=True,
            timeout=120,
        )


def _parent_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    return 0


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


@contextlib.contextmanager
def two_nodes(*hidden: Path, cpus: int = 1, secret: Mapping[str, str] | None = None) -> Iterator[TwoNodes]:
    """Give a cluster of two nodes with so many CPUs each, and with variables that its drivers are not told."""
    nodes = TwoNodes(hidden=hidden, cpus=cpus, secret=dict(secret or {}))
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()
