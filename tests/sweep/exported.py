"""Predictions of scikit-learn models, exported as a user would."""

from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

MODELS = {"forest": RandomForestClassifier, "extra": ExtraTreesClassifier}
SEEDS = (0, 1, 2)
PART_ROWS = {"train": slice(0, 300), "validation": slice(300, 400), "test": slice(400, 600)}


def rows(
    model: str, seed: int, part: str, labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]
) -> pd.DataFrame:
    """Return the rows of one trial and part; images are named after their place in the data set."""
    table = pd.DataFrame(probabilities, columns=[f"p_{digit}" for digit in range(10)])
    images = [f"{part}_{number}" for number in range(len(labels))]
    return table.assign(model=model, strategy="5_trees", seed=seed, part=part, image=images, label=labels)


@cache
def digits() -> pd.DataFrame:
    """Return the predictions of two kinds of small forests and three seeds: many of them are exactly 0."""
    pixels, labels = load_digits(return_X_y=True)
    tables = []
    for name, kind in MODELS.items():
        for seed in SEEDS:
            train = PART_ROWS["train"]
            model = kind(n_estimators=5, random_state=seed).fit(pixels[train], labels[train])
            for part in ("validation", "test"):
                here = PART_ROWS[part]
                tables.append(rows(name, seed, part, labels[here], model.predict_proba(pixels[here])))
    return pd.concat(tables, ignore_index=True)


def without_probabilities(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the likeliest class in place of the probabilities."""
    columns = [name for name in table.columns if name.startswith("p_")]
    predicted = table[columns].to_numpy().argmax(axis=1)
    return table.drop(columns=columns).assign(predicted=np.asarray([name[2:] for name in columns])[predicted])
