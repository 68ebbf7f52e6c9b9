"""Debian's Chromium, headless and offline, driven by Playwright; where there is none these tests are skipped."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweep.report.page import write_report
from tests.sweep.records import Plan, plant, plant_with_images

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium")
LONG = "x" * 200
HOSTILE = (
    *("<svg onload=alert(1)>", '"quoted" & co', "日本語", LONG, "<script>alert(1)</script>", "<b>bold</b>"),
    *("{{7*7}} %{z} </script>", "*a trap* | [b] $x$ c_d"),
)
STRATEGIES = ("linear_probe", "full", "<i>own</i> & $y$")

Open = Callable[..., "sync_api.Page"]


@pytest.fixture(scope="package")
def browser() -> Iterator["sync_api.Browser"]:
    # Playwright keeps an event loop running: it must end before other rooms' tests want one of their own.
    if CHROMIUM is None:
        pytest.skip("there is no chromium to read the page with")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser) -> Iterator[Open]:
    """Return what opens a report in a window of its own and waits for its first figure."""
    contexts = []

    def open_page(
        folder: Path, *, width: int = 1440, ready: bool = True, setup: str = "", **options
    ) -> "sync_api.Page":
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.told, page.asked = [], []
        page.on("console", lambda message: page.told.append(message.text))
        page.on("pageerror", lambda error: page.told.append(str(error)))
        page.on("dialog", lambda dialog: (page.told.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: page.asked.append(request.url))
        if setup:
            page.add_init_script(setup)
        page.goto((folder / "report.html").as_uri())
        if ready:
            page.locator("#figure-accuracy").scroll_into_view_if_needed()
            page.wait_for_selector("#figure-accuracy[data-drawn]")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="package")
def usual(tmp_path_factory, browser) -> Path:
    """A folder with the report of 3 × 3 configurations, one lacking a trial and one with a failed trial."""
    plan = Plan(
        models=("resnet18", "vit_b_16", "vit_s_16"),
        strategies=("linear_probe", "partial", "full"),
        missing=[("vit_s_16", "full", 2)],
        failed=[("resnet18", "full", 1)],
    )
    folder = plant(tmp_path_factory.mktemp("usual"), plan)
    write_report(folder)
    return folder


@pytest.fixture(scope="package")
def hostile(tmp_path_factory, browser) -> Path:
    """A folder with the report of classes, models and an error whose names are markup."""
    plan = Plan(
        classes=HOSTILE,
        models=("<img src=x onerror=alert(3)>", "resnet18", "m" * 200),
        strategies=STRATEGIES,
        per_class=(6, 3, 4),
        failed=[("resnet18", "full", 1)],
        error={"type": "Error", "message": "<svg onload=alert(2)>", "traceback": "<b>bold</b>"},
    )
    folder = plant_with_images(tmp_path_factory.mktemp("hostile"), plan)
    write_report(folder)
    return folder


def draw_everything(page: "sync_api.Page") -> None:
    """Scroll to every figure that is shown, until it is drawn, and return to the top."""
    for plot in page.locator(".plot:visible").all():
        plot.scroll_into_view_if_needed()
        page.wait_for_selector(f"#{plot.get_attribute('id')}[data-drawn] .main-svg")
    page.evaluate("scrollTo(0, 0)")


def texts(page: "sync_api.Page", selector: str) -> list[str]:
    """Return the texts of elements as they stand in the page, those of figures too."""
    return page.locator(selector).evaluate_all("all => all.map(each => each.textContent)")
