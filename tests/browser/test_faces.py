"""The misread images in a browser: which are shown first, by the list, and by a click on a confusion matrix."""

import pytest

from sweep.report.page import write_report
from sweep.report.thumbnails import SIDE, WORST
from tests.sweep.records import Plan, plant_with_images

N_CLASSES = 6


@pytest.fixture(scope="module")
def address(tmp_path_factory, browser):
    return write_report(plant_with_images(tmp_path_factory.mktemp("sweep"), Plan(per_class=(8, 4, 12)))).as_uri()


@pytest.fixture
def page(browser, address):
    """The page, which has complained of nothing when the test is over."""
    complaints: list[str] = []
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(address)
    yield opened
    opened.close()
    assert complaints == []


def shown(page):
    return page.locator("#faces li:not([hidden])")


def pairs(page):
    """Return (true, predicted, shown) of every pair that the list offers."""
    values = page.locator("#faces-pair option").evaluate_all("all => all.map(one => [one.value, one.textContent])")
    return [(*value.split(), int(text.rsplit(": ", 1)[1].split(" of ")[0])) for value, text in values if value]


def click_cell(page, true, predicted):
    """Click the middle of a cell of the first confusion matrix."""
    page.locator("#figure-confusion-0").scroll_into_view_if_needed()
    area = page.locator("#figure-confusion-0 .nsewdrag")
    area.wait_for()
    area.scroll_into_view_if_needed()
    # Above the first cell and under the last one the axis has as much room as its range says.
    box, rows = area.bounding_box(), N_CLASSES + 0.2
    x = box["x"] + box["width"] * (predicted + 0.5) / N_CLASSES
    y = box["y"] + box["height"] * (true + 0.6) / rows
    page.mouse.move(x - 4, y - 4)
    page.mouse.move(x, y)
    page.locator("#figure-confusion-0 .hovertext").first.wait_for()
    page.mouse.click(x, y)


def test_the_worst_are_shown_and_are_pictures(page):
    assert shown(page).count() == WORST
    assert page.evaluate("document.querySelector('#faces img').naturalWidth") == SIDE


def test_a_pair_of_the_list_shows_its_images_the_surest_mistake_first(page):
    true, predicted, number = max(pairs(page), key=lambda pair: pair[2])
    page.select_option("#faces-pair", f"{true} {predicted}")
    read = shown(page).evaluate_all("all => all.map(one => [one.dataset.true, JSON.parse(one.dataset.read)])")
    assert len(read) == number
    assert {label for label, _ in read} == {true}
    shares = [by_class[predicted] for _, by_class in read]
    assert shares == sorted(shares, reverse=True)


def test_the_list_goes_back_to_the_worst_by_keyboard(page):
    before = shown(page).evaluate_all("all => all.map(one => one.textContent)")
    page.select_option("#faces-pair", index=1)
    page.focus("#faces-pair")
    page.keyboard.press("Home")
    assert shown(page).evaluate_all("all => all.map(one => one.textContent)") == before


def test_a_click_on_a_cell_chooses_its_pair(page):
    true, predicted, number = max(pairs(page), key=lambda pair: pair[2])
    click_cell(page, int(true), int(predicted))
    assert page.input_value("#faces-pair") == f"{true} {predicted}"
    assert shown(page).count() == number
    assert page.evaluate("document.activeElement.id") == "faces-pair"


def test_a_click_on_what_is_right_says_that_there_is_nothing_to_show(page):
    click_cell(page, 2, 2)
    assert "No image of that cell is in this page" in page.inner_text("#faces-told")
    assert shown(page).count() == WORST


def test_without_javascript_the_worst_are_there(browser, address):
    opened = browser.new_page(java_script_enabled=False)
    opened.goto(address)
    assert opened.locator("#faces li:visible").count() == WORST
    assert opened.locator("#faces-choice:visible").count() == 0
    opened.close()
