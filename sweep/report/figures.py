"""The report's figures of results, mistakes, gains and costs, as Plotly figures made from the sweep's tables."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from animefer_core.record import TrialRecord
from sweep.frames import Sweep
from sweep.report import words
from sweep.report.drawing import (
    CELLS_WITH_TEXT,
    COLOURS,
    DARKEST_FROM,
    GREY,
    MARKS,
    Drawing,
    faint,
    heat_map,
    is_known,
    plain,
    rows_axis,
    short,
    whisker,
)
from sweep.report.filtering import METRICS, configurations, places
from sweep.report.readable import DISPLAYED, VIEWS
from sweep.report.words import count, listed, name_of, names_of

MOST_TOLD = 2000
"""Marks of trials that all carry their trial's id."""

Table = pd.DataFrame
Rows = Sequence[Mapping[Any, Any]]


def results(sweep: Sweep, summary: Table) -> list[Drawing]:
    """Return one drawing a metric that any configuration has: its test results, each seed, the mean, both intervals."""
    return [
        _result(sweep, summary, metric, title, scale, digits)
        for metric, title, scale, digits in DISPLAYED
        if summary[f"{metric}_mean"].notna().any()
    ]


def _result(sweep: Sweep, summary: Table, metric: str, title: str, scale: float, digits: int) -> Drawing:
    """Return every configuration's result in one metric; with the accuracy stand chance and the majority class."""
    rows = [(place, row) for place, row in _completed(summary) if is_known(row[f"{metric}_mean"])]
    shown = Metric(name=metric, scale=scale, digits=digits, unit=" %" if scale == 100 else "")
    traces: list[go.Scatter] = []
    for place, (strategy, group) in enumerate(_by_strategy(rows)):
        style = {"color": COLOURS[place % len(COLOURS)], "symbol": MARKS[place % len(MARKS)]}
        traces += _result_traces(sweep, strategy, group, style, shown)
    lines = baselines(sweep) if metric == "accuracy" else ()
    traces += [_baseline(name, 100 * value, dash, len(rows)) for name, value, dash in lines]
    height = 110 + 34 * len(rows)
    spread = [end for trace in traces for end in (min(trace.x), max(trace.x))]
    ends = [
        scale * row[f"{metric}{kind}_ci_{end}"] for _, row in rows for kind in ("", "_total") for end in ("low", "high")
    ]
    spread += [end for end in ends if is_known(end)]
    means = [scale * row[f"{metric}_mean"] for _, row in rows]
    layout = rows_axis([name_of(row) for _, row in rows])
    return Drawing(
        key=f"figure-{metric.replace('_', '-')}",
        title=f"Test {METRICS[metric].lower()} by configuration",
        description=f"Means from {words.span(min(means), max(means), digits=digits)}{shown.unit}; the table beneath "
        "holds every number.",
        figure=go.Figure(traces, layout | {"height": height, "xaxis": _result_axis(title, scale, spread)}),
        height=height,
        rows=configurations([(row["model"], row["strategy"]) for _, row in rows]),
        metric=metric,
    )


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How a metric is written in a figure."""

    name: str
    scale: float
    digits: int
    unit: str


def _result_axis(title: str, scale: float, spread: Sequence[float]) -> dict[str, Any]:
    """Return an axis a little wider than what it holds; percentages end near 0 and 100."""
    low, high = min(spread), max(spread)
    room = 3 if scale == 100 else 0.05 * (high - low or 1)
    ends = [low - room, high + room]
    return {
        "title": {"text": f"test {title}"},
        "range": [max(-2, ends[0]), min(102, ends[1])] if scale == 100 else ends,
    }


def baselines(sweep: Sweep) -> Iterator[tuple[str, float, str]]:
    """Yield name, accuracy and dash of what needs no model: guessing, and the training images' commonest class.

    Imported predictions tell nothing of the training images.
    """
    yield "chance", 1 / len(sweep.classes), "dot"
    counts = sweep.class_counts
    if not sweep.imported:
        yield "majority class", float(counts["test"].iloc[int(counts["train"].argmax())] / counts["test"].sum()), "dash"


def confusion_matrices(sweep: Sweep, confusion: Table) -> list[Drawing]:
    """Return one heat map a configuration: share of each true class (rows) that was predicted as each class."""
    drawings = []
    size = len(sweep.classes)
    blocks = confusion.groupby(["model", "strategy"], sort=False)
    for number, ((model, strategy), table) in enumerate(blocks):
        seeds = words.count(int(table["n_seeds"].iloc[0]), "seed")
        square = {name: table[name].to_numpy().reshape(size, size) for name in ("share_mean", "share_sd", "count_mean")}
        hover = [
            [
                f"true {plain(true)}<br>predicted {plain(guess)}<br>{100 * share:.1f} %{spread}, {count:.1f} images, "
                f"mean of {seeds}"
                # Of a hundred classes nearly all cells hold nothing, and their words would be megabytes.
                if share > 0 or size**2 <= CELLS_WITH_TEXT
                else ""
                for guess, share, spread, count in zip(
                    sweep.classes,
                    square["share_mean"][row],
                    [f" (SD {100 * sd:.1f})" if is_known(sd) else "" for sd in square["share_sd"][row]],
                    square["count_mean"][row],
                    strict=True,
                )
            ]
            for row, true in enumerate(sweep.classes)
        ]
        figure = heat_map(100 * square["share_mean"], "%{z:.0f}", hover, sweep.classes, sweep.classes)
        if size**2 <= CELLS_WITH_TEXT:
            # What the page writes into the cells in the shares' stead, on request.
            figure.data[0].text = [[words.number(images, 1) for images in row] for row in square["count_mean"]]
            figure.data[0].meta = {"value": "percent of the true class", "text": "images, mean over seeds"}
        figure.update_layout(xaxis_title_text="predicted", yaxis_title_text="true")
        right = float(np.nanmean(np.diag(square["share_mean"])))
        drawings.append(
            Drawing(
                key=f"figure-confusion-{number}",
                title=f"{model}/{strategy}",
                description=f"On average {100 * right:.1f} percent of a class is recognised.",
                figure=figure,
                height=340,
                model=str(model),
                strategy=str(strategy),
                rows=places(sweep.classes),
                columns=places(sweep.classes),
            )
        )
    return drawings


def class_f1(sweep: Sweep, per_class: Table) -> Drawing:
    """Return a heat map of mean F1, a row a configuration and a column a class."""
    names = list(dict.fromkeys(zip(per_class["model"], per_class["strategy"], strict=True)))
    shape = (len(names), len(sweep.classes))
    mean, low, high = (per_class[f"f1_{part}"].to_numpy().reshape(shape) for part in ("mean", "ci_low", "ci_high"))
    seeds = per_class["n_seeds"].to_numpy().reshape(shape)
    hover = [
        [
            f"{plain(model)}/{plain(strategy)}, {words.count(int(seeds[row, column]), 'seed')}<br>"
            f"{plain(name)}: F1 {mean[row, column]:.3f}"
            + (
                f" (seed interval {low[row, column]:.3f} to {high[row, column]:.3f})"
                if is_known(low[row, column])
                else ""
            )
            for column, name in enumerate(sweep.classes)
        ]
        for row, (model, strategy) in enumerate(names)
    ]
    labels = [f"{model}/{strategy}" for model, strategy in names]
    figure = heat_map(100 * mean, "%{z:.0f}", hover, sweep.classes, labels)
    by_class = mean.mean(axis=0)
    return Drawing(
        key="figure-class-f1",
        title="F1 by class (%), mean over seeds",
        description=f"Highest on average for {sweep.classes[int(by_class.argmax())]}, lowest for "
        f"{sweep.classes[int(by_class.argmin())]}.",
        figure=figure,
        height=120 + 26 * len(names),
        rows=configurations(names),
        columns=places(sweep.classes),
    )


def views(table: Table) -> Drawing:
    """Return a heat map of the accuracy that other views of the test images cost, in points, with intervals on hover.

    Its colours run from no loss to the greatest, or to `DARKEST_FROM` where all are small.
    """
    names = list(dict.fromkeys(names_of(table)))
    kinds = list(dict.fromkeys(table["view"]))
    rows = {(name, row["view"]): row for name, row in zip(names_of(table), table.to_dict("records"), strict=True)}
    cells = [[rows.get((name, kind), {}) for kind in kinds] for name in names]
    lost = [[100 * row.get("loss_of_accuracy", math.nan) for row in line] for line in cells]
    hover = [[_view_words(row) for row in line] for line in cells]
    figure = heat_map(lost, "%{text}", hover, [VIEWS.get(kind, kind) for kind in kinds], names)
    figure.update_traces(text=[[words.number(value, 1) for value in line] for line in lost])
    least, most = np.nanmin(lost), float(np.nanmax(lost))
    figure.update_layout(coloraxis={"cmax": max(DARKEST_FROM, most)}, xaxis={"tickangle": 0})
    return Drawing(
        key="figure-views",
        title="Points of accuracy lost under other views, mean over seeds",
        description=f"{words.span(least, most)} points; the table beneath holds every interval.",
        figure=figure,
        height=70 + 26 * len(names),
        rows=configurations(list(dict.fromkeys(zip(table["model"], table["strategy"], strict=True)))),
        columns=places([VIEWS.get(kind, kind) for kind in kinds]),
    )


def _view_words(row: Mapping[Any, Any]) -> str:
    if not row:
        return "not met"
    lines = [
        plain(name_of(row)),
        f"{plain(VIEWS.get(row['view'], row['view']))}: accuracy {100 * row['accuracy_mean']:.1f} %",
        f"{words.number(100 * row['loss_of_accuracy'], 1)} points lost, {words.count(row['n_seeds'], 'seed')}",
    ]
    for name, prefix in (("seed interval", "loss_of_accuracy_ci"), ("total interval", "loss_of_accuracy_total_ci")):
        if interval := words.span(row[f"{prefix}_low"], row[f"{prefix}_high"], 100):
            lines.append(f"{name} {interval} points")
    return "<br>".join(lines)


def gains(sweep: Sweep, table: Table) -> Drawing:
    """Return every configuration's gain in test accuracy over its model's linear probe, from the table of gains."""
    rows = table[table["metric"] == "accuracy"].to_dict("records")
    known = [100 * row["gain"] for row in rows if is_known(row["gain"])]
    height = 110 + 30 * len(rows)
    return Drawing(
        key="figure-gains",
        title="Gain in test accuracy over the same model's linear probe",
        description=(f"From {min(known):.1f} to {max(known):.1f} points. " if known else "")
        + "The table beneath holds every number.",
        figure=_gain_bars(sweep, rows, [name_of(row) for row in rows], height, _ends(rows)),
        height=height,
        rows=configurations([(row["model"], row["strategy"]) for row in rows]),
    )


def class_gains(sweep: Sweep, table: Table) -> list[Drawing]:
    """Return the gain in F1 by class, one drawing a model; `table` has the rows of one strategy a model."""
    drawings = []
    axis = _ends(table.to_dict("records"))
    for number, ((model, strategy), block) in enumerate(table.groupby(["model", "strategy"], sort=False)):
        rows = block.to_dict("records")
        most = max((row for row in rows if is_known(row["gain"])), key=lambda row: row["gain"], default=None)
        height = 110 + 30 * len(rows)
        drawings.append(
            Drawing(
                key=f"figure-class-gains-{number}",
                title=f"{model}/{strategy}: gain in F1 by class",
                description="" if most is None else f"Most for {most['class']}: {100 * most['gain']:.1f} points.",
                figure=_gain_bars(sweep, rows, [row["class"] for row in rows], height, axis),
                height=height,
                model=str(model),
                strategy=str(strategy),
                rows=places([row["class"] for row in rows]),
            )
        )
    return drawings


def costs(sweep: Sweep) -> list[Drawing]:
    """Return throughput, time and trainable share, a bar a configuration and a mark a seed."""
    drawings = []
    done = [each for each in sweep.configurations if each.records]
    epochs = sweep.history.groupby("trial_id")[["seconds", "images_per_second"]]
    name = "eval_images_per_second"
    met = {r.trial_id: speed for r in sweep.completed if (speed := r.efficiency.get(name)) is not None}
    share = {record.trial_id: record.percent_trainable for record in sweep.completed}
    for key, title, values in (
        ("throughput", "training images per second", epochs.mean()["images_per_second"]),
        ("inference", "inference images per second", pd.Series(met, dtype="float64")),
        ("seconds", "training seconds per epoch", epochs.mean()["seconds"]),
        ("total", "training seconds of one trial", epochs.sum()["seconds"]),
        ("trainable", "trainable parameters in the last epoch (%)", pd.Series(share, dtype="float64")),
    ):
        seeds = [[(r, float(values[r.trial_id])) for r in each.records if r.trial_id in values] for each in done]
        height = 90 + 22 * len(done)
        drawings.append(
            Drawing(
                key=f"figure-cost-{key}",
                title=title.capitalize(),
                description=f"{measured_on(sweep)} The table beneath holds every number.",
                figure=_bars([each.name for each in done], seeds, title, height),
                height=height,
                rows=configurations([(each.model, each.strategy) for each in done]),
            )
        )
    return drawings


def measured_on(sweep: Sweep) -> str:
    """Say on which hardware the completed trials ran, and how many had company on their device; nothing of none."""
    done = [record for each in sweep.configurations for record in each.records]
    if not done:
        return ""
    used = {str(r.environment.get("device_name") or r.environment.get("device") or "unknown hardware") for r in done}
    shared = sum(bool(record.efficiency.get("shared_device")) for record in done)
    alone = "each alone on its device" if not shared else f"{shared} of them on a device that others used too"
    return f"Measured on {listed(sorted(used))} in {count(len(done), 'trial')}, {alone}."


def _baseline(name: str, percent: float, dash: str, n_rows: int) -> go.Scatter:
    return go.Scatter(
        x=[percent, percent],
        y=[-0.6, n_rows - 0.4],
        mode="lines",
        line={"color": GREY, "dash": dash, "width": 1.5},
        name=f"{name}, {percent:.1f} %",
        hoverinfo="name",
    )


def _result_traces(
    sweep: Sweep, strategy: str, group: Sequence[tuple[int, Any]], style: dict[str, Any], metric: Metric
) -> list[Any]:
    """Return the seeds' marks, the total intervals and the means with their seed intervals, the last on top."""
    places, rows = [place for place, _ in group], [row for _, row in group]
    # Ids are long, and the same whatever the metric: ten thousand trials would say them four times.
    told = metric.name == "accuracy" or len(sweep.completed) <= MOST_TOLD
    found = {each.name: each for each in sweep.configurations}
    here = [found[name_of(row)] for row in rows]
    seeds = [
        (place, each, seed, metric.scale * float(test[metric.name]))
        for place, each in zip(places, here, strict=True)
        for seed, test in zip(each.seeds, each.tests, strict=True)
    ]
    common = {"mode": "markers", "legendgroup": plain(strategy), "name": short(strategy), "hoverinfo": "text"}
    mean, low, high, seed_high = (
        [metric.scale * row[f"{metric.name}_{end}"] for row in rows]
        for end in ("mean", "total_ci_low", "total_ci_high", "ci_high")
    )
    return [
        go.Scatter(
            x=[value for *_, value in seeds],
            y=[place + 0.3 for place, *_ in seeds],
            marker=style | {"size": 6, "symbol": f"{style['symbol']}-open"},
            hovertext=[
                f"{plain(each.name)}<br>seed {seed}: {value:.{metric.digits}f}{metric.unit}"
                + (f"<br>trial {' '.join(record.trial_id for record in each.of_seeds[seed])}" if told else "")
                for _, each, seed, value in seeds
            ],
            meta={"what": "seed"},
            showlegend=False,
            **common,
        ),
        go.Scatter(
            x=mean,
            y=places,
            error_x=whisker(_less(high, mean), 1.5, _less(mean, low)),
            marker=style | {"size": 1},
            meta={"what": "total interval"},
            showlegend=False,
            **common,
        ),
        go.Scatter(
            x=mean,
            y=places,
            error_x=whisker(_less(seed_high, mean), 5),
            marker=style | {"size": 11},
            hovertext=[_result_words(row, metric) for row in rows],
            meta={"what": "mean and seed interval"},
            **common,
        ),
    ]


