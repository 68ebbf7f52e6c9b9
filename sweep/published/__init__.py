"""The study's numbers as data: Santoro, Laura, Parrillo and Rughetti, preprint 10.20944/preprints202604.0729.v2.

    table1.csv   what each strategy is trained with
    table2.csv   results of the 16 configurations: accuracy, trainable in percent, loss in nats, seconds per epoch
    table3.csv   F1 by class, under the linear probe and under each model's best strategy
    claims.csv   for each claim, the number it stands on, and where the study contradicts itself about it

All of it is one seed, 42, on 450 test images.
"""

from importlib import resources

import pandas as pd


def table(number: int) -> pd.DataFrame:
    """Return the study's Table 1, 2 or 3, one row a line of it; blank cells are NaN."""
    return _read(f"table{number}.csv")


def numbers_of_claims() -> dict[str, dict[str, str]]:
    """Return `study_value` and `study_note`, both in words, by claim (C1 to C20); without a note it is empty."""
    rows = _read("claims.csv").fillna("")
    return {row["claim"]: {name: row[name] for name in ("study_value", "study_note")} for _, row in rows.iterrows()}


def _read(name: str) -> pd.DataFrame:
    with resources.files(__name__).joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file)
