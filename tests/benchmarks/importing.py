"""Time of importing a million rows of predictions that were made elsewhere.

    uv run python -m tests.benchmarks.importing [--trials 100] [--images 10000] [--ending csv|parquet]

Draws random probabilities of six classes, writes the file, and times reading, checking and writing the records; the
tables and the page are timed apart.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

CLASSES = ("Angry", "Embarrassed", "Happy", "Psycho-Crazy", "Sad", "Scared")


def draw(trials: int, images: int) -> pd.DataFrame:
    """Return the rows of `trials` trials, five seeds a model, over the same test images."""
    rng = np.random.default_rng(0)
    labels = np.array(CLASSES)[rng.integers(0, len(CLASSES), images)]
    names = [f"{number:06}.png" for number in range(images)]
    tables = []
    for trial in range(trials):
        p = rng.dirichlet(np.ones(len(CLASSES)), images).round(6)
        table = pd.DataFrame(p / p.sum(axis=1, keepdims=True), columns=[f"p_{name}" for name in CLASSES])
        trial_of = {"model": f"net{trial // 5}", "strategy": "full", "seed": trial % 5, "part": "test"}
        tables.append(table.assign(**trial_of, image=names, label=labels))
    return pd.concat(tables, ignore_index=True)


def main() -> None:
    """Write the file, import it, and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--ending", choices=["csv", "parquet"], default="parquet")
    options = parser.parse_args()

    from sweep.importing import import_predictions
    from sweep.report.page import write_report

    with tempfile.TemporaryDirectory() as folder:
        file, rows = Path(folder) / f"made.{options.ending}", draw(options.trials, options.images)
        rows.to_csv(file, index=False) if options.ending == "csv" else rows.to_parquet(file)
        started = time.perf_counter()
        import_predictions(file, Path(folder) / "out")
        imported = time.perf_counter()
        write_report(Path(folder) / "out")
        print(
            f"{len(rows):,} rows of {options.ending}: imported in {imported - started:.1f} s, "
            f"tables and page in {time.perf_counter() - imported:.1f} s"
        )


if __name__ == "__main__":
    main()
