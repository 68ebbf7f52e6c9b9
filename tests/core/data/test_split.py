import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from animefer_core.data.catalog import BadImage, Catalog, CatalogImage, Duplicates, read_images
from animefer_core.data.split import (
    Division,
    Split,
    make_folds,
    make_split,
    part_counts,
    read_split_file,
    split_digest,
    write_split_file,
)
from animefer_core.errors import InputError

PARTS = ("train", "validation", "test")
REAL = Path(__file__).parents[4] / "shared" / "data"


def catalog_of(images: Sequence[CatalogImage]) -> Catalog:
    ordered = tuple(sorted(images, key=lambda image: image.path))
    return Catalog(root=Path("faces"), classes=tuple(sorted({i.label for i in images})), images=ordered)


def image(label: str, number: int, **fields: str) -> CatalogImage:
    sha256 = hashlib.sha256(f"{label} {number}".encode()).hexdigest()
    return CatalogImage(**{"path": f"{label}/{number:04}.png", "label": label, "sha256": sha256, **fields})


def faces(sizes: Sequence[int]) -> Catalog:
    """A class of each size, all files different."""
    return catalog_of([image(f"c{c:02}", i) for c, size in enumerate(sizes) for i in range(size)])


def counts(catalog: Catalog, split: Split) -> dict[str, list[int]]:
    found = Counter(zip((i.label for i in catalog.images), split.parts, strict=True))
    return {label: [found[label, part] for part in PARTS] for label in catalog.classes}


@pytest.mark.parametrize(
    ("size", "expected"), [(500, [350, 75, 75]), (40, [28, 6, 6]), (20, [14, 3, 3]), (5, [3, 1, 1]), (3, [1, 1, 1])]
)
def test_class_sizes_give_these_parts(size: int, expected: list[int]) -> None:
    catalog = faces([size] * 6)
    assert list(counts(catalog, make_split(catalog)).values()) == [expected] * 6


@pytest.mark.parametrize(("size", "totals"), [(10, [42, 9, 9]), (30, [126, 27, 27])])
def test_totals_are_exact_where_a_class_cannot_be(size: int, totals: list[int]) -> None:
    catalog = faces([size] * 6)
    assert [make_split(catalog).parts.count(part) for part in PARTS] == totals


@settings(deadline=None)
@given(st.lists(st.integers(7, 200), min_size=2, max_size=12))
@example([23, 122, 50])
def test_every_count_is_the_exact_one_rounded(sizes: list[int]) -> None:
    shares = (0.7, 0.15, 0.15)
    named = {f"c{i:02}": size for i, size in enumerate(sizes)}
    found = part_counts(named, shares)
    for label, size in named.items():
        assert sum(found[label]) == size
        assert all(abs(count - share * size) < 1 for count, share in zip(found[label], shares, strict=True))


@settings(deadline=None)
@given(st.lists(st.integers(7, 200), min_size=1, max_size=40))
def test_totals_are_the_exact_ones_rounded(sizes: list[int]) -> None:
    shares = (0.7, 0.15, 0.15)
    found = part_counts({f"c{i:02}": size for i, size in enumerate(sizes)}, shares)
    for part, share in enumerate(shares):
        assert abs(sum(count[part] for count in found.values()) - share * sum(sizes)) < 1


@settings(deadline=None)
@given(st.lists(st.integers(3, 30), min_size=2, max_size=5), st.integers(0, 2**32))
def test_every_class_is_in_every_part(sizes: list[int], seed: int) -> None:
    catalog = faces(sizes)
    assert min(min(numbers) for numbers in counts(catalog, make_split(catalog, seed=seed)).values()) >= 1


@settings(deadline=None)
@given(st.lists(st.integers(3, 30), min_size=2, max_size=5), st.integers(0, 9))
def test_split_of_single_images_has_the_exact_counts(sizes: list[int], seed: int) -> None:
    catalog = faces(sizes)
    expected = part_counts({f"c{i:02}": size for i, size in enumerate(sizes)}, (0.7, 0.15, 0.15))
    assert counts(catalog, make_split(catalog, seed=seed)) == expected


copies = st.lists(st.integers(1, 6), min_size=3, max_size=25)


@settings(deadline=None)
@given(st.lists(copies, min_size=2, max_size=4), st.integers(0, 2**32))
def test_identical_files_stay_together_and_every_class_in_every_part(classes: list[list[int]], seed: int) -> None:
    images = [
        image(f"c{c}", number, path=f"c{c}/{number}-{copy}.png")
        for c, numbers in enumerate(classes)
        for number, times in enumerate(numbers)
        for copy in range(times)
    ]
    catalog = catalog_of(images)
    split = make_split(catalog, seed=seed)
    places = {(i.sha256, part) for i, part in zip(catalog.images, split.parts, strict=True)}
    assert len(places) == len({i.sha256 for i in images})
    assert min(min(numbers) for numbers in counts(catalog, split).values()) >= 1


