import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest
from pyarrow import parquet

from animefer_core.errors import InputError
from sweep.predictions import Table, check_table, read_table

HEADER = "model,strategy,seed,part,image,label,p_cat,p_dog\n"
ROWS = [
    "net,full,1,validation,a.png,cat,0.75,0.25\n",
    "net,full,1,test,b.png,dog,0.5,0.5\n",
    "net,full,1,test,c.png,cat,1,0\n",
    "net,full,2,validation,a.png,cat,0.25,0.75\n",
    "net,full,2,test,b.png,dog,0,1\n",
    "net,full,2,test,c.png,cat,0.75,0.25\n",
]
CLASSES_ONLY = (
    "model,strategy,seed,part,image,label,predicted\nnet,full,1,test,a.png,cat,dog\nnet,full,1,test,b.png,dog,cat\n"
)


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "made.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def checked(file: Path) -> Table:
    table = read_table(file)
    check_table(table)
    return table


def whole() -> str:
    return HEADER + "".join(ROWS)


def changed(line: int, old: str, new: str) -> str:
    """Return the usual file with one text of one line, counted from 1, replaced."""
    lines = [HEADER, *ROWS]
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    return "".join(lines)


BAD = {
    "no file at all": ("", r"is empty"),
    "a header alone": (HEADER, r"has no rows"),
    "a column lacks": (whole().replace("seed,", "sed,", 1), r"has no column seed; it needs model"),
    "semicolons": (whole().replace(",", ";"), r"has no column model"),
    "a column twice": (whole().replace("p_dog", "p_cat"), r"has two columns p_cat"),
    "no prediction": (whole().replace("p_", "q_"), r"neither predicted nor p_<class> columns"),
    "both forms": (whole().replace("p_dog", "predicted"), r"both predicted and p_cat"),
    "a class without a name": (whole().replace("p_dog", "p_"), r"names no class"),
    "too many cells": (changed(3, "0.5,0.5", "0.5,0.5,9"), r"Expected 8 fields in line 3, saw 9"),
    "too many cells everywhere": (
        whole().replace("\n", ",9\n").replace("p_dog,9", "p_dog"),
        r"line 2: there are more cells than column names; name every column",
    ),
    "an open quote": (changed(3, "b.png", '"b.png'), r"not a table: .*EOF inside string"),
    "too few cells": (changed(3, ",0.5\n", "\n"), r"line 3: p_dog is '', not a number"),
    "a seed that is no number": (changed(4, ",1,test", ",one,test"), r"line 4: seed is 'one', not a whole number"),
    "half a seed": (changed(4, ",1,test", ",1.5,test"), r"line 4: seed is '1.5', not a whole number"),
    "a huge seed": (changed(4, ",1,test", f",{2**64},test"), rf"line 4: seed is '{2**64}', not a whole number below 2"),
    "an endless seed": (changed(4, ",1,test", ",inf,test"), r"line 4: seed is 'inf', not a whole number"),
    "a seed as a power": (changed(4, ",1,test", ",1e300,test"), r"line 4: seed is '1e300', not a whole number"),
    "no seed": (changed(4, ",1,test", ",,test"), r"line 4: seed is '', not a whole number"),
    "a word for a probability": (changed(4, ",1,0", ",high,0"), r"line 4: p_cat is 'high', not a number"),
    "NaN": (changed(4, ",1,0", ",NaN,0"), r"line 4: p_cat is 'NaN', not a number"),
    "infinity": (changed(4, ",1,0", ",inf,0"), r"line 4: p_cat is inf, which is not between 0 and 1"),
    "above one": (changed(4, ",1,0", ",1,1.5"), r"line 4: p_dog is 1.5, which is not between 0 and 1"),
    "below zero": (changed(4, ",1,0", ",1,-0.001"), r"line 4: p_dog is -0.001, which is not between"),
    "more than one together": (changed(6, "0,1", "0.5,1"), r"line 6: the probabilities are 1.5 together, not 1"),
    "logits that look like it": (changed(6, "0,1", "0.2,0.3"), r"line 6: the probabilities are 0.5 together"),
    "no image": (changed(5, "a.png", ""), r"line 5: image is empty"),
    "no model": (changed(5, "net", ""), r"line 5: model is empty"),
    "an unknown part": (
        changed(5, "validation", "valid"),
        r"line 5: part is 'valid', and has to be validation or test",
    ),
    "two labels": (
        changed(5, "a.png,cat", "a.png,dog"),
        r"line 5: image 'a.png' has label 'dog' here and 'cat' in line 2",
    ),
    "both parts": (
        changed(5, "validation", "test"),
        r"line 5: image 'a.png' has part 'test' here and 'validation' in line 2",
    ),
    "an image twice": (whole() + ROWS[3], r"line 8: image 'a.png' stands twice in net/full with seed 2"),
    "trials over different images": (
        HEADER + "".join(ROWS[:5]),
        r"line 4: image 'c.png' of net/full with seed 1 has no row in net/full with seed 2; all trials must be over",
    ),
    "an image of one trial only": (
        whole() + "net,full,2,test,d.png,cat,1,0\n",
        r"line 8: image 'd.png' of net/full with seed 2 has no row in net/full with seed 1",
    ),
    "a label without a column": (
        whole().replace("dog,", "cow,"),
        r"line 3: label is 'cow', which is the class of no p_",
    ),
    "a prediction that is no label": (
        CLASSES_ONLY.replace("dog,cat", "dog,cta"),
        r"line 3: predicted is 'cta', which is the label of no image",
    ),
    "a single class": (CLASSES_ONLY.replace("dog", "cat"), r"knows no class but 'cat'"),
    "no test images": (whole().replace(",test,", ",validation,"), r"no row whose part is test"),
    "two groups": (
        CLASSES_ONLY.replace("predicted", "predicted,group")
        .replace("\nnet", ",x\nnet")[:-1]
        .replace("group,x", "group")
        + ",y\nnet,full,2,test,a.png,cat,dog,x\nnet,full,2,test,b.png,dog,dog,z\n",
        r"line 5: image 'b.png' has group 'z' here and 'y' in line 3",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_told_in_one_sentence_with_file_and_place(tmp_path, name):
    text, message = BAD[name]
    with pytest.raises(InputError, match=message) as caught:
        checked(written(tmp_path, text))
    assert str(tmp_path / "made.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path):
    with pytest.raises(InputError, match=r"line 4: the text is not UTF-8"):
        checked(written(tmp_path, changed(4, "c.png", "ç.png").encode("latin-1")))


def test_a_header_that_is_not_utf8_is_named(tmp_path):
    with pytest.raises(InputError, match=r"line 1: the text is not UTF-8"):
        checked(written(tmp_path, whole().encode("utf-16")))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv cannot be read \(No such file"):
        read_table(tmp_path / "none.csv")


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"made\.xlsx is neither \.csv nor \.parquet"):
        read_table(tmp_path / "made.xlsx")


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    assert len(checked(written(tmp_path, whole().encode("utf-8-sig"))).rows) == 6


def test_blank_lines_and_line_breaks_in_names_are_counted(tmp_path):
    text = HEADER + "\n  \n" + ROWS[0] + ROWS[1].replace("net", '"ne\nt"') + "\n"
    with pytest.raises(InputError, match=r"line 8: part is 'tets'"):
        checked(written(tmp_path, text + ROWS[2].replace("test", "tets")))


@pytest.mark.parametrize(("first", "second"), [("1", "2"), ("NA", "nan"), ("True", "1e5")])
def test_names_of_classes_stay_as_they_are_written(tmp_path, first, second):
    text = CLASSES_ONLY.replace("cat", first).replace("dog", second)
    assert set(checked(written(tmp_path, text)).values("label")) == {first, second}


def test_names_of_images_keep_their_zeros(tmp_path):
    text = CLASSES_ONLY.replace("a.png", "007").replace("b.png", "7")
    assert checked(written(tmp_path, text)).image_names == ["007", "7"]


def test_probabilities_with_three_decimals_are_enough(tmp_path):
    text = HEADER.replace("p_dog", "p_dog,p_fox") + "net,full,1,test,a.png,cat,0.333,0.333,0.333\n"
    assert checked(written(tmp_path, text)).probabilities.tolist() == [[0.333, 0.333, 0.333]]


def test_other_columns_are_left_alone_and_named(tmp_path):
    table = checked(written(tmp_path, HEADER.replace("p_dog", "p_dog,epoch") + ROWS[2].replace("\n", ",9\n")))
    assert table.ignored == ("epoch",)


def test_classes_of_columns_are_sorted_and_their_values_follow(tmp_path):
    table = checked(written(tmp_path, whole().replace("p_cat,p_dog", "p_dog,p_cat")))
    assert (table.classes, table.probabilities[0].tolist()) == (("cat", "dog"), [0.25, 0.75])


def as_parquet(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table) -> Path:
    table = change(pd.read_csv(written(folder, whole())))
    table.to_parquet(folder / "made.parquet")
    return folder / "made.parquet"


def test_parquet_gives_what_csv_gives(tmp_path):
    here, there = checked(as_parquet(tmp_path)), checked(written(tmp_path, whole()))
    assert all(np.array_equal(here.values(name), there.values(name)) for name in ("model", "image", "label", "seed"))
    assert np.array_equal(here.probabilities, there.probabilities)


def test_whole_numbers_and_categories_of_parquet_become_text(tmp_path):
    table = read_table(as_parquet(tmp_path, lambda t: t[:3].assign(image=[10, 11, 12]).astype({"label": "category"})))
    assert table.values("image").tolist() == ["10", "11", "12"]
    assert table.values("label").tolist() == ["cat", "dog", "cat"]


BAD_PARQUET = {
    "an empty cell": (lambda t: t.assign(image=t["image"].where(t.index != 2)), r"row 3: image is empty"),
    "an empty seed": (lambda t: t.assign(seed=t["seed"].where(t.index != 2).astype("Int64")), r"row 3: seed has no"),
    "seeds with fractions": (lambda t: t.assign(seed=t["seed"] + 0.5), r"column seed holds float64, not int64"),
    "labels with fractions": (lambda t: t.assign(label=0.5), r"column label holds float64, not text"),
    "probabilities in words": (lambda t: t.assign(p_cat="much"), r"column p_cat holds (str|object), not float64"),
    "no probability": (lambda t: t.assign(p_cat=t["p_cat"].where(t.index != 2)), r"row 3: p_cat has no number"),
    "an unknown part": (lambda t: t.assign(part="dev"), r"row 1: part is 'dev'"),
    "a column lacks": (lambda t: t.drop(columns="part"), r"has no column part"),
    "labels in lists": (lambda t: t.assign(label=[["cat"]] * len(t)), r"column label holds values of (list|ndarray)"),
    "a huge seed": (
        lambda t: t.assign(seed=t["seed"].astype("uint64").where(t.index != 2, np.uint64(2**64 - 1))),
        rf"row 3: seed is {2**64 - 1}, not a whole number below",
    ),
}


@pytest.mark.parametrize("name", BAD_PARQUET)
def test_what_is_wrong_in_parquet_is_told_with_its_row(tmp_path, name):
    change, message = BAD_PARQUET[name]
    with pytest.raises(InputError, match=message):
        checked(as_parquet(tmp_path, change))


def test_a_file_that_only_looks_like_parquet_is_named(tmp_path):
    (tmp_path / "made.parquet").write_text("model,strategy")
    with pytest.raises(InputError, match=r"made\.parquet is not a Parquet file"):
        read_table(tmp_path / "made.parquet")


def test_without_pyarrow_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    file = as_parquet(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"reading Parquet needs pyarrow; install it by `pip install pyarrow`"):
        read_table(file)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "made.parquet").mkdir()
    with pytest.raises(InputError, match=r"made\.parquet is a folder"):
        read_table(tmp_path / "made.parquet")


def test_a_written_index_has_no_name_and_is_left_alone(tmp_path):
    file = tmp_path / "made.csv"
    pd.read_csv(written(tmp_path, whole())).to_csv(file)
    table = checked(file)
    assert table.ignored == ("",)
    assert table.values("label").tolist() == ["cat", "dog", "cat", "cat", "dog", "cat"]


def test_a_parquet_column_that_stands_twice_is_named(tmp_path):
    rows = pd.read_csv(written(tmp_path, whole()))
    columns = [pyarrow.array(rows[name]) for name in rows]
    names = [*rows.columns[:-1], "p_cat"]
    parquet.write_table(pyarrow.Table.from_arrays(columns, names=names), tmp_path / "made.parquet")
    with pytest.raises(InputError, match="has two columns p_cat"):
        read_table(tmp_path / "made.parquet")


def test_a_damaged_parquet_file_is_one_sentence(tmp_path):
    file = tmp_path / "made.parquet"
    pd.read_csv(written(tmp_path, whole())).to_parquet(file)
    file.write_bytes(file.read_bytes()[:-40] + b"\0" * 36 + b"PAR1")
    with pytest.raises(InputError) as caught:
        read_table(file)
    assert "\n" not in str(caught.value)
