"""A file of predictions made elsewhere -> a table whose every row has been checked.

    FILE.csv or FILE.parquet    one row an image and trial:
        model,strategy,seed,part,image,label    part is validation or test; seed is a whole number
        predicted                               the predicted class, or, where probabilities are known,
        p_<class>                               one column a class
        group                                   optional: images of one group belong together

Whatever is wrong is told in one sentence with its line (of CSV) or row (of Parquet, counted from 1).
"""

import csv
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from animefer_core.errors import InputError

TRIAL = ["model", "strategy", "seed"]
REQUIRED = [*TRIAL, "part", "image", "label"]
PARTS = ("validation", "test")
PREFIX = "p_"
SUM_TOLERANCE = 0.01
"""How far a row's probabilities may be from 1 together: rounding to three decimals stays within it for 20 classes."""

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of a file, columns named and typed, contents not yet checked."""

    file: Path
    rows: pd.DataFrame
    """Texts, but for `seed` (whole numbers) and the p_ columns (floats)."""
    place: Callable[[int], str]
    """Row, from 0 -> where it stands in the file, in words."""
    ignored: tuple[str, ...]

    @cached_property
    def probabilities(self) -> npt.NDArray[np.float64] | None:
        """(rows, classes), columns in the order of `classes`; None where the file has `predicted`."""
        columns = sorted(name for name in self.rows.columns if name.startswith(PREFIX))
        return self.rows[columns].to_numpy(dtype=np.float64) if columns else None

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes of the p_ columns, where there are any, else the labels; sorted."""
        names = [name.removeprefix(PREFIX) for name in self.rows.columns if name.startswith(PREFIX)]
        return tuple(sorted(names or set(self.values("label"))))

    def fault(self, row: int, text: str) -> InputError:
        """Return the error that names a row."""
        return InputError(f"{self.file}, {self.place(row)}: {text}.")

    def values(self, column: str) -> npt.NDArray[Any]:
        """Return (rows,) Python texts, or numbers."""
        return self.rows[column].to_numpy(dtype="int64" if column == "seed" else object)

    @cached_property
    def image_names(self) -> list[str]:
        """Every image once, sorted."""
        return list(self._images[1])

    @property
    def image(self) -> Codes:
        """(rows,) place of each row's image among `image_names`."""
        return self._images[0]

    @cached_property
    def _images(self) -> tuple[Codes, npt.NDArray[Any]]:
        codes, names = pd.factorize(self.values("image"), sort=True)
        return np.asarray(codes, dtype=np.int64), np.asarray(names)

    @cached_property
    def trial(self) -> Codes:
        """(rows,) number of each row's trial, in the order in which trials appear."""
        return np.asarray(self.rows.groupby(TRIAL, sort=False).ngroup(), dtype=np.int64)

    @cached_property
    def first_of_image(self) -> Codes:
        """(images,) the first row of every image."""
        return np.unique(self.image, return_index=True)[1].astype(np.int64)

    @cached_property
    def first_of_trial(self) -> Codes:
        """(trials,) the first row of every trial."""
        return np.unique(self.trial, return_index=True)[1].astype(np.int64)

    def trial_name(self, row: int) -> str:
        """Return how a row's trial is written in messages."""
        return "{}/{} with seed {}".format(*(self.values(name)[row] for name in TRIAL))


def read_table(file: Path) -> Table:
    """Return the rows of a CSV or Parquet file; raises InputError where it cannot be read or lacks a column."""
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if file.suffix.lower() not in readers:
        raise InputError(f"{file} is neither .csv nor .parquet; write the predictions as one of them.")
    if file.is_dir():
        raise InputError(f"{file} is a folder; name a file of predictions.")
    try:
        table = readers[file.suffix.lower()](file)
    except OSError as error:
        cause = error.strerror or " ".join(str(error).split())
        raise InputError(f"{file} cannot be read ({cause}); name a file of predictions.") from error
    if table.rows.empty:
        raise InputError(f"{file} has no rows; write one row an image and trial.")
    return table


