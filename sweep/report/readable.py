"""Every table as a reader wants it, in words: what the page, Markdown and LaTeX show. CSV keeps the full numbers."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from sweep.report.strategies import strategies_in_words
from sweep.report.words import chance, give_or_take, name_of, number, plus_minus, span, total_range

Row = dict[str, Any]

DISPLAYED = (
    ("accuracy", "accuracy (%)", 100, 1),
    ("f1_macro", "macro F1 (%)", 100, 1),
    ("f1_weighted", "weighted F1 (%)", 100, 1),
    ("loss", "loss (nats)", 1, 3),
)
"""(metric, title, factor, decimals) of the metrics that the summary shows with both intervals."""
FAMILIES = {
    "all_pairs": "all pairs",
    "strategies_within_model": "strategies within a model",
    "models_within_strategy": "models within a strategy",
}
EFFECTS = {"strategy": "strategies", "model": "models", "interaction": "model × strategy"}
ABOVE_BELOW = {"better": "above the sum", "worse": "below the sum"}


def readable(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `all_tables` as texts; columns of which no row knows anything are left out."""
    words = READERS[name](table) if name in READERS else _rounded(table)
    return words.loc[:, (words != "").any()] if len(words) else words


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    """Percent, mean ± half the seed interval, and the total interval."""
    rows = []
    for row in table.to_dict("records"):
        words: Row = {"configuration": name_of(row), "seeds": f"{row['n_seeds']} of {row['n_planned']}"}
        if "split" in row:
            words |= {"split": row["split"], "share of the training images (%)": _percent(row["train_fraction"])}
        for metric, title, scale, digits in DISPLAYED:
            words[title] = plus_minus(row, metric, scale, digits)
            words[f"{title}, total interval"] = total_range(row, metric, scale, digits)
        words["calibration error (%)"] = number(100 * row["calibration_error"], 1)
        words["calibration error (%), total interval"] = total_range(row, "calibration_error", 100, 1)
        words["ECE (%)"] = plus_minus(row, "ece", 100, 1)
        words["validation accuracy (%)"] = number(100 * row["validation_accuracy_mean"], 1)
        words["trainable parameters, last epoch (%)"] = number(row["percent_trainable"], 2)
        words["epochs run"] = number(row["epochs_run_mean"], 1)
        words["training seconds an epoch"] = number(row["seconds_per_epoch_mean"], 1)
        rows.append(words)
    return pd.DataFrame(rows)


