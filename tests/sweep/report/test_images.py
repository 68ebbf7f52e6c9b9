import html
import importlib.util
import re

import pytest

from animefer_core.errors import InputError
from sweep.report import images
from sweep.report.page import write
from tests.sweep.records import Plan, plant

HOSTILE = ("<b>bold</b>", "a & b", "日本語")
NO_EXPORT = (
    "there is no kaleido to draw figures with"
    if importlib.util.find_spec("kaleido") is None
    else "there is no Chromium or Chrome to draw figures with"
    if images._browser() is None
    else None
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    if NO_EXPORT:
        pytest.skip(NO_EXPORT)
    folder = plant(tmp_path_factory.mktemp("sweep"), Plan(models=("resnet18",), classes=HOSTILE))
    return folder, write(folder, ["svg", "pdf"])


def test_every_figure_of_the_page_is_a_file_in_both_formats(written):
    folder, files = written
    write(folder, ["html"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    keys = re.findall(r'class="plot" id="figure-([^"]+)"', page)
    assert {path.name for path in files} == {f"{key}.{ending}" for key in keys for ending in ("svg", "pdf")}
    assert {path.name for path in (folder / "figures").iterdir()} == {path.name for path in files}


def test_a_file_is_what_its_ending_says(written):
    for path in written[1]:
        assert path.read_bytes().startswith(b"%PDF" if path.suffix == ".pdf" else b"<svg")


def test_names_are_text_in_a_drawing(written):
    text = (written[0] / "figures" / "confusion-0.svg").read_text(encoding="utf-8")
    assert set(HOSTILE) <= {html.unescape(label) for label in re.findall(r"<text[^>]*>([^<]*)</text>", text)}


def test_a_drawing_has_its_title_and_ink_on_white_paper(written):
    text = (written[0] / "figures" / "accuracy.svg").read_text(encoding="utf-8")
    assert "Test accuracy by configuration" in text
    assert "rgb(29, 35, 41)" in text
    assert "rgb(255, 255, 255)" in text


def test_tables_are_not_written_where_figures_alone_are_asked_for(written):
    folder, files = written
    assert {path.parent.name for path in files} == {"figures"}
    assert not (folder / "tables").exists()


def test_without_the_package_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'--format svg: .* pip install "animefer\[figures\]"'):
        write(plant(tmp_path), ["svg"])


def test_without_a_browser_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(images, "BROWSERS", ("no-such-browser",))
    with pytest.raises(InputError, match="drawn by Chromium or Chrome, and there is none"):
        write(plant(tmp_path), ["pdf"])


def test_nothing_is_written_where_figures_cannot_be(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    folder = plant(tmp_path)
    with pytest.raises(InputError):
        write(folder, ["html", "csv", "svg"])
    assert not (folder / "report.html").exists()


@pytest.mark.skipif(NO_EXPORT is not None, reason=str(NO_EXPORT))
def test_a_browser_that_fails_is_named_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_browser", lambda: "/bin/false")
    folder = plant(tmp_path, Plan(models=("resnet18",), strategies=("full",)))
    with pytest.raises(InputError, match="/bin/false could not draw the figures"):
        write(folder, ["svg"])
    assert list((folder / "figures").iterdir()) == []


def test_before_a_trial_has_completed_there_is_nothing_to_draw(tmp_path, monkeypatch):
    monkeypatch.setattr("sweep.report.page.check_export", lambda formats: None)
    missing = [(model, "full", 1) for model in Plan.models]
    folder = plant(tmp_path, Plan(strategies=("full",), seeds=(1,), missing=missing))
    with pytest.raises(InputError, match="no trial has completed"):
        write(folder, ["svg"])
