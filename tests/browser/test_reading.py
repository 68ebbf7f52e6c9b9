"""The page as a reader meets it: offline, in the dark, on a narrow screen, on paper, without scripts."""

import itertools
import json

import pytest

from sweep.report.drawing import COLOURS
from tests.browser.conftest import HOSTILE, draw_everything, texts

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")


def test_it_loads_offline_without_a_word_or_a_request(opened, usual):
    page = opened(usual)
    draw_everything(page)
    assert page.told == []
    assert page.asked == [(usual / "report.html").as_uri()]


def test_figures_below_the_window_wait(opened, usual):
    page = opened(usual)
    assert page.locator(".plot:not([data-drawn])").count() > page.locator(".plot[data-drawn]").count() > 0


@pytest.mark.parametrize("width", [1440, 380])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened, usual, scheme, width):
    page = opened(usual, width=width, color_scheme=scheme)
    draw_everything(page)
    page.evaluate("document.querySelectorAll('details:not(.save)').forEach(each => { each.open = true; })")
    page.locator("#summary button.open").first.click()
    page.locator("input[value=partial]").uncheck()
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("folder", ["usual", "hostile"])
def test_a_narrow_window_scrolls_down_alone(opened, request, folder):
    page = opened(request.getfixturevalue(folder), width=380)
    draw_everything(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_figures_take_the_pages_colours(opened, usual):
    colours = []
    for scheme in ("light", "dark"):
        page = opened(usual, color_scheme=scheme)
        colours.append(page.evaluate("getComputedStyle(document.querySelector('.ytick text')).fill"))
    assert colours == ["rgb(29, 35, 41)", "rgb(228, 231, 234)"]


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the contrast of two colours (red, green, blue; 0 to 255) as in WCAG 2.2."""

    def luminance(colour: tuple[float, ...]) -> float:
        parts = [each / 255 / 12.92 if each <= 10 else ((each / 255 + 0.055) / 1.055) ** 2.4 for each in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def colour_of(page, name: str) -> tuple[float, ...]:
    text = page.evaluate("name => getComputedStyle(document.documentElement).getPropertyValue(name)", name).strip()
    return tuple(int(text[place : place + 2], 16) for place in (1, 3, 5))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_in_cells_and_marks_have_contrast(opened, usual, scheme):
    page = opened(usual, color_scheme=scheme)
    for heat in ("--heat-0", "--heat-1", "--heat-2"):
        assert contrast(colour_of(page, "--ink"), colour_of(page, heat)) >= 4.5, heat
    for mark in COLOURS:
        here = tuple(int(mark[place : place + 2], 16) for place in (1, 3, 5))
        assert contrast(here, colour_of(page, "--card")) >= 3, mark


def test_the_page_is_read_without_scripts(opened, usual):
    page = opened(usual, ready=False, java_script_enabled=False)
    assert page.locator(".verdict").is_visible()
    assert page.get_by_text("Figures, filter and sorting need JavaScript").is_visible()
    assert page.locator("tr.trials:visible").count() == 9
    assert page.locator("#summary > tbody > tr:visible").count() == 18
    for gone in ("#filter", "figure", "button", "details.save", "#filter-link"):
        assert page.locator(f"{gone}:visible").count() == 0, gone


def test_a_browser_that_cannot_unpack_has_its_tables(opened, usual):
    page = opened(usual, ready=False, setup="delete window.DecompressionStream;")
    page.wait_for_selector("#no-figures:visible")
    assert page.locator("figure").count() == 0
    page.locator("input[value=partial]").uncheck()
    assert page.locator("#filter-told").inner_text() == "3 of 9 configurations hidden."
    assert page.told == []


def test_the_contents_follow_the_reader(opened, usual):
    page = opened(usual)
    for key in ("confusion", "efficiency", "provenance"):
        page.locator(f"nav a[href='#{key}']").click()
        page.wait_for_selector(f"nav a[href='#{key}'][aria-current=true]")
    assert page.locator("nav a[aria-current]").count() == 1


def test_the_first_tab_skips_what_stands_above_the_results(opened, usual):
    page = opened(usual, ready=False)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_headings_leave_no_level_out(opened, usual):
    levels = opened(usual).evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(each => +each.tagName[1])")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_every_figure_is_told_and_points_at_its_sections_table(opened, usual):
    page = opened(usual)
    for plot in page.locator("section:has(table) .plot").all():
        assert plot.get_attribute("role") == "img"
        assert len(plot.get_attribute("aria-label")) > 20
        assert page.locator(f"table#{plot.get_attribute('aria-details')}").count() == 1


def test_every_figure_has_a_table_behind_it(opened, usual):
    page = opened(usual)
    for figure in page.locator("figure:visible").all():
        title = figure.locator("figcaption").inner_text()
        figure.get_by_label(f"Save {title}", exact=True).click()
        figure.get_by_role("button", name=f"Table: {title}", exact=True).click()
        assert page.evaluate("document.activeElement.ariaLabel") == f"Numbers behind {title}"
        assert figure.locator("tbody tr").count() > 1
    page.locator("input[value=partial]").uncheck()
    assert page.locator(".behind").count() == 0


def test_heads_of_tables_stand_on_every_page(opened, usual):
    page = opened(usual)
    page.emulate_media(media="print")
    shown = page.evaluate("getComputedStyle(document.querySelector('#summary button.sort')).display")
    assert shown == "contents"


def test_paper_has_every_figure_in_dark_ink_and_no_controls(opened, usual):
    page = opened(usual, color_scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    shown = page.locator(".plot:visible")
    assert shown.count() > 20
    assert page.locator(".plot:visible .main-svg:first-child").count() == shown.count()
    fills = page.evaluate("[...document.querySelectorAll('.ytick text')].map(each => getComputedStyle(each).fill)")
    assert set(fills) == {"rgb(29, 35, 41)"}
    assert (
        page.evaluate(
            "Math.max(...[...document.querySelectorAll('.main-svg')].map(each => +each.getAttribute('width')))"
        )
        <= 960
    )
    for gone in ("nav", "#filter", "#cells-choice", "#faces-choice", "details.save", ".skip"):
        assert page.locator(f"{gone}:visible").count() == 0, gone
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(
        "() => getComputedStyle(document.querySelector('#figure-accuracy .ytick text')).fill === 'rgb(228, 231, 234)'"
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_class_is_text_in_the_page(opened, hostile, name):
    page = opened(hostile)
    assert page.locator("#data tbody th").filter(has_text=name).first.inner_text() == name


def test_a_hostile_traceback_is_text(opened, hostile):
    page = opened(hostile)
    page.locator("#failed details:not(.save) > summary").first.click()
    assert page.locator("#failed pre").first.inner_text() == "<b>bold</b>"
    assert page.locator("main :is(b, i, u)").count() == 0


def test_hostile_names_are_text_in_figures(opened, hostile):
    page = opened(hostile)
    draw_everything(page)
    names = {"<svg onload=alert(1)>", '"quoted" & co', "日本語", "<b>bold</b>"}
    assert names <= set(texts(page, "#figure-confusion-0 .ytick text"))
    labels = texts(page, "#figure-accuracy .ytick text")
    assert any(text.startswith("<img src=x") for text in labels)
    assert (
        page.locator("main img:not([src^='data:image/webp;']), main svg[onload], main script:not([type])").count() == 0
    )
    assert page.told == []
    names = json.dumps(page.evaluate("[...document.querySelectorAll('.plot')].map(each => each.ariaLabel)"))
    assert "onerror=alert(3)" in names