def for_paper(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the summary as a paper has room for it: seeds, accuracy, macro F1 and loss with their total intervals."""
    titles = [title for metric, title, *_ in DISPLAYED if metric in PAPER]

    def words(row: Mapping[Any, Any]) -> Row:
        first = {name: row[name] for name in ("configuration", "seeds", *OF_CONDITION) if name in row}
        return first | {title: _with_total(row, title) for title in titles if title in row}

    return _of(readable("summary", summary), words)


def _with_total(row: Mapping[Any, Any], title: str) -> str:
    total = row.get(f"{title}, total interval")
    return f"{row[title]} ({total})" if total else str(row[title])


PAPER = ("accuracy", "f1_macro", "loss")
OF_CONDITION = ("split", "share of the training images (%)")


def _per_class(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "configuration": name_of(row),
            "class": row["class"],
            "seeds": str(row["n_seeds"]),
            "test images": str(row["support"]),
            "precision (%)": number(100 * row["precision_mean"], 1),
            "recall (%)": number(100 * row["recall_mean"], 1),
            "F1 (%)": plus_minus(row, "f1", 100, 1),
            "F1 (%), total interval": total_range(row, "f1", 100, 1),
        },
    )


def _comparisons(table: pd.DataFrame) -> pd.DataFrame:
    def words(row: Mapping[Any, Any]) -> Row:
        sides = {side: name_of(row, f"_{side}") for side in "ab"}
        family = {"metric": row["metric"], "family": FAMILIES[row["family"]]}
        return family | sides | {"a is": row["verdict"]} | _tested(row)

    return _of(table, words)


def _effects(table: pd.DataFrame) -> pd.DataFrame:
    def words(row: Mapping[Any, Any]) -> Row:
        if row["effect"] == "interaction":
            sides = {"a": f"{row['a']}/{row['b']}", "b": "", "a is": ABOVE_BELOW.get(row["verdict"], row["verdict"])}
        else:
            sides = {"a": row["a"], "b": row["b"], "a is": row["verdict"]}
        return {"metric": row["metric"], "effect": EFFECTS[row["effect"]]} | sides | _tested(row)

    return _of(table, words)


def _tested(row: Mapping[Any, Any]) -> Row:
    """A difference with all that is known of it: in points, or of the loss in nats."""
    scale, digits = (1, 3) if row["metric"] == "loss" else (100, 1)
    return {
        "difference": number(row["difference"] * scale, digits),
        "total interval": span(row["total_ci_low"], row["total_ci_high"], scale, digits),
        "seed interval": span(row["ci_low"], row["ci_high"], scale, digits),
        "adjusted p": chance(row["p_adjusted"]),
        "had to reach": number(row["smallest_detectable"] * scale, digits),
        "p": chance(row["p"]),
        "seeds": str(row["n_seeds"]),
    }


def _ranking(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "configuration": name_of(row),
            "validation accuracy (%)": number(100 * row["validation_accuracy_mean"], 1),
            "test accuracy (%)": number(100 * row["test_accuracy_mean"], 1),
            "may be the best": "" if pd.isna(row["in_best_set"]) else "yes" if row["in_best_set"] else "no",
            "rank": span(row["rank_low"], row["rank_high"], digits=0),
        },
    )


def _power(table: pd.DataFrame) -> pd.DataFrame:
    def needed(row: Mapping[Any, Any], unit: str) -> str:
        if row["verdict"] != "undecided":
            return "decided"
        return "no number" if pd.isna(row[unit]) else f"{row[unit]:,}"

    return _of(
        table,
        lambda row: {
            "a": name_of(row, "_a"),
            "b": name_of(row, "_b"),
            "difference": number(100 * row["difference"], 1),
            "had to reach": number(100 * row["smallest_detectable"], 1),
            "seeds needed": needed(row, "seeds_needed"),
            f"{row['units']} needed": needed(row, "units_needed"),
            "limit with unlimited seeds": number(100 * row["limit_of_seeds"], 1),
            "SD of seeds": number(100 * row["seed_sd"], 1),
            f"SD of {row['units']}": number(100 * row["image_sd"], 1),
            "SD of the rest": number(100 * row["residual_sd"], 1),
            "SD of the training images": number(100 * row["training_sd"], 1),
        },
    )


def _variance(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "configuration": name_of(row),
            "source": row["source"],
            "trials": str(row["n"]),
            "SD (points)": number(row["sd"] * 100, 1),
            "95 % interval": "" if row["sd_high"] == 0 else span(row["sd_low"], row["sd_high"], 100),
            "share of the variance due to the finite test set (%)": number(row["share_of_test_set"] * 100, 0),
        },
    )


def _calibration(table: pd.DataFrame) -> pd.DataFrame:
    def total(row: Mapping[Any, Any], metric: str, title: str, scale: float, digits: int) -> Row:
        interval = total_range(row, metric, scale, digits)
        return {title: number(row[metric] * scale, digits), f"{title}, total interval": interval}

    return _of(
        table,
        lambda row: (
            {"configuration": name_of(row), "seeds": str(row["n_seeds"])}
            | total(row, "calibration_error", "calibration error (%)", 100, 1)
            | total(row, "loss", "loss (nats)", 1, 3)
            | total(row, "brier", "Brier score", 1, 3)
            | total(row, "aurc", "AURC", 1, 3)
            | {"ECE (%)": plus_minus(row, "ece", 100, 1)}
        ),
    )


def _reliability(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "configuration": name_of(row),
            "bin": str(row["bin"]),
            "seeds": str(row["n_seeds"]),
            "images a seed": str(row["n_images"]),
            "confidence (%)": number(100 * row["confidence_mean"], 1),
            "accuracy (%)": number(100 * row["accuracy_mean"], 1),
            "accuracy (%), total interval": total_range(row, "accuracy", 100, 1),
        },
    )


def _risk_coverage(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "configuration": name_of(row),
            "seeds": str(row["n_seeds"]),
            "coverage (%)": number(100 * row["coverage"], 1),
            "risk (%)": number(100 * row["risk_mean"], 1),
            "risk (%), seed interval": span(row["risk_ci_low"], row["risk_ci_high"], 100),
        },
    )


def _confused_pairs(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "true": row["true"],
            "read as": row["predicted"],
            "share (%)": number(100 * row["share_mean"], 1),
            "lowest and highest (%)": span(row["share_low"], row["share_high"], 100),
            "the reverse (%)": number(100 * row["reverse_share_mean"], 1),
            "asymmetry (points)": number(100 * row["asymmetry"], 1),
            "configurations": str(row["n_configurations"]),
        },
    )


def _misread(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "image": row["image"],
            "true": row["true"],
            "read as": row["predicted"],
            "misread by (%)": number(100 * row["misread_share"], 1),
            "models": str(row["n_models"]),
            "configurations": f"{row['always_misread_by']} of {row['n_configurations']}",
            "wrong under every seed": "yes" if row["wrong_under_every_seed"] else "no",
        },
    )


def _ensembles(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "configuration": name_of(row),
            "seeds in it": str(row["n_seeds"]),
            "accuracy (%)": number(100 * row["accuracy"], 1),
            "accuracy (%), 95 % interval": span(row["accuracy_images_ci_low"], row["accuracy_images_ci_high"], 100),
            "mean of its single models (%)": number(100 * row["single_accuracy_mean"], 1),
            "loss (nats)": number(row["loss"], 3),
            "mean loss of its single models": number(row["single_loss_mean"], 3),
        },
    )


VIEWS = {"jpeg30": "JPEG quality 30"}
"""Views whose names say less than these words."""


def _views(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "configuration": name_of(row),
            "view": VIEWS.get(row["view"], row["view"]),
            "seeds": str(row["n_seeds"]),
            "points lost": give_or_take(row["loss_of_accuracy"], row["loss_of_accuracy_ci_high"], 100, 1),
            "points lost, total interval": total_range(row, "loss_of_accuracy", 100, 1),
            "accuracy (%)": number(100 * row["accuracy_mean"], 1),
            "accuracy (%), total interval": total_range(row, "accuracy", 100, 1),
        },
    )


def _claims(table: pd.DataFrame) -> pd.DataFrame:
    def estimate(row: Mapping[Any, Any]) -> str:
        if pd.isna(row["estimate"]):
            return ""
        digits = 1 if row["unit"] == "points" else 3
        interval = span(row["low"], row["high"], digits=digits)
        return f"{number(row['estimate'], digits)}{f' ({interval})' if interval else ''} {row['unit']}"

    return _of(
        table,
        lambda row: {
            "claim": row["claim"],
            "what it says": row["statement"],
            "verdict": row["verdict"],
            "estimate": estimate(row),
            "why": row["reason"],
            "the study": row["study_value"],
            "the interval": row["interval"],
            "of the study's own figures": row["study_note"],
        },
    )


def _efficiency(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "configuration": name_of(row),
            "seeds": str(row["n_seeds"]),
            "epochs run": number(row["epochs_run_mean"], 1),
            "training seconds": number(row["training_seconds_mean"], 1),
            "training seconds an epoch": number(row["seconds_per_epoch_mean"], 2),
            "training, images/s": number(row["images_per_second_mean"], 1),
            "evaluation, images/s": number(row["eval_images_per_second_mean"], 1),
            "latency of one image (ms)": number(row["latency_ms_mean"], 2),
            "peak memory (MiB)": number(row["peak_memory_bytes_mean"] / 2**20, 0),
            "parameters (millions)": number(row["parameters_mean"] / 1e6, 1),
            "trainable parameters, last epoch (%)": number(row["percent_trainable"], 2),
            "GFLOPs an image": number(row["flops_per_image_mean"] / 1e9, 2),
            "energy (kJ)": number(row["energy_joules_mean"] / 1e3, 1),
            "shared device": {True: "yes", False: "no"}.get(row["shared_device"], ""),
            "price of a trial": number(row.get("price_per_trial"), 2),
            "price of all its trials": number(row.get("price"), 2),
        },
    )


STUDY_METRICS = {metric: (title, scale, digits) for metric, title, scale, digits in DISPLAYED} | {
    "f1": ("F1 (%)", 100, 1),
    "trainable": ("trainable parameters (%)", 1, 1),
    "epochs_run": ("epochs run", 1, 1),
    "seconds_per_epoch": ("training seconds an epoch", 1, 1),
}


GAINS = {
    "accuracy": ("accuracy (points)", 100, 1),
    "f1_macro": ("macro F1 (points)", 100, 1),
    "loss": ("loss (nats)", 1, 3),
    "f1": ("F1 (points)", 100, 1),
}


def _study(table: pd.DataFrame) -> pd.DataFrame:
    def words(row: Mapping[Any, Any]) -> Row:
        title, scale, digits = STUDY_METRICS[row["metric"]]
        return {
            "configuration": name_of(row),
            "table": str(row["table"]),
            "what": title if pd.isna(row["class"]) else f"{row['class']}, {title}",
            "the study": number(row["study_value"] * scale, digits),
            "here": give_or_take(row["mean"], row["ci_high"], scale, digits),
            "total interval": span(row["total_ci_low"], row["total_ci_high"], scale, digits),
            "seeds": str(row["n_seeds"]),
        }

    return _of(table, words)


def _splits(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "configuration": name_of(row),
            "splits": str(row["n_splits"]),
            "seeds": str(row["n_seeds"]),
            "accuracy (%)": number(100 * row["accuracy_mean"], 1),
            "accuracy (%), interval over splits": span(row["accuracy_ci_low"], row["accuracy_ci_high"], 100),
            "lowest and highest split (%)": span(row["accuracy_min"], row["accuracy_max"], 100),
        },
    )


def _shares(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "configuration": name_of(row),
            "share (%)": _percent(row["train_fraction"]),
            "training images": f"{row['train_images']:,}",
            "seeds": str(row["n_seeds"]),
            "accuracy (%)": plus_minus(row, "accuracy", 100, 1),
            "accuracy (%), total interval": total_range(row, "accuracy", 100, 1),
        },
    )


def _lead(table: pd.DataFrame) -> pd.DataFrame:
    return _of(
        table,
        lambda row: {
            "strategy": row["strategy"],
            "models": row["models"],
            "share (%)": row["what"] if pd.isna(row["train_fraction"]) else _percent(row["train_fraction"]),
            "lead of the ViTs (points)": number(100 * row["lead"], 1),
            "total interval": span(row["lead_total_ci_low"], row["lead_total_ci_high"], 100),
            "seeds": str(row["n_seeds"]),
        },
    )


def _percent(share: float) -> str:
    return f"{100 * share:g}"


def _gains(table: pd.DataFrame) -> pd.DataFrame:
    def words(row: Mapping[Any, Any]) -> Row:
        title, scale, digits = GAINS[row["metric"]]
        return {
            "configuration": name_of(row),
            "what": title if pd.isna(row["class"]) else f"{row['class']}, {title}",
            "gain": number(row["gain"] * scale, digits),
            "total interval": span(row["total_ci_low"], row["total_ci_high"], scale, digits),
            "the study": number(row["study_gain"] * scale, digits),
            "seeds": str(row["n_seeds"]),
        }

    return _of(table, words)


READERS: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "summary": _summary,
    "per_class": _per_class,
    "comparisons": _comparisons,
    "effects": _effects,
    "ranking": _ranking,
    "power": _power,
    "variance": _variance,
    "calibration": _calibration,
    "ensembles": _ensembles,
    "reliability": _reliability,
    "risk_coverage": _risk_coverage,
    "confused_pairs": _confused_pairs,
    "misread": _misread,
    "views": _views,
    "claims": _claims,
    "efficiency": _efficiency,
    "study": _study,
    "splits": _splits,
    "shares": _shares,
    "lead": _lead,
    "gains": _gains,
    "strategies": strategies_in_words,
}


def _of(table: pd.DataFrame, words: Callable[[Mapping[Any, Any]], Row]) -> pd.DataFrame:
    rows: Iterable[Mapping[Any, Any]] = table.to_dict("records")
    return pd.DataFrame([words(row) for row in rows])


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    return table.map(lambda value: "" if pd.isna(value) else f"{value:.4g}" if isinstance(value, float) else str(value))
