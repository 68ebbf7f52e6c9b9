"""What a reader does with the page: filters, sorts, opens and saves."""

import csv
import html
import io
import json
import re
from pathlib import Path

import pytest

from tests.browser.conftest import HOSTILE, draw_everything, texts

PERCENT = {"accuracy": 100, "f1_macro": 100, "f1_weighted": 100, "loss": 1}


def summary(folder: Path, name: str = "summary") -> list[dict[str, str]]:
    with (folder / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def seen(page, selector: str) -> list[str]:
    """Return the texts of what is shown, as they stand in the page."""
    return page.locator(f"{selector}:visible").evaluate_all("all => all.map(each => each.textContent.trim())")


def labels(page, figure: str) -> list[str]:
    return texts(page, f"#{figure} .ytick text")


def means(page, figure: str) -> dict[int, float]:
    """Return the place on the y axis of every mean that a figure shows, with its value."""
    points = """id => document.getElementById(id).data.filter(trace => trace.meta?.what.startsWith("mean"))
        .flatMap(trace => trace.x.map((x, point) => [trace.y[point], x]))"""
    return dict(map(tuple, page.evaluate(points, figure)))


def saved(page, title: str, kind: str) -> Path:
    page.get_by_label(f"Save {title}", exact=True).click()
    with page.expect_download() as found:
        page.get_by_role("button", name=f"{kind}: {title}", exact=True).click()
    return found.value


def read(download) -> str:
    return Path(download.path()).read_bytes().decode()


def wait_for_labels(page, figure: str, names: list[str]) -> None:
    page.wait_for_function(
        "([figure, names]) => JSON.stringify([...document.querySelectorAll(`#${figure} .ytick text`)]"
        ".map(each => each.textContent)) === JSON.stringify(names)",
        arg=[figure, names],
    )


def test_cells_of_confusion_matrices_hold_shares_or_counts(opened, usual):
    page = opened(usual)
    page.locator("#figure-confusion-0").scroll_into_view_if_needed()
    page.wait_for_selector("#figure-confusion-0[data-drawn] .heatmap-label")
    rows = [
        row for row in summary(usual, "confusion") if (row["model"], row["strategy"]) == ("resnet18", "linear_probe")
    ]
    cells = "#figure-confusion-0 .heatmap-label"
    assert texts(page, cells) == [f"{100 * float(row['share_mean']):.0f}" for row in rows]
    page.select_option("#cells", "count")
    page.wait_for_function("cells => document.querySelector(cells)?.textContent.includes('.')", arg=cells)
    assert texts(page, cells) == [f"{float(row['count_mean']):.1f}" for row in rows]


def test_the_filter_acts_on_rows_and_figures_at_once(opened, usual):
    page = opened(usual)
    assert len(labels(page, "figure-accuracy")) == 9
    page.locator("input[value=vit_b_16]").uncheck()
    page.locator("input[value=partial]").uncheck()
    left = ["resnet18/linear_probe", "resnet18/full", "vit_s_16/linear_probe", "vit_s_16/full"]
    assert page.locator("#filter-told").inner_text() == "5 of 9 configurations hidden."
    assert page.locator("#filter-link").inner_text() == "5 of 9 configurations hidden"
    assert seen(page, "#summary > tbody > tr > th") == left
    wait_for_labels(page, "figure-accuracy", left)
    assert texts(page, "#figure-accuracy .legendtext")[:2] == ["linear_probe", "full"]
    draw_everything(page)
    for figure in ("figure-class-f1", "figure-views", "figure-cost-seconds"):
        assert labels(page, figure) == left
    assert labels(page, "figure-gains") == ["resnet18/full", "vit_s_16/full"]
    assert seen(page, "#confusion figcaption") == left
    assert not any("vit_b_16" in text for text in seen(page, "figcaption"))
    assert texts(page, "#figure-curve-0-train-loss .legendtext") == ["linear_probe", "full"]
    assert page.told == []


def test_every_row_of_a_hidden_configuration_is_hidden(opened, usual):
    page = opened(usual)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    page.locator("input[value=vit_b_16]").uncheck()
    rows = seen(page, ".scroll > table:not([aria-label]) > tbody > tr:not(.trials)")
    assert len(rows) > 50
    assert not any("vit_b_16" in row for row in seen(page, "main section:not(#claims, #methods, #provenance) tbody tr"))
    pairs = seen(page, "#differences [data-part='all pairs'] tbody tr")
    assert len(pairs) == 6 * 5 / 2


def test_positions_move_together_and_values_stay(opened, usual):
    page = opened(usual)
    before = means(page, "figure-accuracy")
    page.locator("input[value=resnet18]").uncheck()
    page.wait_for_function("() => document.querySelectorAll('#figure-accuracy .ytick').length === 6")
    after = means(page, "figure-accuracy")
    assert after == {place - 3: value for place, value in before.items() if place > 2}


def test_show_all_shows_all_again(opened, usual):
    page = opened(usual)
    names = labels(page, "figure-accuracy")
    for box in page.locator("#filter input").all():
        box.uncheck()
    assert page.locator("#filter-told").inner_text() == "9 of 9 configurations hidden."
    assert page.locator("figure:visible").count() == 0
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function("() => document.getElementById('filter-told').textContent.startsWith('0 of 9')")
    page.locator("#results").scroll_into_view_if_needed()
    wait_for_labels(page, "figure-accuracy", names)
    assert page.locator("#filter-link:visible").count() == 0


@pytest.mark.parametrize(
    ("metric", "name"), [("f1_macro", "macro f1"), ("f1_weighted", "weighted f1"), ("loss", "loss")]
)
def test_the_metric_is_chosen_for_figures_and_tables(opened, usual, metric, name):
    page = opened(usual)
    page.locator("select[name=metric]").select_option(metric)
    assert seen(page, "#results figcaption") == [f"Test {name} by configuration"]
    figure = f"figure-{metric.replace('_', '-')}"
    page.wait_for_selector(f"#{figure}[data-drawn]")
    drawn = means(page, figure).values()
    expected = [PERCENT[metric] * float(row[f"{metric}_mean"]) for row in summary(usual)]
    assert sorted(drawn) == pytest.approx(sorted(expected), rel=1e-5)
    shown = page.locator("#differences [data-metric]:visible").evaluate_all(
        "all => all.map(each => each.dataset.metric)"
    )
    assert set(shown) == {metric}


def test_a_row_opens_to_its_trials_by_keyboard(opened, usual):
    page = opened(usual)
    button = page.get_by_role("button", name="resnet18/full", exact=True)
    row = page.locator(f"#{button.get_attribute('aria-controls')}")
    assert button.get_attribute("aria-expanded") == "false"
    assert not row.is_visible()
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    cells = row.locator("tbody tr").evaluate_all(
        "all => all.map(row => [...row.cells].map(cell => cell.textContent.trim()))"
    )
    trials = [row for row in summary(usual, "trials") if (row["model"], row["strategy"]) == ("resnet18", "full")]
    assert [cell[0] for cell in cells] == ["42", "1", "2"]
    assert [cell[1] for cell in cells] == [
        f"{100 * float(row['accuracy']):.1f}" if row["accuracy"] else "" for row in trials
    ]
    assert [cell[4] for cell in cells] == [row["trial_id"] for row in trials]
    assert [cell[3].partition(":")[0] for cell in cells] == ["completed", "failed", "completed"]
    page.keyboard.press("Space")
    assert not row.is_visible()


def test_a_row_opens_by_a_click_anywhere(opened, usual):
    page = opened(usual)
    page.locator("#summary > tbody > tr > td").first.click()
    assert page.locator("tr.trials:visible").count() == 1


def test_a_head_sorts_down_up_and_back(opened, usual):
    page = opened(usual)
    names = seen(page, "#summary > tbody > tr > th")
    by_mean = sorted(summary(usual), key=lambda row: float(row["accuracy_mean"]))
    rising = [f"{row['model']}/{row['strategy']}" for row in by_mean]
    head = page.locator("#summary > thead th").filter(has_text="Accuracy, %").first
    button = head.get_by_role("button")
    page.locator("#summary button.open").first.click()
    button.focus()
    for order, direction in ((rising[::-1], "descending"), (rising, "ascending"), (names, None)):
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == direction
        assert seen(page, "#summary > tbody > tr > th") == order
        above = page.locator("tr.trials:visible").evaluate(
            "row => row.previousElementSibling.cells[0].textContent.trim()"
        )
        assert above == names[0]


def test_words_with_numbers_are_sorted_by_the_number(opened, usual):
    page = opened(usual)
    page.locator("#power summary").first.click()
    column = page.locator("#power thead th").all_inner_texts().index("seeds needed")
    page.locator("#power thead th button").nth(column).click()
    cells = page.locator(f"#power tbody tr > :nth-child({column + 1})").all_inner_texts()
    numbers = [int(cell.replace(",", "")) for cell in cells if cell[0].isdigit()]
    assert numbers == sorted(numbers, reverse=True)
    assert not any(cell[0].isdigit() for cell in cells[len(numbers) :])


def test_rates_are_sorted_as_numbers(opened, usual):
    page = opened(usual)
    column = page.locator("#strategies thead th").all_inner_texts().index("rate of the backbone")
    cells = page.locator(f"#strategies tbody tr > :nth-child({column + 1})")
    for order in (["0.0001", "1e-05", ""], ["1e-05", "0.0001", ""]):
        page.locator("#strategies thead th button").nth(column).click()
        assert cells.all_inner_texts() == order


def test_minus_is_one_that_programs_read(opened, usual):
    page = opened(usual)
    page.locator("#gains details:not(.save) > summary").first.click()
    shown = page.locator("#gains td").all_inner_texts()
    assert any(text.startswith("−") for text in shown)
    assert "−" not in read(saved(page, "Gain of every configuration", "CSV"))


def test_less_than_a_number_is_sorted_by_it(opened, usual):
    page = opened(usual)
    pairs = page.locator("#differences [data-part='all pairs'][data-metric=accuracy]")
    pairs.locator("summary").first.click()
    column = pairs.locator("thead th").all_inner_texts().index("p")
    button = pairs.locator("thead th button").nth(column)
    for direction in (-1, 1):
        button.click()
        cells = [cell for cell in pairs.locator(f"tbody tr > :nth-child({column + 1})").all_inner_texts() if cell]
        assert {"< 0.001"} < set(cells)
        numbers = [direction * float(cell.removeprefix("< ")) for cell in cells]
        assert numbers == sorted(numbers)


def test_trials_are_not_sorted_by_anything(opened, usual):
    assert opened(usual).locator("tr.trials button").count() == 0


def numbers_of(row: dict[str, str], ranked: dict[str, str]) -> list[str]:
    """Return the cells of the main table that a row of summary.csv, and one of ranking.csv, should give."""

    def number(name: str, scale: float = 100, digits: int = 1) -> str:
        return f"{scale * float(row[name]):.{digits}f}" if row[name] else ""

    def interval(name: str, scale: float = 100, digits: int = 1) -> list[str]:
        mean = number(f"{name}_mean", scale, digits)
        half = scale * (float(row[f"{name}_ci_high"]) - float(row[f"{name}_mean"]))
        ends = [number(f"{name}_total_ci_{end}", scale, digits) for end in ("low", "high")]
        return [f"{mean} ± {half:.{digits}f}", " to ".join(ends)]

    may = {"True": "yes", "False": "no", "": ""}[ranked["in_best_set"]]
    ranks = [f"{float(ranked[f'rank_{end}']):.0f}" for end in ("low", "high") if ranked[f"rank_{end}"]]
    ends = [number(f"calibration_error_total_ci_{end}") for end in ("low", "high")]
    ece = number("ece_mean"), 100 * (float(row["ece_ci_high"]) - float(row["ece_mean"]))
    return [
        f"{row['model']}/{row['strategy']}",
        f"{row['n_seeds']} of {row['n_planned']}",
        *interval("accuracy"),
        may,
        " to ".join(ranks),
        number("accuracy_sd"),
        number("accuracy_min"),
        number("accuracy_max"),
        number("validation_accuracy_mean"),
        *interval("loss", 1, 3),
        number("calibration_error"),
        " to ".join(ends),
        *interval("f1_macro"),
        *interval("f1_weighted"),
        f"{ece[0]} ± {ece[1]:.1f}",
    ]


def expected_rows(folder: Path) -> list[list[str]]:
    return [numbers_of(row, ranked) for row, ranked in zip(summary(folder), summary(folder, "ranking"), strict=True)]


def test_every_number_of_the_main_table_is_that_of_the_files(opened, usual):
    page = opened(usual)
    cells = page.evaluate("""() => [...document.querySelectorAll("#summary > tbody > tr[data-model]")].map(row =>
        [...row.cells].flatMap(cell => cell.querySelector("button") ? [cell] : [...cell.childNodes])
            .map(each => each.textContent.trim()).filter(text => text))""")
    assert cells == [[cell for cell in row if cell] for row in expected_rows(usual)]


def markdown_rows(folder: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a table's Markdown file, without its escapes and its marks of what is bold."""
    lines = (folder / "tables" / f"{name}.md").read_text(encoding="utf-8").splitlines()
    cells = [re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |")) for line in lines if line[:1] == "|"]
    plain = [[html.unescape(re.sub(r"\\(.)", r"\1", cell.replace("**", ""))) for cell in line] for line in cells]
    return [dict(zip(plain[0], line, strict=True)) for line in plain[2:]]


def test_every_table_of_the_sections_is_that_of_its_file(opened, usual):
    """The claims, and the grid of means, have their files' numbers in cells of their own and are tested elsewhere."""
    page = opened(usual)
    tables = page.evaluate("""() => [...document.querySelectorAll("table[data-table]")].map(table => [
        table.dataset.table, [...table.rows].map(row => [...row.cells].map(cell => cell.textContent))])""")
    seen = {name for name, _ in tables}
    assert {"strategies", "ranking", "comparisons", "power", "gains", "misread", "calibration"} <= seen
    assert {"reliability", "ensembles", "variance", "views", "confused_pairs", "study"} <= seen
    for name, (head, *rows) in tables:
        if name in ("claims", "summary"):
            continue
        there = {tuple(row.get(column, "") for column in head) for row in markdown_rows(usual, name)}
        assert rows, name
        assert {tuple(row) for row in rows} <= there, name


def test_the_main_tables_csv_holds_its_numbers(opened, usual):
    download = saved(opened(usual), "Table of results", "CSV")
    assert download.suggested_filename == "Table-of-results.csv"
    head, *rows = csv.reader(io.StringIO(read(download)))
    assert head[:5] == ["Configuration", "Seeds", "Accuracy, %", "Accuracy, %, total interval", "May be the best"]
    assert rows == expected_rows(usual)


def test_a_table_is_saved_as_it_is_shown(opened, usual):
    page = opened(usual)
    page.locator("input[value=vit_b_16]").uncheck()
    page.locator("#summary > thead th button").nth(2).click()
    rows = list(csv.reader(io.StringIO(read(saved(page, "Table of results", "CSV")))))[1:]
    assert [row[0] for row in rows] == seen(page, "#summary > tbody > tr > th")


def test_tables_are_saved_as_markdown_and_latex(opened, usual):
    page = opened(usual)
    lines = read(saved(page, "Ranking", "Markdown")).splitlines()
    assert lines[0].startswith("| configuration | validation accuracy (%) |")
    assert len(lines) == 2 + 9
    latex = read(saved(page, "Ranking", "LaTeX"))
    assert latex.count("\\\\\n") == 1 + 9
    assert r"vit\_b\_16/full" in latex
    assert latex.endswith("\\bottomrule\n\\end{tabular}\n")


def test_a_figures_csv_holds_its_numbers(opened, usual):
    page = opened(usual)
    rows = list(csv.DictReader(io.StringIO(read(saved(page, "Test accuracy by configuration", "CSV")))))
    means = {row["row"]: float(row["test accuracy (%)"]) for row in rows if row["what"] == "mean and seed interval"}
    assert means == pytest.approx(
        {f"{row['model']}/{row['strategy']}": 100 * float(row["accuracy_mean"]) for row in summary(usual)}, rel=1e-5
    )
    assert sum(row["what"] == "seed" for row in rows) == sum(int(row["n_seeds"]) for row in summary(usual))


def test_a_matrix_csv_names_its_cells(opened, usual):
    rows = list(csv.DictReader(io.StringIO(read(saved(opened(usual), "vit_s_16/partial", "CSV")))))
    expected = [
        row for row in summary(usual, "confusion") if (row["model"], row["strategy"]) == ("vit_s_16", "partial")
    ]
    assert [(row["row"], row["column"]) for row in rows] == [(row["true"], row["predicted"]) for row in expected]
    assert [float(row["percent of the true class"]) for row in rows] == pytest.approx(
        [100 * float(row["share_mean"]) for row in expected], rel=1e-5
    )
    assert [row["images, mean over seeds"] for row in rows] == [f"{float(row['count_mean']):.1f}" for row in expected]


def test_a_curves_csv_holds_means_and_intervals_alone(opened, usual):
    rows = list(csv.DictReader(io.StringIO(read(saved(opened(usual), "resnet18: validation accuracy (%)", "CSV")))))
    trials = [json.loads(path.read_text()) for path in (usual / "trials").glob("*/record.json")]
    here = [each for each in trials if each["model"] == "resnet18" and each["status"] == "completed"]
    means = {}
    for each in here:
        for epoch in each["history"]:
            means.setdefault((each["strategy"], epoch["epoch"]), []).append(100 * epoch["validation_accuracy"])
    assert len(rows) == len(means)
    for row in rows:
        values = means[row["series"], int(row["epoch"])]
        assert int(row["n"]) == len(values)
        assert float(row["validation accuracy (%)"]) == pytest.approx(sum(values) / len(values), rel=1e-5)
        assert float(row["low"]) < float(row["validation accuracy (%)"]) < float(row["high"])


def test_the_csv_of_a_cost_tells_means_from_trials(opened, usual):
    rows = list(csv.DictReader(io.StringIO(read(saved(opened(usual), "Training seconds of one trial", "CSV")))))
    assert sum(row["what"] == "mean" for row in rows) == 9
    trials = [row["trial"] for row in rows if row["what"] == "trial"]
    assert len(set(trials)) == len(trials) == sum(int(row["n_seeds"]) for row in summary(usual))


def test_a_hidden_strategy_has_no_cell_in_a_heat_map_or_its_csv(opened, usual):
    page = opened(usual)
    page.locator("input[value=partial]").uncheck()
    rows = list(csv.DictReader(io.StringIO(read(saved(page, "Mean test accuracy (%), models by strategies", "CSV")))))
    left = [row for row in summary(usual) if row["strategy"] != "partial"]
    assert [(row["row"], row["column"]) for row in rows] == [(row["model"], row["strategy"]) for row in left]
    assert [float(row["value"]) for row in rows] == pytest.approx(
        [100 * float(row["accuracy_mean"]) for row in left], rel=1e-5
    )


def test_a_hidden_strategy_has_no_column_in_the_grid(opened, usual):
    page = opened(usual)
    page.locator("#architecture details:not(.save) > summary").first.click()
    page.locator("input[value=partial]").uncheck()
    assert page.locator("#architecture thead th:visible").all_inner_texts() == ["model", "linear_probe", "full"]
    title = "Test accuracy (%) by model and strategy, ± and total interval"
    head, *rows = csv.reader(io.StringIO(read(saved(page, title, "CSV"))))
    assert head == ["model", "linear_probe", "full"]
    assert {len(row) for row in rows} == {3}


def test_a_figure_is_saved_as_a_picture_in_dark_ink(opened, usual):
    page = opened(usual, color_scheme="dark")
    svg = read(saved(page, "Test accuracy by configuration", "SVG"))
    assert svg.startswith("<svg")
    assert "rgb(29, 35, 41)" in svg
    assert svg.count('class="trace scatter') > 3
    assert "rgb(228, 231, 234)" not in svg
    png = saved(page, "Test accuracy by configuration", "PNG")
    assert png.suggested_filename == "Test-accuracy-by-configuration.png"
    assert Path(png.path()).read_bytes().startswith(b"\x89PNG")
    assert page.told == []


def test_hostile_names_are_saved_as_text(opened, hostile):
    page = opened(hostile)
    rows = list(csv.reader(io.StringIO(read(saved(page, "Images by class and part", "CSV")))))
    assert sorted(row[0] for row in rows[1:]) == sorted(HOSTILE)
    markdown = read(saved(page, "Images by class and part", "Markdown"))
    assert "&lt;svg onload=alert(1)&gt;" in markdown
    assert r"| \*a trap\* \| \[b\] \$x\$ c\_d |" in markdown
    assert all(line.replace(r"\|", "").count("|") == 5 for line in markdown.splitlines())
    latex = read(saved(page, "Images by class and part", "LaTeX"))
    assert r"\textquotedbl{}quoted\textquotedbl{} \& co & " in latex
    assert r"{*}a trap{*} \textbar{} {[}b{]} \$x\$ c\_d & " in latex
    cells = csv.DictReader(io.StringIO(read(saved(page, "resnet18/full", "CSV"))))
    assert {row["column"] for row in cells} == set(HOSTILE)


def test_a_menu_closes_by_escape(opened, usual):
    page = opened(usual)
    page.get_by_label("Save Table of results", exact=True).click()
    assert page.get_by_role("button", name="CSV: Table of results").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("button", name="CSV: Table of results").is_visible()