def test_copies_do_not_cost_exact_counts() -> None:
    images = [image(c, i // 2 if i < 20 else i, path=f"{c}/{i}") for c in ("x", "y") for i in range(40)]
    catalog = catalog_of(images)
    assert counts(catalog, make_split(catalog)) == {"x": [28, 6, 6], "y": [28, 6, 6]}


@pytest.mark.parametrize("seed", range(10))
def test_sets_that_fit_nowhere_go_where_they_overfill_least(seed: int) -> None:
    catalog = catalog_of([image(c, i // 2, path=f"{c}/{i}") for c in ("x", "y") for i in range(20)])
    for numbers in counts(catalog, make_split(catalog, seed=seed)).values():
        assert numbers in ([14, 4, 2], [14, 2, 4])


def test_copies_are_found_in_every_part() -> None:
    images = [image(c, i // 2 if i < 60 else i, path=f"{c}/{i}") for c in ("x", "y") for i in range(100)]
    catalog = catalog_of(images)
    pairs = {hash for hash, times in Counter(i.sha256 for i in images).items() if times == 2}
    split = make_split(catalog)
    assert {part for i, part in zip(catalog.images, split.parts, strict=True) if i.sha256 in pairs} == set(PARTS)


def test_allowed_copies_across_classes_stay_together() -> None:
    shared = [image(c, i, sha256=f"shared {i}") for c in ("x", "y") for i in range(10)]
    catalog = catalog_of([*shared, *(image(c, i) for c in ("x", "y") for i in range(10, 30))])
    split = make_split(catalog)
    places = {(i.sha256, part) for i, part in zip(catalog.images, split.parts, strict=True)}
    assert len(places) == len({i.sha256 for i in catalog.images})


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_groups_stay_together_across_classes(seed: int) -> None:
    images = [image(c, i, group=f"artist {i % 12}") for c in ("x", "y", "z") for i in range(48)]
    catalog = catalog_of(images)
    split = make_split(catalog, seed=seed)
    assert len({(i.group, part) for i, part in zip(catalog.images, split.parts, strict=True)}) == 12
    assert min(min(numbers) for numbers in counts(catalog, split).values()) >= 1


def test_a_copy_joins_two_groups() -> None:
    images = [image(c, i, group=f"{c} {i % 6}") for c in ("x", "y") for i in range(30)]
    images.append(replace(images[0], path="x/copy", group="x 1"))
    catalog = catalog_of(images)
    split = make_split(catalog)
    joined = {part for i, part in zip(catalog.images, split.parts, strict=True) if i.group in ("x 0", "x 1")}
    assert len(joined) == 1


def test_groups_that_cannot_cover_every_part_are_refused() -> None:
    images = [image(c, i, group=group) for c, groups in (("x", "aab"), ("y", "aab")) for i, group in enumerate(groups)]
    with pytest.raises(InputError, match="class x of faces has too few images to split: 3, of which only 2 are"):
        make_split(catalog_of(images))


def test_groups_that_tie_the_classes_to_each_other_too_tightly_are_refused() -> None:
    # x needs groups 1, 2, 3 apart and y 1, 2, 4, so that 3 and 4 share a part; z needs them apart.
    members = {"x": "123", "y": "124", "z": "345"}
    images = [image(c, i, group=group) for c, groups in members.items() for i, group in enumerate(groups)]
    with pytest.raises(InputError, match=r"the groups of faces are too few to put class . into every part"):
        make_split(catalog_of(images))


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_and_names_of_the_files_decide_nothing(random: Random) -> None:
    catalog = faces([12, 9])
    numbers = list(range(len(catalog.images)))
    random.shuffle(numbers)
    renamed = catalog_of([replace(i, path=f"{n:03}") for i, n in zip(catalog.images, numbers, strict=True)])
    one, other = make_split(catalog), make_split(renamed)
    parts = [
        {i.sha256: p for i, p in zip(c.images, s.parts, strict=True)} for c, s in ((catalog, one), (renamed, other))
    ]
    assert parts[0] == parts[1]
    assert one.digest == other.digest


def test_split_is_the_same_on_every_machine() -> None:
    digest = make_split(faces([20, 10, 5]), seed=42).digest[:12]
    assert digest == "0e7ea6dde9dd"


def test_another_seed_is_another_split() -> None:
    assert make_split(faces([40, 40]), seed=1).digest != make_split(faces([40, 40]), seed=2).digest


def test_every_image_is_drawn_equally_often() -> None:
    catalog = faces([20, 20])
    tests = Counter(row for seed in range(400) for row in make_split(catalog, seed=seed).rows("test").tolist())
    # Binomial(400, 3/20): mean 60, deviation 7.1; 40 rows within 4.5 deviations of it.
    assert len(tests) == 40
    assert all(28 <= times <= 92 for times in tests.values())


def test_rows_are_a_parts_rows_in_order() -> None:
    split = Split(parts=("test", "train", "test"), digest="")
    assert (split.rows("test").tolist(), split.rows("validation").tolist()) == ([0, 2], [])
    assert split.rows("test").dtype == "int64"


def given_parts(**numbers: int) -> Catalog:
    return catalog_of(
        [
            image(c, i, path=f"{part}/{c}/{i}", sha256=f"{part}{c}{i}", part=part)
            for part, size in numbers.items()
            for c in ("x", "y")
            for i in range(size)
        ]
    )


def test_given_parts_are_used_as_they_are() -> None:
    catalog = given_parts(train=2, validation=1, test=4)
    assert make_split(catalog).parts == tuple(i.part for i in catalog.images)


def test_missing_validation_is_cut_from_train() -> None:
    catalog = given_parts(train=85, test=15)
    assert counts(catalog, make_split(catalog)) == {"x": [70, 15, 15], "y": [70, 15, 15]}


def test_cutting_validation_leaves_the_given_test_images() -> None:
    catalog = given_parts(train=85, test=15)
    split = make_split(catalog)
    assert {catalog.images[row].part for row in split.rows("test")} == {"test"}


def test_missing_test_is_cut_from_train() -> None:
    catalog = given_parts(train=85, validation=15)
    assert counts(catalog, make_split(catalog)) == {"x": [70, 15, 15], "y": [70, 15, 15]}


def test_cutting_one_part_needs_only_two_images() -> None:
    catalog = given_parts(train=2, test=1)
    assert counts(catalog, make_split(catalog)) == {"x": [1, 1, 1], "y": [1, 1, 1]}


def test_too_small_class_is_named_with_its_count() -> None:
    with pytest.raises(
        InputError, match="class c01 of faces has too few images to split: 2, where at least 3 are needed"
    ):
        make_split(faces([5, 2]))


def test_copies_do_not_make_a_class_large_enough() -> None:
    images = [image("x", i) for i in range(5)] + [image("y", i // 3, path=f"y/{i}") for i in range(6)]
    with pytest.raises(InputError, match="class y of faces has too few images to split: 6, of which only 2 are"):
        make_split(catalog_of(images))


@pytest.mark.parametrize("shares", [(0.0, 0.1), (0.1, 0.0), (0.5, 0.5), (-0.1, 0.3)])
def test_shares_that_leave_a_part_empty_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="leave a part without images"):
        make_split(faces([9, 9]), validation_share=shares[0], test_share=shares[1])


@settings(deadline=None)
@given(st.integers(0, 8), st.sampled_from(["part", "label", "sha256"]))
def test_digest_follows_every_part_label_and_hash(row: int, field: str) -> None:
    images = list(faces([5, 4]).images)
    parts = ["train", "validation", "test"] * 3
    before = split_digest(images, parts)
    if field == "part":
        parts[row] = "train" if parts[row] != "train" else "test"
    else:
        images[row] = replace(images[row], **{field: "other"})
    assert split_digest(images, parts) != before


def test_file_returns_what_was_written(tmp_path: Path) -> None:
    catalog = replace(
        faces([5, 4]),
        bad=(BadImage(path="c00/bad.png", reason="is empty"),),
        duplicates=Duplicates(across_classes=(("a", "b"),), repeats=2),
    )
    splits = [make_split(catalog, seed=seed) for seed in (1, 2)]
    divisions = tuple(Division(seed=seed, splits=(split,)) for seed, split in zip((1, 2), splits, strict=True))
    write_split_file(tmp_path / "split.json", catalog, divisions)
    back = read_split_file(tmp_path / "split.json")
    assert (back.images, back.classes, back.images_digest) == (catalog.images, catalog.classes, catalog.images_digest)
    assert back.splits == {split.digest: split.parts for split in splits}
    assert back.divisions == divisions
    assert (back.skipped, back.duplicates) == (catalog.bad, catalog.duplicates)


def test_file_has_the_contracts_fields(tmp_path: Path) -> None:
    catalog = faces([3, 3])
    write_split_file(tmp_path / "split.json", catalog, [Division(seed=42, splits=(make_split(catalog),))])
    values = json.loads((tmp_path / "split.json").read_text())
    assert {"images", "images_digest", "splits", "classes", "skipped", "duplicates", "divisions"} <= values.keys()
    assert {"path", "sha256", "label", "group"} <= values["images"][0].keys()
    assert [len(parts) for parts in values["splits"].values()] == [6]


def written(tmp_path: Path) -> Path:
    catalog = faces([3, 3])
    write_split_file(tmp_path / "split.json", catalog, [Division(seed=42, splits=(make_split(catalog),))])
    return tmp_path / "split.json"


@pytest.mark.parametrize(("old", "new"), [('"c00"', '"c01"'), ('"test"', '"train"'), ('"images_digest": "', "\\g<0>0")])
def test_edited_file_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = written(tmp_path)
    text = path.read_text()
    edited = text.replace(old, new.replace("\\g<0>", old))
    assert edited != text
    path.write_text(edited)
    with pytest.raises(InputError, match="was changed after it was written"):
        read_split_file(path)


def test_cut_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text()[:-50])
    with pytest.raises(InputError, match="is not a whole split file"):
        read_split_file(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"split\.json is missing; "):
        read_split_file(tmp_path / "split.json")


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [("anime_expressions", "sad", [28, 6, 6]), ("syncopika_emotions", "scared", [3, 1, 1])],
)
def test_real_faces_are_split(name: str, label: str, expected: list[int]) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"the real images of {name} are not beside this checkout")
    catalog, _ = read_images(REAL / name, 8)
    assert counts(catalog, make_split(catalog))[label] == expected


class TestFolds:
    @pytest.mark.parametrize(("sizes", "n_folds"), [([30, 30], 3), ([31, 17, 8], 4), ([10, 10], 5)])
    def test_every_image_is_tested_in_one_fold(self, sizes: list[int], n_folds: int) -> None:
        catalog = faces(sizes)
        tested = Counter(row for fold in make_folds(catalog, n_folds) for row in fold.rows("test").tolist())
        assert tested == dict.fromkeys(range(sum(sizes)), 1)

    def test_folds_are_stratified(self) -> None:
        catalog = faces([30, 12])
        of_folds = [counts(catalog, fold) for fold in make_folds(catalog, 3)]
        assert [(found["c00"][2], found["c01"][2]) for found in of_folds] == [(10, 4)] * 3

    def test_validation_takes_its_share_of_the_rest(self) -> None:
        catalog = faces([255, 255])
        assert counts(catalog, make_folds(catalog, 3)[1]) == {"c00": [140, 30, 85], "c01": [140, 30, 85]}

    def test_each_has_a_digest_of_its_own(self) -> None:
        folds = make_folds(faces([9, 9]), 3)
        assert len({fold.digest for fold in folds}) == 3

    def test_groups_stay_in_one_part(self) -> None:
        images = [image("x", number, group=f"g{number // 4}") for number in range(40)]
        catalog = catalog_of(images + [image("y", number) for number in range(40)])
        for fold in make_folds(catalog, 3):
            parts_of: dict[str, set[str]] = {}
            for each, part in zip(catalog.images, fold.parts, strict=True):
                parts_of.setdefault(each.group or each.path, set()).add(part)
            assert {len(parts) for parts in parts_of.values()} == {1}

    def test_names_of_the_files_decide_nothing(self) -> None:
        one = catalog_of([image("x", i) for i in range(12)] + [image("y", i) for i in range(12)])
        other = catalog_of([replace(each, path=f"{each.label}/{each.sha256}.png") for each in one.images])
        assert {fold.digest for fold in make_folds(one, 3)} == {fold.digest for fold in make_folds(other, 3)}

    def test_more_folds_than_the_smallest_class_has_images_are_refused(self) -> None:
        sentence = (
            "--folds 5: class c01 of faces has too few images to split: 4, where at least 5 are needed; add images"
        )
        with pytest.raises(InputError, match=sentence):
            make_folds(faces([9, 4]), 5)

    def test_a_single_fold_is_refused(self) -> None:
        with pytest.raises(InputError, match="--folds 1: give 2 or more"):
            make_folds(faces([9, 9]), 1)

    def test_parts_of_the_folders_own_are_refused(self) -> None:
        with pytest.raises(InputError, match="--folds 2: faces gives parts of its own"):
            make_folds(given_parts(train=9, test=3), 2)
