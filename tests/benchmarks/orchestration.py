"""What 80 trials cost beside their training: process start, imports, scheduling, records.

    uv run python -m tests.benchmarks.orchestration

Runs a sweep whose trials train nothing, in a process of its own, on faces that are drawn before, and prints the
seconds from that process's start to its end, and how many trials it recorded.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from animefer_core.data.faces import write_faces
from sweep.settings import Settings


def sweep_nothing(faces: Path, folder: Path) -> None:
    """Run the quick preset's plan with a `run` that trains nothing."""
    from rich.console import Console

    from sweep.execution.environment import configure_ray
    from sweep.prepare import prepared
    from sweep.settings import resolve

    settings = resolve({"preset": "quick", "data": str(faces), "out": folder, "save_models": "none"})
    with prepared(settings, one_trial=False, command=sys.argv) as work:
        configure_ray(settings.address)
        from sweep.execution.executor import execute
        from sweep.execution.progress import display_for
        from sweep.execution.work import Work
        from sweep.keeping import Keeper
        from tests.sweep.execution.canned import train_nothing

        to_do = Work(
            trials=work.plan.to_run,
            data=work.data,
            weights={},
            packing=work.packing,
            device="cpu",
            save_models="none",
        )
        display = display_for(Console(quiet=True), len(work.plan.to_run), work.packing.trials_at_once)
        execute(to_do, Keeper(folder, "none", []).keep, display, work.repeat_command, run=train_nothing)


def main() -> None:
    """Time a fresh process that sweeps nothing."""
    if len(sys.argv) > 1:
        sweep_nothing(Path(sys.argv[1]), Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        faces, folder = Path(scratch, "faces"), Path(scratch, "results")
        write_faces(faces, Settings.per_class, seed=0)
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "tests.benchmarks.orchestration", faces, folder], check=True)
        seconds = time.perf_counter() - started
        print(f"{len(list(folder.glob('trials/*/record.json')))} trials in {seconds:.1f} s")


if __name__ == "__main__":
    main()