def _check_columns(file: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are of no use here; raises InputError where needed ones lack or stand twice."""
    if missing := [name for name in REQUIRED if name not in names]:
        raise InputError(f"{file} has no column {missing[0]}; it needs {', '.join(REQUIRED)}.")
    if twice := [name for name in names if list(names).count(name) > 1]:
        raise InputError(f"{file} has two columns {twice[0]}; remove or rename one.")
    classes = [name for name in names if name.startswith(PREFIX)]
    if PREFIX in classes:
        raise InputError(f"{file} has a column {PREFIX} that names no class; name it {PREFIX}<class>.")
    if bool(classes) == ("predicted" in names):
        has = f"both predicted and {classes[0]}" if classes else f"neither predicted nor {PREFIX}<class> columns"
        raise InputError(f"{file} has {has}; give either the predicted class or one {PREFIX}<class> column a class.")
    known = {*REQUIRED, *classes, "predicted", "group"}
    return tuple(name for name in names if name not in known)


def _numbers(names: Iterable[str]) -> dict[str, str]:
    """Return the types of the columns that are no text."""
    return {name: "int64" if name == "seed" else "float64" for name in names if name == "seed" or name[:2] == PREFIX}


def _read_csv(file: Path) -> Table:
    names = _header(file)
    ignored = _check_columns(file, names)
    try:
        rows = _parsed(file, dict.fromkeys(names, "str") | _numbers(names))
    except pd.errors.ParserError as error:
        raise InputError(f"{file} is not a table: {' '.join(str(error).split())}; correct that line.") from error
    except UnicodeDecodeError as error:
        raise _not_utf8(file) from error
    except (ValueError, OverflowError) as error:
        raise _no_number(file, names, error) from error
    rows = rows.drop(columns=list(ignored))
    return Table(file=file, rows=rows, place=lambda row: f"line {_line(file, row)}", ignored=ignored)


def _header(file: Path) -> list[str]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        try:
            names = next(csv.reader(lines), None)
        except UnicodeDecodeError as error:
            raise _not_utf8(file) from error
    if not names:
        raise InputError(f"{file} is empty; its first line has to name the columns {', '.join(REQUIRED)}.")
    return names


def _parsed(file: Path, types: Mapping[str, str]) -> pd.DataFrame:
    with warnings.catch_warnings():
        # A number that does not fit its column warns first and raises then, or is refused by what it is.
        warnings.simplefilter("ignore", RuntimeWarning)
        # Without keep_default_na=False a class called NA would be a missing value.
        rows = pd.read_csv(file, dtype=dict(types), keep_default_na=False, encoding="utf-8-sig")
    if not isinstance(rows.index, pd.RangeIndex):
        raise InputError(
            f"{file}, line {_longer_line(file)}: there are more cells than column names; name every column, or remove "
            "the commas that are too many."
        )
    # pandas gives a column without a name, such as a written index, a name of its own.
    return rows.set_axis(list(types), axis=1)


def _longer_line(file: Path) -> int:
    """Return the first line that has more cells than the header."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        width = len(next(reader))
        next((cells for cells in reader if len(cells) > width), None)
    return reader.line_num


def _not_utf8(file: Path) -> InputError:
    content, line = file.read_bytes(), 1
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
    return InputError(f"{file}, line {line}: the text is not UTF-8; save the file as UTF-8.")


def _no_number(file: Path, names: Sequence[str], error: Exception) -> InputError:
    """Return the error that names the first cell that should hold a number and does not."""
    rows = _parsed(file, dict.fromkeys(names, "str"))
    faults = []
    for name, kind in _numbers(names).items():
        numbers = pd.to_numeric(rows[name], errors="coerce")
        wrong = numbers.isna() | ((numbers % 1 != 0) | (numbers.abs() >= 2**63) if kind == "int64" else False)
        if wrong.any():
            faults.append((int(np.argmax(wrong)), name, kind))
    if not faults:
        return InputError(f"{file}: a column of numbers cannot be read ({error}); write plain numbers.")
    row, name, kind = min(faults)
    wanted = "a whole number below 2^63" if kind == "int64" else "a number"
    return InputError(f"{file}, line {_line(file, row)}: {name} is {str(rows[name][row])!r}, not {wanted}.")


def _line(file: Path, row: int) -> int:
    """Return the line in which a row of the table, counted from 0, ends: blank lines are no rows."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        left = row + 1
        for cells in reader:
            if len(cells) > 1 or "".join(cells).strip():
                left -= 1
            if left < 0:
                break
    return reader.line_num


def _read_parquet(file: Path) -> Table:
    try:
        from pyarrow import parquet

        names = list(map(str, parquet.read_schema(file).names))
        ignored = _check_columns(file, names)
        rows = pd.read_parquet(file, engine="pyarrow")
    except ImportError as error:
        raise InputError(f"{file}: reading Parquet needs pyarrow; install it by `pip install pyarrow`.") from error
    except ValueError as error:
        raise InputError(f"{file} is not a Parquet file: {' '.join(str(error).split())}; write it anew.") from error
    rows = rows.drop(columns=list(ignored), errors="ignore").reset_index(drop=True)
    kinds = _numbers(names)
    for name in rows.columns:
        rows[name] = _as_number(file, rows[name], kinds[name]) if name in kinds else _as_text(file, rows[name])
    return Table(file=file, rows=rows, place=lambda row: f"row {row + 1}", ignored=ignored)


def _as_number(file: Path, column: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    right = pd.api.types.is_integer_dtype if kind == "int64" else pd.api.types.is_numeric_dtype
    if not right(column.dtype):
        raise InputError(f"{file}: column {column.name} holds {column.dtype}, not {kind}; convert it.")
    if column.isna().any():
        raise InputError(f"{file}, row {int(np.argmax(column.isna())) + 1}: {column.name} has no number.")
    if kind == "int64" and (large := column >= 2**63).any():
        row = int(np.argmax(large))
        raise InputError(f"{file}, row {row + 1}: {column.name} is {column[row]}, not a whole number below 2^63.")
    return pd.Series(column.to_numpy(dtype=kind), name=column.name)


def _as_text(file: Path, column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return texts as they are, whole numbers written out, and nothing as an empty text."""
    if pd.api.types.is_float_dtype(column.dtype):
        raise InputError(f"{file}: column {column.name} holds {column.dtype}, not text; convert it.")
    try:
        codes, values = pd.factorize(column)
    except TypeError as error:
        kind = type(column.iloc[0]).__name__
        raise InputError(f"{file}: column {column.name} holds values of {kind}, not text; convert it.") from error
    # What is missing has the code -1, the last text.
    texts = np.asarray([*map(str, values), ""], dtype=object)
    return pd.Series(texts[codes], name=column.name)


def check_table(table: Table) -> None:
    """Raise InputError for the first row that contradicts another one or itself."""
    for name in [*REQUIRED, "predicted"]:
        if name in table.rows.columns and (row := _first(table.values(name) == "")) is not None:
            raise table.fault(row, f"{name} is empty")
    parts = table.values("part")
    if (row := _first(~np.isin(parts, PARTS))) is not None:
        raise table.fault(row, f"part is {parts[row]!r}, and has to be validation or test")
    for name in ("label", "part", "group"):
        if name in table.rows.columns:
            _check_one_value(table, name)
    _check_same_images(table)
    _check_classes(table)
    _check_probabilities(table)
    if "test" not in parts:
        raise InputError(f"{table.file} has no row whose part is test; the tables are of the test images.")


def _first(wrong: npt.ArrayLike) -> int | None:
    """Return the first row that is wrong, if any."""
    rows = np.flatnonzero(wrong)
    return int(rows[0]) if rows.size else None


def _check_one_value(table: Table, name: str) -> None:
    """Refuse an image that has two values of one column."""
    values = table.values(name)
    codes = pd.factorize(values)[0]
    earlier = table.first_of_image[table.image]
    if (row := _first(codes != codes[earlier])) is not None:
        first = int(earlier[row])
        raise table.fault(
            row,
            f"image {table.values('image')[row]!r} has {name} {values[row]!r} here "
            f"and {values[first]!r} in {table.place(first)}",
        )


def _check_same_images(table: Table) -> None:
    """Refuse an image that stands twice in a trial, and one that stands in some trials only."""
    images = len(table.image_names)
    if (row := _first(pd.Series(table.trial * images + table.image).duplicated())) is not None:
        raise table.fault(row, f"image {table.values('image')[row]!r} stands twice in {table.trial_name(row)}")
    trial = _first(np.bincount(table.trial) != images)
    if trial is not None:
        image = np.setdiff1d(np.arange(images), table.image[table.trial == trial])[0]
        other = int(table.first_of_image[image])
        raise table.fault(
            other,
            f"image {table.image_names[image]!r} of {table.trial_name(other)} has no row in "
            f"{table.trial_name(int(table.first_of_trial[trial]))}; all trials must be over the same images",
        )


def _check_classes(table: Table) -> None:
    """Refuse a class that is not among the classes, and a single class."""
    classes = table.classes
    if table.probabilities is None:
        column, where = "predicted", "the label of no image"
    else:
        column, where = "label", f"the class of no {PREFIX} column"
    values = table.values(column)
    codes, found = pd.factorize(values)
    if (row := _first(~np.isin(found, np.asarray(classes, dtype=object))[codes])) is not None:
        raise table.fault(row, f"{column} is {values[row]!r}, which is {where}")
    if len(classes) < 2:
        raise InputError(f"{table.file} knows no class but {classes[0]!r}; two are needed.")


def _check_probabilities(table: Table) -> None:
    if table.probabilities is None:
        return
    # Written so that NaN, for which no comparison holds, is refused as well.
    inside = (table.probabilities >= 0) & (table.probabilities <= 1)
    if (row := _first(~inside.all(axis=1))) is not None:
        column = int(np.argmin(inside[row]))
        value = f"{PREFIX}{table.classes[column]} is {table.probabilities[row, column]:g}"
        raise table.fault(row, f"{value}, which is not between 0 and 1")
    total = table.probabilities.sum(axis=1)
    if (row := _first(np.abs(total - 1) > SUM_TOLERANCE)) is not None:
        raise table.fault(row, f"the probabilities are {total[row]:.4g} together, not 1")
