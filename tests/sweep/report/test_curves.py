"""Training curves: means, bands and the moments at which other parameters begin to train."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from sweep.frames import Sweep, read_sweep
from sweep.report.curves import training_curves
from sweep.report.drawing import Drawing
from tests.sweep.records import Plan, plant


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Sweep:
    plan = Plan(missing=[("vit_s_16", "full", 2), ("vit_s_16", "full", 1)], classes=("a", "b", "c"))
    return read_sweep(plant(tmp_path_factory.mktemp("sweep"), plan))


def test_curves_are_means_over_seeds(sweep):
    drawing = next(each for each in training_curves(sweep) if each.key == "figure-curve-0-validation-loss")
    line = next(trace for trace in drawing.figure.data if trace.mode == "lines+markers" and trace.name == "full")
    records = [r for r in sweep.completed if (r.model, r.strategy) == ("resnet18", "full")]
    expected = np.mean([[epoch["validation_loss"] for epoch in record.history] for record in records], axis=0)
    assert list(line.y) == pytest.approx(expected)


def test_the_axis_of_curves_holds_every_seed_and_not_the_band_of_the_last_two(sweep):
    records = []
    for record in sweep.records:
        history = record.history[:3] if record.seed > 2 else record.history
        last = [history[-1] | {"validation_loss": {1: 0.5, 2: 2.5}.get(record.seed, 1.0)}]
        records.append(replace(record, history=[*history[:-1], *last], epochs_run=len(history)))
    drawing = training_curves(replace(sweep, records=tuple(records)))[1]
    band = max(y for trace in drawing.figure.data if trace.fill == "toself" for y in trace.y)
    low, high = drawing.figure.layout.yaxis.range
    values = [epoch["validation_loss"] for r in records if r.model == "resnet18" for epoch in r.history]
    assert low < min(values) < max(values) < high < band
    assert (low, high) == pytest.approx((min(values), max(values)), abs=0.06 * (max(values) - min(values)))


def test_a_single_seeds_curve_has_no_band(sweep):
    drawing = next(each for each in training_curves(sweep) if each.key == "figure-curve-1-validation-loss")
    bands = {trace.name: len(trace.x) for trace in drawing.figure.data if trace.fill == "toself"}
    assert bands == {"linear_probe": 6, "full": 0}


@pytest.mark.parametrize("metric", ["validation-accuracy", "validation-loss", "train-loss"])
def test_every_model_has_its_curves(sweep, metric):
    names = {f"figure-curve-{number}-{metric}" for number in range(2)}
    assert names <= {each.key for each in training_curves(sweep)}


def changes(drawing: Drawing) -> list[go.Scatter]:
    return [trace for trace in drawing.figure.data if trace.yaxis == "y2"]


def test_a_line_stands_where_another_block_trains(sweep):
    shares = (0.1, 0.1, 63.8)
    records = [
        replace(
            r, history=[epoch | {"percent_trainable": share} for epoch, share in zip(r.history, shares, strict=True)]
        )
        if r.status == "completed" and r.strategy == "full"
        else r
        for r in sweep.records
    ]
    for drawing in training_curves(replace(sweep, records=tuple(records))):
        (line,) = changes(drawing)
        assert set(line.x) == {3, None}
        assert line.hovertext[0] == "full<br>from epoch 3 on 63.8 % of the parameters train"
        assert "full trains other parameters from epoch 3 on." in drawing.description


def test_no_line_stands_where_the_same_parameters_train(sweep):
    assert not any(changes(drawing) for drawing in training_curves(sweep))