def _less(these: Sequence[float], those: Sequence[float]) -> list[float]:
    return [one - other for one, other in zip(these, those, strict=True)]


def _result_words(row: Mapping[Any, Any], metric: Metric) -> str:
    lines = [
        plain(name_of(row)),
        f"{words.number(metric.scale * row[f'{metric.name}_mean'], metric.digits)}{metric.unit}, "
        f"{row['n_seeds']} of {row['n_planned']} seeds",
    ]
    for name, prefix in (("seed interval", f"{metric.name}_ci"), ("total interval", f"{metric.name}_total_ci")):
        if interval := words.span(row[f"{prefix}_low"], row[f"{prefix}_high"], metric.scale, metric.digits):
            lines.append(f"{name} {interval}{metric.unit}")
    return "<br>".join(lines)


def _bars(
    names: Sequence[str], seeds: Sequence[Sequence[tuple[TrialRecord, float]]], title: str, height: int
) -> go.Figure:
    """Return a bar a name with the mean of its trials, and a mark a trial."""
    means = [float(np.mean([value for _, value in trials])) if trials else None for trials in seeds]
    dots = [(value, place, record) for place, trials in enumerate(seeds) for record, value in trials]
    bars = go.Bar(
        x=means,
        y=list(range(len(names))),
        orientation="h",
        marker={"color": faint(COLOURS[0]), "line": {"color": COLOURS[0], "width": 1}},
        hovertext=[
            f"{plain(name)}<br>{title}: {mean:.4g}, mean of {count(len(trials), 'trial')}"
            if mean is not None
            else plain(name)
            for name, mean, trials in zip(names, means, seeds, strict=True)
        ],
        hoverinfo="text",
        meta={"what": "mean", "x": title},
    )
    marks = go.Scatter(
        x=[value for value, _, _ in dots],
        y=[place for _, place, _ in dots],
        mode="markers",
        marker={"color": COLOURS[0], "size": 5},
        text=[f"seed {r.seed}, trial {r.trial_id}" if len(dots) <= MOST_TOLD else f"seed {r.seed}" for *_, r in dots],
        hovertemplate="%{text}: %{x:.4g}<extra></extra>",
        meta={"what": "trial"},
    )
    layout = rows_axis(names) | {"height": height, "showlegend": False, "bargap": 0.35}
    return go.Figure([bars, marks], layout | {"xaxis": {"rangemode": "tozero"}})


