"""How soon a report can be read in Chromium, and what it takes of memory.

    uv run python -m tests.benchmarks.reading DIR/report.html [--repeats 5]

Opens the page from its file in a fresh browser, headless and offline: seconds until the first paint and until the
first figure is drawn, from the navigation on, each a median; then scrolls to every figure. Memory is the proportional
share (PSS) of the process that renders the page, and its JavaScript heap.
"""

import argparse
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.sync_api import Page, sync_playwright

FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime / 1000"
FIRST_FIGURE = """() => new Promise(tell => {
  const drawn = () => document.querySelector(".plot[data-drawn] .main-svg");
  if (drawn()) { tell(performance.now() / 1000); return; }
  new MutationObserver((_, observer) => {
    if (drawn()) { observer.disconnect(); requestAnimationFrame(() => tell(performance.now() / 1000)); }
  }).observe(document, {subtree: true, childList: true});
})"""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one opening of the page took."""

    first_paint: float
    """In seconds."""
    first_figure: float
    """In seconds."""
    memory: float
    """Of the rendering process once the first figure is there, in MiB."""
    memory_of_all: float
    """The same once every figure was drawn."""
    heap_of_all: float
    """Of JavaScript at that time, in MiB."""


def opened(path: Path) -> Reading:
    """Open a page once, in a browser of its own."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True).new_page()
        page.goto(path.resolve().as_uri(), wait_until="commit")
        first_figure = page.evaluate(FIRST_FIGURE)
        time.sleep(0.5)
        first_paint, memory = page.evaluate(FIRST_PAINT), _rendering()
        _draw_all(page)
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
        reading = Reading(
            first_paint=first_paint,
            first_figure=first_figure,
            memory=memory,
            memory_of_all=_rendering(),
            heap_of_all=heap,
        )
        browser.close()
    return reading


def _draw_all(page: Page) -> None:
    for plot in page.locator(".plot:visible").all():
        plot.scroll_into_view_if_needed()
        page.wait_for_selector(f"#{plot.get_attribute('id')}[data-drawn] .main-svg")


def _rendering() -> float:
    """Return the largest share of memory that a rendering process of this program's browser has, in MiB."""
    processes = psutil.Process().children(recursive=True)
    return max(each.memory_full_info().pss for each in processes if "--type=renderer" in each.cmdline()) / 2**20


def main() -> None:
    """Open the page as often as asked, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if not options.page.is_file():
        sys.exit(f"{options.page} is no file; name a report.html.")
    readings = [opened(options.page) for _ in range(options.repeats)]
    for name, unit in (
        ("first_paint", "s"),
        ("first_figure", "s"),
        ("memory", "MiB"),
        ("memory_of_all", "MiB"),
        ("heap_of_all", "MiB"),
    ):
        values = [getattr(reading, name) for reading in readings]
        spread = f"({min(values):.2f} to {max(values):.2f})"
        print(f"{name.replace('_', ' '):14} {statistics.median(values):8.2f} {unit}  {spread}")


if __name__ == "__main__":
    main()
