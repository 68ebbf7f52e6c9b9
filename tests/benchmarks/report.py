"""Time, size and memory of writing a report.

    uv run python -m tests.benchmarks.report [--models 4] [--seeds 5] [--epochs 30] [--folder DIR] [--profile]

Plants models x 4 strategies x seeds records of six classes and 450 test images (a folder that is there is used again),
then writes tables and page in a process of its own. The defaults are the study's 80 trials; --models 25 --seeds 100
is 100 configurations x 100 seeds, whose planting takes minutes.
"""

import argparse
import cProfile
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.sweep.records import Plan, plant

MEASURE = "from tests.benchmarks.report import measure; measure({folder!r}, {profile})"
SLOWEST = 40
"""Lines of a profile that are printed."""


def measure(folder: str, profile: bool) -> None:
    """Write the report, and print seconds, bytes of the page and peak resident memory."""
    from sweep.report.page import write_report

    profiler = cProfile.Profile()
    started, busy = time.perf_counter(), time.process_time()
    page = profiler.runcall(write_report, Path(folder)) if profile else write_report(Path(folder))
    seconds, processor = time.perf_counter() - started, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    size = page.stat().st_size
    print(f"{seconds:.1f} s, {processor:.1f} s of processor; report.html {size:,} bytes; peak {peak:.2f} GiB")
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(SLOWEST)


def main() -> None:
    """Plant the records where they are not there yet, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--folder")
    parser.add_argument("--profile", action="store_true", help="Print where the time went, too.")
    options = parser.parse_args()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="animefer-report-"))
    if not (folder / "sweep.json").exists():
        plan = Plan(
            models=[f"model{number}" for number in range(options.models)],
            strategies=("linear_probe", "partial", "full", "progressive"),
            seeds=range(options.seeds),
            per_class=(350, 75, 75),
            epochs=options.epochs,
        )
        plant(folder, plan)
    subprocess.run([sys.executable, "-c", MEASURE.format(folder=str(folder), profile=options.profile)], check=True)


if __name__ == "__main__":
    main()
