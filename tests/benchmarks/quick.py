"""What `animefer sweep --preset quick` takes: time, memory, and how much of the time is spent within trials.

    uv run python -m tests.benchmarks.quick

Runs it in a process of its own, with results in a scratch folder, and prints the seconds from that process's start to
its end, the peak memory of all its processes, and the share of the machine's time that went into the trials
(building, training and evaluating models).
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

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
        self._process = psutil.Process(pid)
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
            with contextlib.suppress(psutil.NoSuchProcess):
                family = [self._process, *self._process.children(recursive=True)]
                self.bytes = max(self.bytes, sum(map(proportional_bytes, family)))


def proportional_bytes(process: psutil.Process) -> int:
    """Return a process's resident bytes, each shared page divided by how many share it; 0 where it has ended."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0


if __name__ == "__main__":
    main()
