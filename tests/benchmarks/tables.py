"""Time and memory of reading a large sweep and making all of its tables.

    uv run python -m tests.benchmarks.tables [--models 25] [--seeds 20] [--images 10000] [--folder DIR]

Plants models x 4 strategies x seeds records with random logits of six classes (minutes, and a gigabyte, at the
defaults; a folder that is there is used again), then reads them and makes the tables in a process of its own.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.sweep.records import EMOTIONS, Plan, plant

MEASURE = "from tests.benchmarks.tables import measure; measure({folder!r})"


def measure(folder: str) -> None:
    """Read, make the tables, and print seconds and peak resident memory."""
    from sweep.frames import read_sweep
    from sweep.report.tables import all_tables

    started, busy = time.perf_counter(), time.process_time()
    sweep = read_sweep(Path(folder))
    read = time.perf_counter() - started
    all_tables(sweep)
    whole = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    processor = time.process_time() - busy
    print(f"read {read:.1f} s, all tables {whole - read:.1f} s, processor {processor:.1f} s, peak {peak:.2f} GiB")


def main() -> None:
    """Plant the records where they are not there yet, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--folder")
    options = parser.parse_args()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="animefer-tables-"))
    if not (folder / "sweep.json").exists():
        plan = Plan(
            models=[f"model{number}" for number in range(options.models)],
            strategies=("linear_probe", "partial", "full", "progressive"),
            seeds=range(options.seeds),
            per_class=(2, 20, options.images // len(EMOTIONS) + 1),
        )
        plant(folder, plan)
    subprocess.run([sys.executable, "-c", MEASURE.format(folder=str(folder))], check=True)


if __name__ == "__main__":
    main()
