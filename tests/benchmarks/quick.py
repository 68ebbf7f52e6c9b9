"""What `animefer sweep --preset quick` takes: time, memory, and how much of the time is spent within trials.

    uv run python -m tests.benchmarks.quick

Runs it in a process of its own, with results in a scratch folder, and prints the seconds from that process's start to
its end, the peak memory of all its processes, and the share of the machine's time that went into the trials
(building, training and evaluating models). Linux only: memory is read from /proc.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sweep.execution.packing import available_cores


def main() -> None:
    """Run the sweep and print one line."""
    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        sweep = subprocess.Popen(
            [sys.executable, "-m", "sweep.cli.main", "sweep", "--preset", "quick", "--out", scratch]
        )
        peak = PeakMemory(sweep.pid)
        with peak:
            sweep.wait()
        seconds = time.perf_counter() - started
        records = [json.loads(path.read_text(encoding="utf-8")) for path in Path(scratch).glob("trials/*/record.json")]
        slots = available_cores() // max(record["environment"]["threads"] for record in records)
        within = sum(record["efficiency"]["trial_seconds"] for record in records) / (slots * seconds)
        print(
            f"{len(records)} trials in {seconds:.0f} s, {within:.1%} of it within trials ({slots} at once); "
            f"peak memory {peak.bytes / 2**30:.1f} GiB"
        )


class PeakMemory:
    """Samples what a process and all its descendants hold, shared pages counted once.

    Every three seconds: reading takes so long that twice a second would be a tenth of the machine.
    """

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(3):
            self.bytes = max(self.bytes, sum(map(proportional_bytes, descendants(self._pid))))


def descendants(pid: int) -> Iterator[int]:
    """Yield a process and all that it and its children have started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text(encoding="ascii").split()
        except OSError:
            # The thread has ended meanwhile.
            continue
        for child in children:
            yield from descendants(int(child))


def proportional_bytes(pid: int) -> int:
    """Return a process's resident bytes, each shared page divided by how many share it; 0 where it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
