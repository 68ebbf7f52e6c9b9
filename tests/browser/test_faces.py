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


def faces(page, locator=None):
    """Return every face's true class, and of each (configuration, class read as) how many seeds read it so."""
    items = (locator or page.locator("#faces li")).evaluate_all(
        "all => all.map(one => [one.dataset.true, one.dataset.mistakes])"
    )
    found = []
    for true, text in items:
        triples = [mistake.split(",") for mistake in text.split()]
        found.append((true, {(configuration, read): int(seeds) for configuration, read, seeds in triples}))
    return found


def pairs(page, configuration=None):
    """Return true and predicted class of every pair that the list offers, and of how many faces in the page it is."""
    values = page.locator("#faces-pair option").evaluate_all("all => all.map(one => one.value)")
    there = [
        (true, read)
        for true, mistakes in faces(page)
        for read in {read for place, read in mistakes if configuration in (None, place)}
    ]
    return [(*value.split(), there.count(tuple(value.split()))) for value in values if value]


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
    read = faces(page, shown(page))
    assert len(read) == number
    assert {label for label, _ in read} == {true}
    models = [sum(seeds for (_, guess), seeds in mistakes.items() if guess == predicted) for _, mistakes in read]
    assert models == sorted(models, reverse=True)
    assert models[-1] > 0


def test_one_configurations_mistakes_are_its_own(page):
    page.select_option("#faces-by", index=2)
    read = faces(page, shown(page))
    seeds = [sum(number for (place, _), number in mistakes.items() if place == "1") for _, mistakes in read]
    assert 0 < len(read) <= WORST
    assert seeds == sorted(seeds, reverse=True)
    assert seeds[-1] > 0
    name = page.locator("#faces-by option").nth(2).text_content()
    assert f"by {name}, {len(read)} of the images" in page.inner_text("#faces-told")


def test_a_hidden_configuration_is_not_offered_and_gives_way(page):
    page.select_option("#faces-by", index=1)
    model = page.locator("#faces-by option").nth(1).get_attribute("data-model")
    page.locator(f"#filter input[value={model}]").uncheck()
    assert page.input_value("#faces-by") == ""
    offered = page.locator("#faces-by option:not([hidden])").evaluate_all("all => all.map(one => one.dataset.model)")
    assert model not in offered
    assert len(offered) > 1
    assert shown(page).count() == WORST


def test_the_list_goes_back_to_the_worst_by_keyboard(page):
    before = shown(page).evaluate_all("all => all.map(one => one.textContent)")
    page.select_option("#faces-pair", index=1)
    page.focus("#faces-pair")
    page.keyboard.press("Home")
    assert shown(page).evaluate_all("all => all.map(one => one.textContent)") == before


def test_a_click_on_a_cell_chooses_its_pair(page):
    true, predicted, number = max(pairs(page, "0"), key=lambda pair: pair[2])
    click_cell(page, int(true), int(predicted))
    assert page.input_value("#faces-pair") == f"{true} {predicted}"
    assert page.input_value("#faces-by") == "0"
    assert shown(page).count() == number
    assert page.evaluate("document.activeElement.id") == "faces-pair"
    page.click("#faces-back")
    assert page.evaluate("location.hash") == "#figure-confusion-0"


def test_a_click_on_what_is_right_moves_nothing(page):
    click_cell(page, 2, 2)
    assert page.inner_text("#faces-told") == ""
    assert page.input_value("#faces-by") == ""
    assert shown(page).count() == WORST


def test_without_javascript_the_worst_are_there(browser, address):
    opened = browser.new_page(java_script_enabled=False)
    opened.goto(address)
    assert opened.locator("#faces li:visible").count() == WORST
    assert opened.locator("#faces-choice:visible").count() == 0
    opened.close()
