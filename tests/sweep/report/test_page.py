import base64
import csv
import gzip
import hashlib
import html
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import plotly.graph_objects as go
import pytest

from animefer_core.errors import InputError
from sweep.frames import read_sweep
from sweep.report.drawing import Drawing
from sweep.report.page import json_data, packed_plotly, render, write_report
from sweep.report.tables import all_tables
from tests.sweep.records import RANDOM_WEIGHTS, Plan, plant, plant_with_images

BLOCK = re.compile(r'<script type="application/json" id="([^"]+)-data">(.*?)</script>', re.DOTALL)
HOSTILE = ("<svg onload=alert(1)>", '"quoted" & co', "<b>bold</b>", "日本語", "</script><script>alert(2)</script>")


def written(folder: Path, plan: Plan) -> str:
    """Return the page without plotly.js, which stands in it once, packed."""
    before, after = write_report(plant(folder, plan)).read_text(encoding="utf-8").split(packed_plotly())
    return before + after


def words(page: str) -> str:
    return " ".join(
        html.unescape(re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", page, flags=re.S)).split()
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("usual")


@pytest.fixture(scope="module")
def page(folder) -> str:
    plan = Plan(
        missing=[("vit_s_16", "full", 2), ("vit_s_16", "full", 1)],
        failed=[("resnet18", "full", 1)],
        error={"type": "RuntimeError", "message": "<i>boom</i> & bust", "traceback": "File <here>"},
    )
    return written(folder, plan)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("hostile")
    strategies = ("linear_probe", "<u>own</u>")
    plan = Plan(classes=HOSTILE, models=("<img src=x onerror=alert(3)>",), strategies=strategies, seeds=(42, 1))
    return folder, written(folder, plan)


def test_an_unfinished_sweep_says_how_far_it_is(page):
    assert "9 of 12 trials completed, 1 failed" in words(page)


def test_incomplete_configurations_are_named(page):
    assert "Incomplete: resnet18/full (2 of 3), vit_s_16/full (1 of 3)." in words(page)


def test_a_failed_trial_is_shown_with_its_cause(page):
    assert "RuntimeError: <i>boom</i> & bust" in words(page)


def test_a_completed_sweep_lists_no_incomplete_configuration(tmp_path):
    assert "Incomplete" not in words(written(tmp_path, Plan(seeds=(1, 2))))


def test_the_answer_is_chosen_on_validation(folder, page):
    values = {
        each.name: sum(r.validation["accuracy"] for r in each.records) / len(each.records)
        for each in read_sweep(folder).configurations
    }
    assert f"{max(values, key=lambda name: values[name])} is best on validation" in words(page)


def test_the_table_shows_the_numbers_of_the_csv(folder, page):
    with (folder / "tables" / "summary.csv").open(newline="") as file:
        expected = [
            f"{100 * float(row['accuracy_total_ci_low']):.1f} to {100 * float(row['accuracy_total_ci_high']):.1f}"
            for row in csv.DictReader(file)
        ]
    table = page[page.index('<table id="summary">') : page.index('<section id="ranking">')]
    rows = re.findall(r"<tr[^>]* data-model=.*?</tr>", table, re.S)
    assert [re.findall(r"<small>(.*?)</small>", row)[0] for row in rows] == expected


def test_one_seed_has_no_plus_minus(tmp_path):
    page = written(tmp_path, Plan(seeds=(42,)))
    tables = re.findall(r"<tbody>.*?</tbody>", page, re.S)
    assert not any("±" in table for table in tables)


def test_chance_and_majority_class_are_told(page):
    assert "Chance: 16.7 %. Majority class: 16.7 %." in words(page).replace("\xa0", " ")


def test_every_figures_data_is_json(page):
    assert len([json.loads(text) for _, text in BLOCK.findall(page)]) == 4 + 1 + 2 + 3 + 1 + 4 + 4 + 1 + 6 + 3 + 5


def test_numbers_in_figures_have_six_digits():
    drawing = Drawing(key="a", title="a", description="a", figure=go.Figure(go.Bar(x=[1 / 3, 2, None])), height=1)
    assert json.loads(json_data(drawing))["data"][0]["x"] == [0.333333, 2, None]


def test_gains_are_shown_with_their_finding_and_figures(page):
    section = page[page.index('<section id="gains">') : page.index('<section id="classes">')]
    assert "fine-tuning changes test accuracy by" in words(section)
    assert re.findall(r'class="plot" id="([^"]+)"', section) == [
        "figure-gains",
        "figure-class-gains-0",
        "figure-class-gains-1",
    ]


def test_without_a_linear_probe_nothing_is_said_of_gains(tmp_path):
    assert "figure-gains" not in written(tmp_path, Plan(strategies=("partial", "full"), seeds=(1, 2)))


def test_the_efficiency_says_where_it_was_measured(tmp_path):
    text = words(written(tmp_path, Plan(seeds=(1, 2), shared_device=True)))
    assert "Measured on Planted Processor in 8 trials, 8 of them on a device that others used too." in text


def test_every_plot_has_its_data(page):
    assert re.findall(r'class="plot" id="([^"]+)"', page) == [name for name, _ in BLOCK.findall(page)]


def test_other_views_have_their_section_figure_and_table(page):
    assert '<a href="#views">Other views</a>' in page
    section = page[page.index('<section id="views">') :]
    section = section[: section.index("</section>")]
    assert "grey, 13.3 (total interval above 0 for 4 of 4)" in section
    assert 'id="figure-views"' in section
    assert "Other views: 12 rows" in section


def test_ids_are_used_once(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_every_link_leads_to_a_place_in_the_page(page):
    places = {f"#{name}" for name in re.findall(r'\bid="([^"]+)"', page)}
    assert set(re.findall(r'href="([^"]+)"', page)) <= places


def test_nothing_is_fetched(page):
    assert not re.search(r"<(link|img|iframe|script[^>]* src)|url\(|@import", page)


def test_only_the_pages_own_scripts_may_run(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = html.unescape(re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[1])
    packed = re.search(r'<script type="application/gzip" id="plotly">(.*?)</script>', page)[1]
    hashes.insert(0, base64.b64encode(hashlib.sha256(gzip.decompress(base64.b64decode(packed))).digest()).decode())
    assert allowed.endswith("script-src " + " ".join(f"'sha256-{value}'" for value in hashes))


def test_hostile_names_make_no_elements(hostile):
    assert not re.search(r"<(svg|img|b>)|<script>alert", hostile[1])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_arrive_as_text(hostile, name):
    text = html.unescape(re.sub(r"<script.*?</script>|<style.*?</style>", "", hostile[1], flags=re.S))
    assert name in text


def without(value, *names: str):
    """What Plotly draws nothing of, and only this page's script reads, left out of a figure's JSON."""
    if isinstance(value, dict):
        return {name: without(part, *names) for name, part in value.items() if name not in names}
    return [without(part, *names) for part in value] if isinstance(value, list) else value


def test_no_text_given_to_plotly_holds_markup_from_a_name(hostile):
    figures = [json.loads(text) for _, text in BLOCK.findall(hostile[1])]
    drawn = [{"data": figure["data"], "layout": figure["layout"]} for figure in figures]
    blocks = " ".join(json.dumps(without(each, "meta", "customdata"), ensure_ascii=False) for each in drawn)
    # Lines, and the end of a hover's words; both are ours.
    assert set(re.findall(r"<[^>]*>", blocks)) == {"<br>", "<extra>", "</extra>"}


def test_two_classes_are_enough(tmp_path):
    assert "Chance: 50.0" in words(written(tmp_path, Plan(classes=("a", "b"), seeds=(1, 2))))


def test_one_configuration_is_not_called_the_best(tmp_path):
    page = words(written(tmp_path, Plan(models=("resnet18",), strategies=("full",))))
    assert "best on validation" not in page
    assert "resnet18/full scores" in page


def test_without_completed_trials_the_page_says_so(tmp_path):
    plan = Plan(
        seeds=(1,),
        failed=[("resnet18", "full", 1)],
        missing=[("resnet18", "linear_probe", 1), ("vit_s_16", "full", 1), ("vit_s_16", "linear_probe", 1)],
    )
    assert "No trial has completed yet" in words(written(tmp_path, plan))


def test_a_record_set_aside_is_named(tmp_path):
    folder = plant(tmp_path)
    path = min((folder / "trials").iterdir()) / "record.json"
    path.write_text("{}")
    text = words(write_report(folder).read_text(encoding="utf-8"))
    assert f"{path.parent.name} cannot be read" in text


def test_the_normalisation_used_is_told(page):
    assert "mean 0.485 0.456 0.406, std 0.229 0.224 0.225" in words(page)


def test_random_weights_are_called_a_demonstration(tmp_path):
    assert "a demonstration, not the study's result" in words(written(tmp_path, Plan(weights_digest=RANDOM_WEIGHTS)))


def test_pretrained_weights_are_not_called_a_demonstration(page):
    assert "a demonstration" not in words(page)


def test_same_records_and_time_give_the_same_page(folder):
    pages = set()
    for _ in range(2):
        sweep = read_sweep(folder)
        pages.add(render(sweep, all_tables(sweep), datetime(2026, 1, 2, tzinfo=UTC)))
    assert len(pages) == 1


def test_eighty_trials_stay_under_four_megabytes(tmp_path):
    plan = Plan(
        models=("resnet18", "resnet50", "vit_b_16", "vit_s_16"),
        strategies=("linear_probe", "partial", "full", "progressive"),
        seeds=(42, 1, 2, 3, 4),
        epochs=30,
        per_class=(4, 3, 75),
    )
    assert write_report(plant_with_images(tmp_path, plan)).stat().st_size < 4_000_000


def test_a_folder_that_is_no_sweeps_is_named(tmp_path):
    with pytest.raises(InputError, match=r"sweep\.json"):
        write_report(tmp_path)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium to draw the page")
def test_a_browser_draws_hostile_names_as_text(hostile):
    options = "--headless --no-sandbox --disable-gpu --disable-background-networking --enable-logging=stderr"
    limits = ["--window-size=1200,6000", "--virtual-time-budget=8000", "--dump-dom"]
    command = ["chromium", *options.split(), *limits, (hostile[0] / "report.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    ticks = re.findall(r'<g class="ytick">.*?</g>', done.stdout)
    assert any("&lt;b&gt;bold&lt;/b&gt;</text>" in tick for tick in ticks)
    assert "CONSOLE" not in done.stderr
