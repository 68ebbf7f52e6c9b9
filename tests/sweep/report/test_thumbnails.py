"""Which misread images stand in the page: those whose files are the ones that were tested, within the budget."""

import base64
import io
import re
from collections import Counter

import pytest
from PIL import Image

from sweep.frames import read_sweep
from sweep.report import thumbnails
from sweep.report.misread import misread
from sweep.report.page import write, write_report
from sweep.report.thumbnails import BUDGET, SIDE, data_folder, faces
from tests.sweep.records import Plan, picture, plant_with_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return plant_with_images(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def page(folder):
    return write_report(folder).read_text(encoding="utf-8")


def thumbnails_of(folder):
    sweep = read_sweep(folder)
    return faces(sweep, data_folder(sweep, folder))


def test_every_misread_image_is_shown_the_worst_first(folder):
    sweep = read_sweep(folder)
    found = thumbnails_of(folder)
    assert [face.image for face in found.shown][:5] == misread(sweep)["image"].tolist()[:5]
    assert len(found.shown) == len(misread(sweep))
    assert found.told == f"All {len(found.shown)} misread images are in this page."


def test_a_thumbnail_is_the_square_that_models_saw(folder):
    uri = thumbnails_of(folder).shown[0].uri
    head, _, content = uri.partition(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (SIDE, SIDE)


def test_what_they_were_read_as_is_counted_over_all_models(folder):
    found = thumbnails_of(folder)
    for face in found.shown:
        assert face.true not in {guess for _, guess, _ in face.mistakes}
        assert sum(number for *_, number in face.mistakes) == pytest.approx(face.share * sum(found.seeds))


def test_what_a_configuration_read_is_what_its_records_hold(folder):
    sweep, found = read_sweep(folder), thumbnails_of(folder)
    place = {image.path: row for row, image in enumerate(sweep.split_file.images)}
    for face in found.shown[:6]:
        for number, name in enumerate(found.configurations):
            read = Counter(
                int(
                    record.predictions.test_logits[
                        record.predictions.test_index.tolist().index(place[face.image])
                    ].argmax()
                )
                for record in sweep.completed
                if (record.model, record.strategy) == name
            )
            del read[face.true]
            assert {guess: seeds for place, guess, seeds in face.mistakes if place == number} == dict(read)


def test_pairs_count_their_images(folder):
    found = thumbnails_of(folder)
    for pair in found.pairs:
        here = [
            face
            for face in found.shown
            if face.true == pair.true and pair.predicted in {guess for _, guess, _ in face.mistakes}
        ]
        assert pair.shown == len(here) == pair.of


def test_a_folder_named_by_the_last_call_is_read(tmp_path):
    place = plant_with_images(tmp_path / "out", data=str(tmp_path / "images"), images=tmp_path / "images")
    assert thumbnails_of(place).shown


@pytest.mark.parametrize("data", ["/no/such/folder", "sweep.zip", None])
def test_images_that_are_not_at_hand_are_said_to_be_so(tmp_path, data):
    place = plant_with_images(tmp_path, data=data)
    found = thumbnails_of(place)
    assert not found.shown
    assert "not at hand" in found.told


def test_a_file_that_changed_is_left_out_and_counted(tmp_path):
    place = plant_with_images(tmp_path)
    worst = misread(read_sweep(place))["image"]
    (place / "faces" / worst[0]).write_bytes(picture("another"))
    (place / "faces" / worst[1]).unlink()
    found = thumbnails_of(place)
    assert not {worst[0], worst[1]} & {face.image for face in found.shown}
    assert found.told == (
        f"{len(worst) - 2} of the {len(worst)} misread images are in this page: 2 are not at hand or changed since."
    )


def test_a_file_that_is_no_image_is_left_out(tmp_path):
    place = plant_with_images(tmp_path, file=lambda path: f"no image {path}".encode())
    assert not thumbnails_of(place).shown


def test_the_budget_holds_and_every_pair_has_its_worst(folder, monkeypatch):
    whole = thumbnails_of(folder).shown
    limit = sum(map(thumbnails._size, whole)) // 2
    monkeypatch.setattr(thumbnails, "BUDGET", limit)
    monkeypatch.setattr(thumbnails, "WORST", 2)
    monkeypatch.setattr(thumbnails, "OF_EACH_PAIR", 1)
    found = thumbnails_of(folder)
    assert sum(map(thumbnails._size, found.shown)) <= limit
    assert [face.image for face in found.shown][:2] == [face.image for face in whole][:2]
    assert "is used up" in found.told
    pairs = [(face.true, face.mostly) for face in found.shown[2:]]
    assert len(set(pairs)) >= len(pairs) - 1


def test_the_page_carries_them_with_words(page):
    images = re.findall(r'<img src="data:image/webp;base64,[^"]+" width="96" height="96" alt="([^"]+)">', page)
    assert re.fullmatch(r"[\w-]+/test_\d\.png: [\w-]+, misread by \d+ % of the models, mostly as [\w-]+", images[0])
    assert sum(len(uri) for uri in re.findall(r'src="(data:image[^"]+)"', page)) <= BUDGET


def test_no_more_than_the_worst_are_shown_before_a_pair_is_chosen(page, folder):
    items = re.findall(r"<li data-true[^>]*>", page)
    assert [item.endswith(" hidden>") for item in items] == [place >= thumbnails.WORST for place in range(len(items))]


def test_who_is_left_unnamed_shows_the_images_all_the_same(folder):
    page, *_ = write(folder, ["html"], unnamed=True)
    assert page.read_text(encoding="utf-8").count("<img src") == len(thumbnails_of(folder).shown)


def test_without_images_the_page_has_none_and_says_so(folder):
    page = write_report(folder, images=False).read_text(encoding="utf-8")
    assert "<img" not in page
    assert "The images themselves were left out of this page." in page
    assert 'id="faces"' not in page


def test_hostile_names_make_no_elements(tmp_path):
    names = ('"><svg onload=alert(1)>', "'quoted' & co", "日本語")
    classes = tuple(name.replace("/", "") for name in names)
    page = write_report(plant_with_images(tmp_path, Plan(classes=classes))).read_text(encoding="utf-8")
    section = page[page.index('<section id="misread">') : page.index('<section id="calibration">')]
    assert "<svg" not in section
    assert {tag.lower() for tag in re.findall(r"<(\w+)", section)} <= {
        *("section", "h2", "p", "label", "select", "option", "span", "ol", "li", "img", "details", "summary", "div"),
        *("table", "thead", "tbody", "tr", "th", "td", "code", "wbr", "a"),
    }