def _gain_bars(sweep: Sweep, rows: Rows, names: Sequence[str], height: int, axis: Sequence[float]) -> go.Figure:
    """Return a bar with its total interval a row of the table of gains, and a hollow mark where the study has one."""
    strategies = list(dict.fromkeys(each.strategy for each in sweep.configurations))
    places = [place for place, row in enumerate(rows) if is_known(row["gain"])]
    means = [100 * rows[place]["gain"] for place in places]
    low, high = ([100 * rows[place][f"total_ci_{end}"] for place in places] for end in ("low", "high"))
    colours = [COLOURS[strategies.index(rows[place]["strategy"]) % len(COLOURS)] for place in places]
    bars = go.Bar(
        x=means,
        y=places,
        orientation="h",
        marker={"color": [faint(colour) for colour in colours], "line": {"color": colours, "width": 1}},
        error_x=whisker(
            [end - mean for end, mean in zip(high, means, strict=True)],
            1.5,
            [mean - end for end, mean in zip(low, means, strict=True)],
        )
        | {"color": GREY},
        hovertext=[_gain_words(rows[place], names[place]) for place in places],
        hoverinfo="text",
        showlegend=False,
    )
    layout = rows_axis(names) | {"height": height, "bargap": 0.35}
    layout["xaxis"] = {"title": {"text": "points"}, "range": axis}
    return go.Figure([bars, *_study_marks(rows)], layout)


