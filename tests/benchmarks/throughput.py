"""Training throughput of ResNet-50 full at 112 pixels, beside a plain script, in turn on the same machine.

    uv run python -m tests.benchmarks.throughput --data FOLDER --yardstick SCRIPT [--rounds 2]

SCRIPT trains one configuration the plain way (DataLoader, PIL transforms, eager fp32) and takes --data, --model,
--strategy, --epochs and --image-size; it prints JSON with history[].images_per_second, as a record has. Both use all
cores; the figure is the ratio of the medians over epochs, the first epoch of each run left out.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

EPOCHS = 3
COMMON = ["--model", "resnet50", "--strategy", "full", "--seed", "42", "--image-size", "112", "--epochs", str(EPOCHS)]


def later_epochs(history: list[dict[str, Any]]) -> list[float]:
    """Return the images per second of all epochs but the first, which warms up."""
    return [entry["images_per_second"] for entry in history[1:]]


def of_yardstick(data: str, script: str) -> list[float]:
    """Train by the plain script."""
    command = [sys.executable, script, "--data", data, *COMMON]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return later_epochs(json.loads(printed.splitlines()[-1])["history"])


def of_animefer(data: str) -> list[float]:
    """Train by `animefer trial` with all cores."""
    with tempfile.TemporaryDirectory() as out:
        options = ["--data", data, *COMMON, "--no-pretrained", "--save-models", "none", "--out", out]
        subprocess.run([sys.executable, "-m", "sweep.cli.main", "trial", *options], check=True, capture_output=True)
        (path,) = Path(out).glob("trials/*/record.json")
        return later_epochs(json.loads(path.read_text(encoding="utf-8"))["history"])


def main() -> None:
    """Run both in turn and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--yardstick", required=True)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    plain: list[float] = []
    ours: list[float] = []
    for _ in range(options.rounds):
        plain += of_yardstick(options.data, options.yardstick)
        ours += of_animefer(options.data)
    ratio = statistics.median(ours) / statistics.median(plain)
    print(
        f"plain {statistics.median(plain):.1f} images/s, animefer {statistics.median(ours):.1f} images/s, "
        f"ratio {ratio:.2f} (medians of {len(ours)} epochs each)"
    )


if __name__ == "__main__":
    main()
