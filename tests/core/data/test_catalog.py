import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animefer_core.data.catalog import CatalogImage, find_duplicates, images_digest, read_images
from animefer_core.data.pixels import decode
from animefer_core.errors import InputError

REAL = Path(__file__).parents[4] / "shared" / "data"


def save(path: Path, shade: int = 0) -> Path:
    """Save an image that only its shade tells from others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 10), (shade, 100, 200)).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of three images."""
    for number in range(6):
        save(tmp_path / "faces" / ("calm" if number < 3 else "angry") / f"{number}.png", number * 40)
    return tmp_path / "faces"


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    """Three given parts of two classes of one image."""
    for number, part in enumerate(("train", "valid", "test")):
        for shade, label in enumerate(("calm", "angry")):
            save(tmp_path / "parted" / part / label / "face.png", number * 80 + shade * 40)
    return tmp_path / "parted"


def error_of(folder: Path, **options: bool) -> str:
    with pytest.raises(InputError) as caught:
        read_images(folder, 8, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_classes_are_the_sorted_folders(root: Path) -> None:
    assert read_images(root, 8)[0].classes == ("angry", "calm")


def test_images_are_sorted_by_path(root: Path) -> None:
    save(root / "calm" / "0" / "x.png", 33)
    paths = [image.path for image in read_images(root, 8)[0].images]
    assert paths == sorted(paths)
    assert paths[-4:] == ["calm/0.png", "calm/0/x.png", "calm/1.png", "calm/2.png"]


def test_images_carry_their_label_and_no_part(root: Path) -> None:
    image = read_images(root, 8)[0].images[0]
    assert (image.label, image.part, image.group) == ("angry", None, None)


def test_hash_is_of_the_files_bytes(root: Path) -> None:
    image = read_images(root, 8)[0].images[0]
    assert image.sha256 == hashlib.sha256((root / image.path).read_bytes()).hexdigest()


def test_pixels_are_in_the_catalogs_order(root: Path) -> None:
    catalog, pixels = read_images(root, 8)
    assert np.array_equal(pixels, np.stack([decode(root / image.path, 8) for image in catalog.images]))


def test_every_file_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    read = Path.read_bytes

    def noting(path: Path) -> bytes:
        opened.append(path.name)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", noting)
    read_images(root, 8)
    assert sorted(opened) == [f"{number}.png" for number in range(6)]


def test_all_image_endings_of_any_case_are_read(root: Path) -> None:
    for number, ending in enumerate((".jpg", ".JPEG", ".webp", ".Bmp", ".gif", ".tif", ".TIFF")):
        save(root / "calm" / f"more{ending}", 7 + number)
    assert len(read_images(root, 8)[0].images) == 13


@pytest.mark.parametrize("name", ["manifest.csv", "notes.txt", "about.json", "Thumbs.db", ".hidden.png", "._0.jpg"])
def test_other_and_hidden_files_are_ignored(root: Path, name: str) -> None:
    (root / "calm" / name).write_text("no image")
    (root / name).write_text("no image")
    assert len(read_images(root, 8)[0].images) == 6


def test_hidden_folders_are_ignored(root: Path) -> None:
    save(root / ".cache" / "a.png")
    save(root / "calm" / ".thumbnails" / "a.png")
    assert len(read_images(root, 8)[0].images) == 6


def test_images_beside_the_class_folders_are_no_part_of_the_data(root: Path) -> None:
    save(root / "preview.png", 222)
    assert len(read_images(root, 8)[0].images) == 6


def test_nested_folders_belong_to_their_class(root: Path) -> None:
    save(root / "calm" / "artist" / "page 1" / "a.png", 9)
    labels = {image.path: image.label for image in read_images(root, 8)[0].images}
    assert labels["calm/artist/page 1/a.png"] == "calm"


def test_linked_files_and_folders_are_read(root: Path, tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "in" / "a.png", 9)
    (root / "calm" / "linked").symlink_to(tmp_path / "elsewhere" / "in")
    (root / "angry" / "b.png").symlink_to(save(tmp_path / "elsewhere" / "b.png", 11))
    assert {"calm/linked/a.png", "angry/b.png"} < {image.path for image in read_images(root, 8)[0].images}


def test_linked_root_is_read(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert len(read_images(tmp_path / "link", 8)[0].images) == 6


def test_link_loops_add_nothing(root: Path) -> None:
    (root / "calm" / "again").symlink_to(root)
    (root / "calm" / "self").symlink_to(root / "calm")
    assert len(read_images(root, 8)[0].images) == 6


def test_link_to_itself_is_bad(root: Path) -> None:
    (root / "angry" / "round.png").symlink_to(root / "angry" / "round.png")
    assert "angry/round.png is no file, or a link that leads nowhere" in error_of(root)


def test_label_is_the_same_for_both_unicode_forms_of_a_name(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / ("cafe\u0301" if number < 2 else "other") / f"{number}.png", number)
    assert read_images(tmp_path, 8)[0].classes == ("caf\u00e9", "other")


@pytest.mark.parametrize(
    "names", [("train", "valid", "test"), ("Training", "val", "TESTING"), ("TRAIN", "Validation", "Test")]
)
def test_part_folders_give_the_parts(parted: Path, names: tuple[str, str, str]) -> None:
    for old, new in zip(("train", "valid", "test"), names, strict=True):
        (parted / old).rename(parted / f"{new} ")
        (parted / f"{new} ").rename(parted / new)
    parts = {image.path.split("/")[0]: image.part for image in read_images(parted, 8)[0].images}
    assert parts == dict(zip(names, ("train", "validation", "test"), strict=True))


def test_a_class_may_be_called_like_a_part(root: Path) -> None:
    (root / "calm").rename(root / "train")
    assert read_images(root, 8)[0].classes == ("angry", "train")


def test_folder_with_train_alone_has_its_classes(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    root.rename(tmp_path / "outer" / "train")
    catalog, _ = read_images(tmp_path / "outer", 8)
    assert (catalog.classes, catalog.images[0].part) == (("angry", "calm"), "train")


def test_same_images_under_other_names_have_the_same_digest(root: Path) -> None:
    before = read_images(root, 8)[0].images_digest
    (root / "calm" / "0.png").rename(root / "calm" / "z.png")
    assert read_images(root, 8)[0].images_digest == before


@pytest.mark.parametrize("change", [{"sha256": "c"}, {"label": "y"}, {"part": "train"}])
def test_digest_follows_content_label_and_given_part(change: dict[str, str]) -> None:
    image = {"path": "p", "label": "x", "sha256": "a"}
    assert images_digest([CatalogImage(**image)]) != images_digest([CatalogImage(**{**image, **change})])


def test_missing_folder_is_named(tmp_path: Path) -> None:
    assert error_of(tmp_path / "none").startswith(f"{tmp_path / 'none'} does not exist; name a folder")


def test_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png")
    assert error_of(path).startswith(f"{path} is not a folder; ")


@pytest.mark.parametrize("inside", [[], ["calm"], ["calm/notes.txt", "angry/notes.txt"]])
def test_folder_without_images_is_named(tmp_path: Path, inside: list[str]) -> None:
    for name in inside:
        (tmp_path / name).mkdir(parents=True)
    assert error_of(tmp_path).startswith(f"{tmp_path} has no images; ")


def test_images_without_class_folders_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    assert "holds images but no class folders; move" in error_of(tmp_path)


def test_single_class_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "calm" / "a.png")
    assert "has only one class, calm; " in error_of(tmp_path)


def test_class_folder_without_images_is_named(root: Path) -> None:
    (root / "scared").mkdir()
    assert error_of(root).startswith(f"{root / 'scared'} is a class without images; ")


def test_class_missing_in_a_given_part_is_named(parted: Path) -> None:
    (parted / "test" / "calm" / "face.png").unlink()
    (parted / "test" / "calm").rmdir()
    assert f"the test folder of {parted} has no usable image of class calm" in error_of(parted)


def test_given_parts_need_a_train_folder(parted: Path) -> None:
    (parted / "train").rename(parted / ".train")
    assert "has test, valid but no train folder" in error_of(parted)


def test_folder_beside_given_parts_is_named(parted: Path) -> None:
    save(parted / "extra" / "a.png")
    assert "has extra beside test, train, valid; " in error_of(parted)


def test_two_folders_for_one_part_are_refused(parted: Path) -> None:
    save(parted / "val" / "calm" / "a.png")
    assert "has two folders for one part among test, train, val, valid; " in error_of(parted)


def test_given_part_without_classes_is_named(parted: Path) -> None:
    for label in ("calm", "angry"):
        (parted / "test" / label / "face.png").rename(parted / "test" / f"{label}.png")
        (parted / "test" / label).rmdir()
    assert error_of(parted).startswith(f"{parted / 'test'} holds images but no class folders")


def test_all_bad_files_are_named_in_one_message(root: Path) -> None:
    (root / "calm" / "0.png").write_bytes(b"text")
    content = (root / "angry" / "3.png").read_bytes()
    (root / "angry" / "3.png").write_bytes(content[:-30])
    message = error_of(root)
    assert message.startswith("2 images cannot be used: ")
    assert f"{root}/calm/0.png is no JPEG" in message
    assert f"{root}/angry/3.png is damaged or cut short" in message
    assert message.endswith("pass --skip-bad to leave them out")


def test_beyond_twenty_bad_files_are_counted(root: Path) -> None:
    for number in range(23):
        (root / "calm" / f"bad{number:02}.jpg").touch()
    message = error_of(root)
    assert message.count(" is empty") == 20
    assert "; and 3 more; " in message


def test_skipped_files_are_listed(root: Path) -> None:
    (root / "calm" / "1.png").write_bytes(b"text")
    bad = read_images(root, 8, skip_bad=True)[0].bad
    assert [(file.path, file.reason[:10]) for file in bad] == [("calm/1.png", "is no JPEG")]


def test_pixels_close_ranks_over_skipped_files(root: Path) -> None:
    for name in ("angry/3.png", "calm/1.png"):
        (root / name).write_bytes(b"text")
    catalog, pixels = read_images(root, 8, skip_bad=True)
    assert np.array_equal(pixels, np.stack([decode(root / image.path, 8) for image in catalog.images]))


def test_class_of_bad_files_alone_is_named_even_when_they_are_skipped(root: Path) -> None:
    for path in (root / "calm").iterdir():
        path.write_bytes(b"text")
    assert "has no usable image of class calm" in error_of(root, skip_bad=True)


def test_folder_of_bad_files_alone_is_refused_even_when_they_are_skipped(root: Path) -> None:
    for path in root.rglob("*.png"):
        path.write_bytes(b"text")
    assert "has no usable image of class angry, calm" in error_of(root, skip_bad=True)


def test_pipe_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "calm" / "pipe.png")
    assert "pipe.png is no file" in error_of(root)


def test_name_that_is_not_unicode_is_bad_and_can_be_printed(root: Path) -> None:
    (root / "calm" / "0.png").rename(root / "calm" / os.fsdecode(b"\xff.png"))
    message = error_of(root)
    assert r"\udcff.png has a name that is not Unicode" in message
    assert message.encode()


def test_broken_metadata_of_a_whole_image_is_no_warning(root: Path, recwarn: pytest.WarningsRecorder) -> None:
    Image.new("RGB", (10, 10)).save(root / "calm" / "exif.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\0")
    assert len(read_images(root, 8)[0].images) == 7
    assert not recwarn.list


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(source.read_bytes())


def test_identical_files_of_one_class_are_counted(root: Path) -> None:
    copy(root / "calm" / "0.png", root / "calm" / "copy.png")
    copy(root / "calm" / "0.png", root / "calm" / "copy2.png")
    assert read_images(root, 8)[0].duplicates.repeats == 2


def test_identical_files_across_classes_stop(root: Path) -> None:
    copy(root / "calm" / "0.png", root / "angry" / "copy.png")
    message = error_of(root)
    assert "identical files in different classes: angry/copy.png = calm/0.png; " in message
    assert "--allow-duplicates" in message


def test_identical_files_across_given_parts_stop(parted: Path) -> None:
    copy(parted / "train" / "calm" / "face.png", parted / "test" / "calm" / "copy.png")
    assert "in different parts: test/calm/copy.png = train/calm/face.png; " in error_of(parted)


def test_allowed_duplicates_are_listed(root: Path) -> None:
    copy(root / "calm" / "0.png", root / "angry" / "copy.png")
    duplicates = read_images(root, 8, allow_duplicates=True)[0].duplicates
    assert duplicates.across_classes == (("angry/copy.png", "calm/0.png"),)
    assert (duplicates.across_parts, duplicates.repeats) == ((), 0)


def test_copies_in_two_given_parts_are_no_repeats() -> None:
    images = [CatalogImage(path=part, label="x", sha256="a", part=part) for part in ("test", "train")]
    duplicates = find_duplicates(images)
    assert (duplicates.across_parts, duplicates.repeats) == ((("test", "train"),), 0)


def real(name: str) -> Path:
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"the real images of {name} are not beside this checkout")
    return folder


def test_real_colour_faces_match_their_manifest() -> None:
    folder = real("anime_expressions")
    lines = (folder / "manifest.csv").read_text().splitlines()
    columns = lines[0].split(",")
    listed = {row[columns.index("path")]: row[columns.index("sha256")] for row in (re.split(",", x) for x in lines[1:])}
    catalog, pixels = read_images(folder, 32)
    assert {image.path: image.sha256 for image in catalog.images} == listed
    assert pixels.shape == (len(listed), 3, 32, 32)


def test_real_grey_faces_are_grey() -> None:
    _, pixels = read_images(real("syncopika_emotions"), 32)
    assert len(pixels) == 88
    assert np.array_equal(pixels[:, 0], pixels[:, 1])