def _study_marks(rows: Rows) -> list[go.Scatter]:
    theirs = [place for place, row in enumerate(rows) if is_known(row["study_gain"])]
    marks = go.Scatter(
        x=[100 * rows[place]["study_gain"] for place in theirs],
        y=theirs,
        mode="markers",
        name="the study, one run each",
        marker={"symbol": "diamond-open", "size": 10, "color": GREY, "line": {"width": 2}},
        hovertext=[f"the study: {100 * rows[place]['study_gain']:.1f} points" for place in theirs],
        hoverinfo="text",
        showlegend=True,
    )
    return [marks] if theirs else []


def _gain_words(row: Mapping[Any, Any], name: str) -> str:
    interval = words.span(row["total_ci_low"], row["total_ci_high"], 100)
    gain = f"{words.number(100 * row['gain'], 1)} points, {count(row['n_seeds'], 'seed')}"
    return f"{plain(name)}<br>{gain}{f'<br>total interval {interval}' if interval else ''}"


def _ends(rows: Rows) -> list[float]:
    """Return the range of an axis that holds zero and all that a table of gains knows, in points.

    No gain is beyond 100; few seeds give intervals that are, and would press the bars together.
    """
    names = ("gain", "total_ci_low", "total_ci_high", "study_gain")
    numbers = [0.0, *(100 * row[name] for row in rows for name in names if is_known(row[name]))]
    return [max(-100, min(numbers)) - 2, min(100, max(numbers)) + 2]


def _completed(summary: Table) -> list[tuple[int, Any]]:
    """Return the summary's rows that have a completed seed, numbered from 0."""
    return list(enumerate(summary[summary["n_seeds"] > 0].to_dict("records")))


def _by_strategy(rows: Sequence[tuple[int, Any]]) -> Iterator[tuple[str, list[tuple[int, Any]]]]:
    for strategy in dict.fromkeys(row["strategy"] for _, row in rows):
        yield strategy, [(place, row) for place, row in rows if row["strategy"] == strategy]
