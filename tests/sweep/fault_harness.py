"""Random kills over a sweep of cheap trials on a cluster of two nodes; what is left must be as if nothing had been.

    python -m tests.sweep.fault_harness --kills 30 [--seed N]

    trial    the process in which a trial runs
    worker   any process that Ray keeps for work, on either node, an idle one too
    driver   the sweep itself; the same command is then given again
    node     every process of the second node at once; it is started again

Each four kills are one of each kind, in random order, and wait until there is something to kill.
A sweep that ends before all kills are done is begun anew in another folder. Needs root and `ip`, as two_nodes.py does.
"""

import argparse
import contextlib
import itertools
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from animefer_core.record import read_record
from sweep.folder import find_records
from tests.sweep.two_nodes import CLEAN, TwoNodes, two_nodes
from tests.to_the_bit import numbers

KINDS = ("trial", "worker", "driver", "node")
SECONDS_BETWEEN = (0.5, 8.0)
SETTINGS = ["--models", "resnet18", "--strategies", "linear_probe,partial,full,progressive"]
SETTINGS += ["--epochs", "6", "--image-size", "16", "--no-pretrained", "--checkpoint-minutes", "0"]
FINISHED = re.compile(r"^\[\d+/\d+\] (.+?): validation accuracy")


@dataclass
class Outcome:
    """What came of all kills together."""

    kills: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    """How often the command was given."""
    records: int = 0
    lost: list[str] = field(default_factory=list)
    """Trials without a completed record in the end, a name each."""
    twice: list[str] = field(default_factory=list)
    """Trials whose completed record was written again, or that were told of twice."""
    unequal: list[str] = field(default_factory=list)
    """Trials whose record differs from the undisturbed sweep's."""

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({kinds}), {self.calls} calls, {self.records} records: {len(self.lost)} lost, "
            f"{len(self.twice)} trained twice, {len(self.unequal)} unequal"
        )


class Sweep:
    """One sweep into one folder, by as many calls as it takes."""

    def __init__(self, nodes: TwoNodes, data: Path, folder: Path, seeds: str) -> None:
        self._nodes = nodes
        self._folder = folder
        self._command = ["sweep", "--data", str(data), "--out", str(folder), "--seeds", seeds, *SETTINGS]
        self._log = folder.with_suffix(".log")
        self._written: dict[Path, tuple[int, int]] = {}
        """Completed record -> inode and time of writing when it was first seen."""
        self.rewritten: set[str] = set()
        self.calls = 0
        self.driver = self._call()

    def _call(self) -> "subprocess.Popen[str]":
        self.calls += 1
        with self._log.open("a", encoding="utf-8") as log:
            return self._nodes.drive(self._command, stderr=log)

    def watch(self, seconds: float) -> bool:
        """Watch the records for so long; return whether the sweep is over, all trials completed."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._look()
            code = self.driver.poll()
            if code == 0:
                return True
            if code is not None:
                self.driver = self._call()
            time.sleep(0.05)
        return False

    def _look(self) -> None:
        for path in self._folder.glob("trials/*/record.json"):
            status = path.stat()
            if self._written.get(path) == (status.st_ino, status.st_mtime_ns):
                continue
            if path in self._written:
                self.rewritten.add(path.parent.name)
            # A failed one may be written again.
            if read_record(path.parent).status == "completed":
                self._written[path] = (status.st_ino, status.st_mtime_ns)

    def told_twice(self) -> list[str]:
        """Return the trials of which more than one call said that they had finished."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = Counter(match[1] for line in lines if (match := FINISHED.match(line)))
        return [title for title, count in told.items() if count > 1]

    def log(self) -> str:
        """Return all that the calls said."""
        return self._log.read_text(encoding="utf-8", errors="replace")


def harass(kills: int, seed: int, seeds: str = "1,2,3,4,5,6") -> Outcome:
    """Kill so often, at random, and return what came of it."""
    rng, outcome = random.Random(seed), Outcome()
    coming: list[str] = []
    with tempfile.TemporaryDirectory(prefix="af-faults-") as scratch, contextlib.ExitStack() as stack:
        data, undisturbed = Path(scratch, "faces"), Path(scratch, "undisturbed")
        _animefer("data", "demo", "--out", data, "--per-class", "12")
        _animefer("sweep", "--data", data, "--out", undisturbed, "--seeds", seeds, *SETTINGS, "--threads", "1")
        expected = _numbers(undisturbed)
        nodes = stack.enter_context(two_nodes(data))
        for number in itertools.count():
            folder = Path(scratch, f"disturbed-{number}")
            sweep = Sweep(nodes, data, folder, seeds)
            over = False
            while not over:
                over = sweep.watch(rng.uniform(*SECONDS_BETWEEN))
                if over or outcome.kills.total() == kills:
                    continue
                coming = coming or rng.sample(KINDS, len(KINDS))
                if _kill(coming[-1], nodes, sweep, rng):
                    outcome.kills[coming.pop()] += 1
            _judge(outcome, sweep, folder, expected)
            if outcome.kills.total() >= kills:
                return outcome
    raise AssertionError("unreachable")


def _kill(kind: str, nodes: TwoNodes, sweep: Sweep, rng: random.Random) -> bool:
    """Kill something of a kind; return whether there was anything."""
    if kind == "node":
        nodes.kill(nodes.worker)
        nodes.start_worker()
        return True
    if kind == "driver":
        there = sweep.driver.poll() is None
        sweep.driver.kill()
        return there
    prefix = "ray::ImplicitFunc" if kind == "trial" else "ray::"
    titles = {pid: _title(pid) for space in (nodes.head, nodes.worker) for pid in nodes.pids(space)}
    found = [pid for pid, title in titles.items() if title.startswith(prefix) and "Agent" not in title]
    if not found:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(rng.choice(sorted(found)), signal.SIGKILL)
        return True
    return False


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _judge(outcome: Outcome, sweep: Sweep, folder: Path, expected: dict[str, Any]) -> None:
    found = _numbers(folder)
    outcome.calls += sweep.calls
    outcome.records += len(found)
    outcome.lost += sorted(expected.keys() - found.keys())
    outcome.twice += sorted(sweep.rewritten) + sweep.told_twice()
    outcome.unequal += [name for name in expected.keys() & found.keys() if expected[name] != found[name]]
    outcome.unequal += sorted(found.keys() - expected.keys())
    if outcome.lost or outcome.twice or outcome.unequal:
        print(sweep.log(), file=sys.stderr)


def _numbers(folder: Path) -> dict[str, Any]:
    """Return trial id -> all that a completed record says of its trial but times and places."""
    whole = find_records(folder, move_damaged=False)
    assert not whole.set_aside, whole.set_aside
    completed = [record.trial_id for record in whole.records if record.status == "completed"]
    return {name: numbers(read_record(folder / "trials" / name)) for name in completed}


def _animefer(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "sweep.cli.main", *map(str, arguments)], env=CLEAN, check=True)


def main() -> None:
    """Read the options, kill, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    outcome = harass(options.kills, options.seed)
    print(f"{outcome}; {time.monotonic() - began:.0f} s")
    raise SystemExit(bool(outcome.lost or outcome.twice or outcome.unequal))


if __name__ == "__main__":
    main()
