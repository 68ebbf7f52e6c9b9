"""What the trials of a configuration cost at a price an hour, where the reader's command names one."""

from collections.abc import Mapping

import pandas as pd

from sweep.frames import Sweep

HOUR = 3600


def priced(sweep: Sweep, tables: Mapping[str, pd.DataFrame], price_per_hour: float) -> dict[str, pd.DataFrame]:
    """Return the tables with two more columns in that of efficiency: the mean price of a trial, and of all together.

    A trial's hours are those from its beginning to its record. Both are blank where the hours of one are not known.
    """
    if "efficiency" not in tables:
        return dict(tables)
    table = tables["efficiency"].copy()
    hours = [
        pd.Series([record.efficiency.get("trial_seconds") for record in each.records], dtype="float64") / HOUR
        for each in sweep.configurations
    ]
    table["price_per_trial"] = [price_per_hour * one.mean(skipna=False) for one in hours]
    table["price"] = [price_per_hour * one.sum(skipna=False) if len(one) else float("nan") for one in hours]
    return {**tables, "efficiency": table}
