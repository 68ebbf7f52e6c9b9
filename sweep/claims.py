"""The study's claims on a sweep's data: C1 to C20, each with an estimate, an interval and a verdict.

    supported            the interval lies inside what is claimed
    contradicted         it lies wholly outside
    undecided            neither, or there is too little to tell
    not testable here    a class, a configuration or what it takes of a trial is missing

A claim of several parts needs all of them. What the study says of one number's direction is tested as a direction;
only C4, C5, C14 and C16 are claims of a size.

How often all of this errs. The claims that rest on intervals are one family, wrong anywhere with at most 5 %: each
that can be tested here has an equal share of it, a claim with parts in several metrics divides its share among them,
and a metric's shares are spent together (Bonferroni's bound over metrics). Contrasts of one metric are then judged
simultaneously by that metric's variances, fitted on all configurations of the sweep: for accuracy, one set for C2 to
C6, C14 and C15. Outside the family stand C1, whose ratio has its own 95 % interval, and C7, C8, C13 and C18, which go
by their chance over the two-way bootstrap. With a single seed there are intervals of the test images alone, and
nothing is decided.

A "best strategy" is picked on validation and judged on test. A zero-width interval decides nothing: where no image
and no seed ever differs, too little was seen.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from animefer_core.config import STUDY_MODELS
from animefer_core.record import TrialRecord
from sweep.evidence import (
    ACCURACY,
    ANGRY,
    CALIBRATION,
    EMBARRASSED,
    FT,
    GRID,
    HAPPY,
    LOSS,
    LP,
    NEEDS,
    PG,
    PSYCHO,
    PT,
    RESNET18,
    RESNET50,
    SCARED,
    SETTLED,
    STRATEGIES,
    VIT_B,
    VIT_S,
    Evidence,
    Metric,
    Pair,
    plain,
    rate,
    validation_correct,
    validation_rows,
)
from sweep.frames import Sweep, Units
from sweep.matrices import Matrices
from sweep.published import numbers_of_claims
from sweep.statistics import best_of, count_units, seed_interval
from sweep.statistics.comparisons import FEWEST_FOR_POSTERIOR
from sweep.statistics.intervals import SMALLEST_CALIBRATION_SET
from sweep.verdicts import (
    CONTRADICTED,
    DRAWS,
    SUPPORTED,
    SURE,
    UNDECIDED,
    Bounds,
    Floats,
    Region,
    all_of,
    chance,
    chance_verdict,
    difference_values,
    log_ratio,
    mean_bounds,
    rank_correlation,
    share_values,
    spreads,
    sure_of_one,
    swap_verdict,
    swaps,
)

HEADING = "The study's claims on these data"
CAUTION = "What other data show neither confirms nor refutes the study itself."
NOT_TESTABLE = "not testable here"
NOT_ESTIMATED = Bounds(estimate=math.nan)
COLUMNS = [
    *("claim", "statement", "estimate", "unit", "low", "high", "interval", "verdict", "reason"),
    *("study_value", "study_note"),
]

LEVEL = 0.95
NOTHING = 2.0
"""Points within which the study's "brings nothing" (C5) and "settled" (C20) are taken to hold."""


ABOVE, BELOW = Region(low=0.0), Region(high=0.0)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A contrast of configurations, and where a claim says that it lies."""

    name: str
    region: Region
    metric: Metric
    weights: Floats
    """(configurations,), adding up to 0."""


@dataclass(frozen=True, kw_only=True)
class Single:
    """Another number, and where a claim says that it lies."""

    name: str
    region: Region
    bounds: Callable[[float], Bounds]
    """Level -> the number with its interval."""
    sources: str
    """What varies, in words."""


Part = Difference | Single


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What became of a claim."""

    verdict: str
    reason: str
    bounds: Bounds = NOT_ESTIMATED
    interval: str = ""


def _lead(e: Evidence, a: Pair, b: Pair, region: Region = ABOVE, metric: Metric = ACCURACY) -> Difference:
    name = f"{a[0]} {a[1]} − {b[1]}" if a[0] == b[0] else f"{'/'.join(a)} − {'/'.join(b)}"
    name = name if metric is ACCURACY else f"{name}, {metric.name}"
    return Difference(name=name, region=region, metric=metric, weights=e.at(*a) - e.at(*b))


def _vit_gains_against_cnn_gains(e: Evidence) -> list[Part]:
    weights = (e.gain(VIT_B) + e.gain(VIT_S) - e.gain(RESNET18) - e.gain(RESNET50)) / 2
    picked = ", ".join(f"{model} {e.best(model)}" for model in STUDY_MODELS)
    name = f"gain of the ViTs − gain of the CNNs (best on validation: {picked})"
    return [Difference(name=name, region=ABOVE, metric=ACCURACY, weights=weights)]


def _vit_b_progressive_against_all(e: Evidence) -> list[Part]:
    best, runner_up = (VIT_B, PG), (VIT_S, FT)
    others = [runner_up, *(each for each in GRID if each not in (best, runner_up))]
    return [_lead(e, best, other) for other in others]


def _linear_probes_alike(e: Evidence) -> list[Part]:
    within = Region(low=-3.3, high=3.3)
    return [
        _lead(e, (a, LP), (b, LP), within) for place, a in enumerate(STUDY_MODELS) for b in STUDY_MODELS[place + 1 :]
    ]


def _partial_is_enough(e: Evidence) -> list[Part]:
    within = Region(low=-NOTHING, high=NOTHING, refuted_below=0.0)
    return [_lead(e, (model, PT), (model, other), within) for model in (RESNET18, RESNET50) for other in (FT, PG)]


def _peaks_of_the_vits(e: Evidence) -> list[Part]:
    peaks = ((VIT_B, PG), (VIT_S, FT))
    return [_lead(e, (model, peak), (model, other)) for model, peak in peaks for other in STRATEGIES if other != peak]


def _embarrassed_and_happy(e: Evidence) -> list[Part]:
    """Of the linear probes, pooled."""
    there, back = rate(EMBARRASSED, HAPPY), rate(HAPPY, EMBARRASSED)
    probes = e.rows((model, LP) for model in STUDY_MODELS)
    one, other = (e.values(metric)[probes].mean(axis=0) for metric in (there, back))
    units = e.matrices.units.of(np.concatenate([e.images(metric) for metric in (there, back)]))
    values = 100 * difference_values(one, other)
    name = f"{there.name} less {back.name}, over the four linear probes"
    return [_of_images(name, ABOVE, values, units, "seeds and test images")]


def _of_images(name: str, region: Region, values: Floats, units: Units, sources: str) -> Single:
    return Single(name=name, region=region, sources=sources, bounds=lambda level: mean_bounds(values, level, *units))


def _progressive_trades_errors(e: Evidence) -> list[Part]:
    one, other = (VIT_B, PG), (VIT_B, LP)
    return [
        _lead(e, one, other, BELOW, rate(EMBARRASSED, HAPPY)),
        _lead(e, one, other, ABOVE, rate(HAPPY, EMBARRASSED)),
    ]


def _angry_falls(e: Evidence) -> list[Part]:
    one, other = (VIT_B, PG), (VIT_B, FT)
    return [_lead(e, one, other, BELOW, rate(ANGRY, ANGRY)), _lead(e, one, other, ABOVE, rate(ANGRY, SCARED))]


def _price_of_progressive(e: Evidence) -> list[Part]:
    return [_lead(e, (VIT_B, PG), (VIT_B, FT), ABOVE, metric) for metric in (LOSS, CALIBRATION)]


def _gains_of_every_model(e: Evidence) -> list[Part]:
    return [_lead(e, (model, e.best(model)), (model, LP), Region(low=12.0)) for model in STUDY_MODELS]


def _vit_s_progressive_low(e: Evidence) -> list[Part]:
    return [_lead(e, (VIT_S, PG), (VIT_S, other), BELOW) for other in (FT, PT)]


def _test_above_validation(e: Evidence) -> list[Part]:
    """Over all sixteen, on common seeds; images of both parts vary."""
    records = [e.records(*pair) for pair in GRID]
    validation = np.mean([[validation_correct(record) for (record,) in row] for row in records], axis=0)
    values = 100 * difference_values(e.correct[e.rows(GRID)].mean(axis=0), validation)
    groups = None
    if e.sweep.groups is not None:
        groups = e.sweep.groups[np.concatenate([e.matrices.outcomes[0].images, validation_rows(records[0][0][0])])]
    name = "test − validation accuracy"
    return [_of_images(name, Region(low=4.2), values, Units(groups, None), "seeds, test images and validation images")]


def _vit_b_lowest_loss(e: Evidence) -> list[Part]:
    others = [model for model in STUDY_MODELS if model != VIT_B]
    return [_lead(e, (VIT_B, each), (other, each), BELOW, LOSS) for each in STRATEGIES for other in others]


def _where_angry_goes(e: Evidence) -> list[Part]:
    """Over all sixteen: the share of Angry's errors, against an even spread over the other classes."""
    metric = rate(ANGRY, ANGRY)
    guesses = e.predicted[e.rows(GRID)][..., e.images(metric)]
    wrong = guesses != e.class_number(ANGRY)
    two = np.isin(guesses, [e.class_number(SCARED), e.class_number(PSYCHO)])
    even = Region(low=2 / (len(e.sweep.classes) - 1))
    name = f"share of Angry's errors taken for Scared or Psycho-Crazy (an even spread: {even.low:.2f})"
    if not wrong.any():
        return [Single(name=name, region=even, sources="no errors", bounds=lambda level: NOT_ESTIMATED)]
    values = share_values(*(each.mean(axis=0) for each in (two, wrong)))
    return [_of_images(name, even, values, e.units(metric), "seeds and test images")]


def _probes_settled(e: Evidence) -> list[Part]:
    """Validation accuracy at epoch 12 less the last; a probe that stopped before has settled before."""
    rows = [e.over_folds(model, LP, _left_to_gain) for model in STUDY_MODELS]
    values = 100 * np.mean(rows, axis=0)
    name = f"validation accuracy at epoch {SETTLED} − at the last, over the four linear probes"
    sources = "Student's t over seeds, on these validation images"
    region = Region(low=-NOTHING, high=NOTHING)
    return [Single(name=name, region=region, sources=sources, bounds=lambda level: _over_seeds(values, level))]


def _left_to_gain(record: TrialRecord) -> float:
    curve = [float(epoch["validation_accuracy"]) for epoch in record.history]
    return curve[min(SETTLED, len(curve)) - 1] - curve[-1]


def _over_seeds(values: Floats, level: float) -> Bounds:
    found = seed_interval(values, level)
    # No spread at all is taken for one that was not seen, save where every probe had stopped by then.
    if found is None or (found.sd == 0 and found.mean != 0):
        return Bounds(estimate=float(values.mean()))
    return Bounds(estimate=found.mean, low=found.low, high=found.high)


def _strategy_against_architecture(e: Evidence) -> Finding:
    y = e.correct[e.rows(GRID)].reshape(len(STUDY_MODELS), len(STRATEGIES), e.matrices.n_seeds, -1)
    found = log_ratio(y, LEVEL, e.matrices.units.groups)
    parts = spreads(y, e.matrices.units.groups)
    by_model, by_strategy = (100 * np.ptp(y.mean(axis=axes)) for axes in ((1, 2, 3), (0, 2, 3)))
    reason = f"strategy means span {by_strategy:.1f} points, architecture means {by_model:.1f}"
    reason += ", with {1:.0%} and {0:.0%} of the variance between means".format(*parts.shares)
    if math.isnan(found.low):
        reason += "; three seeds and some spread are needed for an interval"
    words = f"{LEVEL:.0%}, by itself: jackknife t over seeds and blocks of test images; noise taken off both spreads"
    return Finding(verdict=ABOVE.verdict(found), reason=reason, bounds=found, interval=words)


BOOTSTRAP = f"{DRAWS:,} draws of the two-way bootstrap (seeds and test images), outside the family"
BY_CHANCE = (
    f"no interval: share of {BOOTSTRAP}; supported where all parts hold in {SURE:g} of them, contradicted where one "
    f"fails in all but {1 - SURE:.2g}, shared by the parts"
)


def _chance(holds: npt.NDArray[np.bool_], fails: npt.NDArray[np.bool_], names: Sequence[str]) -> Finding:
    """Return the finding of a claim whose parts hold or fail in draws, (draws, parts); names are of the failures."""
    worst = int(fails.mean(axis=0).argmax())
    return Finding(
        verdict=chance_verdict(holds, fails),
        reason=f"{names[worst]} in {fails[:, worst].mean():.1%} of the draws, the likeliest of {len(names)} "
        f"objections; {sure_of_one(len(names)):.2%} decide",
        bounds=Bounds(estimate=chance(holds)),
        interval=BY_CHANCE,
    )


def _ranking_changes(e: Evidence) -> Finding:
    probes = e.rows((model, LP) for model in STUDY_MODELS)
    tuned = e.rows((model, e.best(model)) for model in STUDY_MODELS)
    drawn = e.resampled.means(e.correct[probes + tuned])
    one, other = np.split(drawn, 2, axis=1)
    same, swapped = swaps(one, other)
    means = e.correct[probes + tuned].mean(axis=(1, 2)).reshape(2, 1, -1)
    correlations = rank_correlation(one, other)
    kept = correlations[np.isfinite(correlations)]
    low, high = np.quantile(kept, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if kept.size else (math.nan, math.nan)
    pairs = [f"{a} and {b}" for place, a in enumerate(STUDY_MODELS) for b in STUDY_MODELS[place + 1 :]]
    most = int(swapped.mean(axis=0).argmax())
    return Finding(
        verdict=swap_verdict(same, swapped),
        reason=f"{pairs[most]} swap places in {swapped[:, most].mean():.1%} of the draws, "
        f"the whole order is the same in {chance(same):.1%}",
        bounds=Bounds(estimate=float(rank_correlation(*means)[0]), low=float(low), high=float(high)),
        interval=f"{LEVEL:.0%} percentiles of {BOOTSTRAP}; the verdict goes by the draws: one pair swaps in all but "
        f"{1 - SURE:.2g} of them, shared by the pairs, or all keep their order in {SURE:g}",
    )


def _psycho_crazy_first(e: Evidence) -> Finding:
    rows, own = e.rows(GRID), e.class_number(PSYCHO)
    others = [int(each) for each in np.unique(e.labels) if each != own]
    predicted = e.predicted[rows]
    best = e.resampled.f1(predicted, e.labels, own)
    rivals = [e.resampled.f1(predicted, e.labels, each) for each in others]
    names = [f"{e.sweep.classes[each]} has the higher F1 under {'/'.join(pair)}" for each in others for pair in GRID]
    if not others:
        return Finding(verdict=UNDECIDED, reason="no other class has a test image")
    ahead = np.concatenate([best - rival for rival in rivals], axis=1)
    return _chance(ahead > 0, ahead < 0, names)


def _resnet18_partial_on_the_front(e: Evidence) -> Finding:
    """On the Pareto front: no configuration is as accurate in less time, or more accurate in no more."""
    rows = e.rows(GRID)
    accuracy = e.resampled.means(e.correct[rows])
    seconds = e.resampled.over_seeds(np.array([e.over_folds(*pair, _seconds_per_epoch) for pair in GRID])[None])
    own = GRID.index((RESNET18, PT))
    more, faster = accuracy - accuracy[:, [own]], seconds[:, [own]] - seconds
    dominates = (more >= 0) & (faster >= 0) & ((more > 0) | (faster > 0))
    rivals = [place for place in range(len(GRID)) if place != own]
    names = [f"{'/'.join(GRID[place])} is as accurate and as fast, or better," for place in rivals]
    return _chance(~dominates[:, rivals], dominates[:, rivals], names)


def _seconds_per_epoch(record: TrialRecord) -> float:
    return float(np.mean([epoch["seconds"] for epoch in record.history]))


def _psycho_crazy_recall_rises(e: Evidence) -> Finding:
    own = e.class_number(PSYCHO)
    rows = e.rows((VIT_B, strategy) for strategy in (LP, FT, PG))
    recall = e.resampled.means(e.correct[rows], e.labels == own)
    steps = np.diff(recall, axis=1)
    means = ", ".join(f"{each:.3f}" for each in e.correct[rows][..., e.labels == own].mean(axis=(1, 2)))
    found = _chance(steps > 0, steps < 0, ["linear_probe is above full", "full is above progressive"])
    return Finding(**vars(found) | {"reason": f"recalls {means}; {found.reason}"})


def _set_of_the_best(e: Evidence) -> str:
    if e.few_seeds:
        return ""
    stays = best_of(e.model(ACCURACY), len(e.matrices.configurations), LEVEL)
    names = [name for name, may in zip(e.matrices.names, stays, strict=True) if may]
    return f"the best of all at {LEVEL:.0%} may be {_few(names)}"


def _chances_of_peaks(e: Evidence) -> str:
    if e.few_seeds:
        return ""
    words = []
    for model, peak in ((VIT_B, PG), (VIT_S, FT)):
        drawn = e.resampled.means(e.correct[e.rows((model, strategy) for strategy in STRATEGIES)])
        share = float((drawn.argmax(axis=1) == STRATEGIES.index(peak)).mean())
        words.append(f"{model} {peak} is the best in {share:.0%} of the bootstrap's draws")
    return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the study and how it is judged: by `parts` as one of the family, or by `finding` on its own."""

    number: int
    statement: str
    unit: str
    configurations: Sequence[Pair]
    parts: Callable[[Evidence], list[Part]] | None = None
    finding: Callable[[Evidence], Finding] | None = None
    metrics: Sequence[Metric] = (ACCURACY,)
    """Those whose images must be enough."""
    classes: Sequence[str] = ()
    needs: Sequence[str] = ()
    """What else a trial must tell, of `NEEDS`."""
    first: bool = False
    """Whether the first part's number is shown, and not the one that speaks most against the claim."""
    remark: Callable[[Evidence], str] | None = None

    @property
    def name(self) -> str:
        """C1 to C20."""
        return f"C{self.number}"


def _of(models: Iterable[str], strategies: Iterable[str] = STRATEGIES) -> tuple[Pair, ...]:
    strategies = tuple(strategies)
    return tuple((model, strategy) for model in models for strategy in strategies)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        number=1,
        statement="The strategy matters more for accuracy than the architecture.",
        unit="natural log of the ratio of variances, strategy over architecture",
        configurations=GRID,
        finding=_strategy_against_architecture,
    ),
    Claim(
        number=2,
        statement="Fine-tuning brings the ViTs more over their linear probes than the CNNs.",
        unit="points",
        configurations=GRID,
        parts=_vit_gains_against_cnn_gains,
        needs=("validation",),
    ),
    Claim(
        number=3,
        statement="ViT-B/16 under progressive unfreezing is the best of the 16 configurations, "
        "ahead of ViT-S/16 under full fine-tuning.",
        unit="points",
        configurations=GRID,
        parts=_vit_b_progressive_against_all,
        first=True,
        remark=_set_of_the_best,
    ),
    Claim(
        number=4,
        statement="Under the linear probe, no two of the four models are more than 3.3 points apart.",
        unit="points",
        configurations=_of(STUDY_MODELS, [LP]),
        parts=_linear_probes_alike,
    ),
    Claim(
        number=5,
        statement="Both ResNets are at their best under partial fine-tuning; full and progressive, within 2 points of "
        "it, bring nothing.",
        unit="points",
        configurations=_of([RESNET18, RESNET50], [PT, FT, PG]),
        parts=_partial_is_enough,
    ),
    Claim(
        number=6,
        statement="ViT-B/16 is at its best under progressive unfreezing, ViT-S/16 under full fine-tuning.",
        unit="points",
        configurations=_of([VIT_B, VIT_S]),
        parts=_peaks_of_the_vits,
        remark=_chances_of_peaks,
    ),
    Claim(
        number=7,
        statement="Fine-tuned, the architectures rank otherwise than under the linear probe.",
        unit="rank correlation",
        configurations=GRID,
        finding=_ranking_changes,
        needs=("validation",),
    ),
    Claim(
        number=8,
        statement="Psycho-Crazy has the highest F1 of all classes in every configuration.",
        unit="share of draws",
        configurations=GRID,
        finding=_psycho_crazy_first,
        classes=(PSYCHO,),
    ),
    Claim(
        number=9,
        statement="Linear probes take Embarrassed for Happy more often than Happy for Embarrassed.",
        unit="points",
        configurations=_of(STUDY_MODELS, [LP]),
        parts=_embarrassed_and_happy,
        metrics=(rate(EMBARRASSED, HAPPY), rate(HAPPY, EMBARRASSED)),
        classes=(EMBARRASSED, HAPPY),
    ),
    Claim(
        number=10,
        statement="Against its linear probe, progressive unfreezing of ViT-B/16 takes Embarrassed for Happy less often "
        "and Happy for Embarrassed more often.",
        unit="points",
        configurations=_of([VIT_B], [LP, PG]),
        parts=_progressive_trades_errors,
        metrics=(rate(EMBARRASSED, HAPPY), rate(HAPPY, EMBARRASSED)),
        classes=(EMBARRASSED, HAPPY),
    ),
    Claim(
        number=11,
        statement="ViT-B/16 recalls Angry less often under progressive unfreezing than under full fine-tuning, "
        "and takes it for Scared more often.",
        unit="points",
        configurations=_of([VIT_B], [FT, PG]),
        parts=_angry_falls,
        metrics=(rate(ANGRY, ANGRY),),
        classes=(ANGRY, SCARED),
        first=True,
    ),
    Claim(
        number=12,
        statement="ViT-B/16 is worse calibrated, by loss and by calibration error, under progressive unfreezing "
        "than under full fine-tuning.",
        unit="nats",
        configurations=_of([VIT_B], [FT, PG]),
        parts=_price_of_progressive,
        metrics=(LOSS, CALIBRATION),
        needs=("probabilities",),
        first=True,
    ),
    Claim(
        number=13,
        statement="ResNet-18 under partial fine-tuning is the best trade of accuracy for time: on the Pareto front of "
        "accuracy and seconds per epoch.",
        unit="share of draws",
        configurations=GRID,
        finding=_resnet18_partial_on_the_front,
        needs=("training",),
    ),
    Claim(
        number=14,
        statement="Every model's best strategy is at least 12 points above its linear probe.",
        unit="points",
        configurations=GRID,
        parts=_gains_of_every_model,
        needs=("validation",),
    ),
    Claim(
        number=15,
        statement="ViT-S/16 falls short under progressive unfreezing, below both full and partial fine-tuning.",
        unit="points",
        configurations=_of([VIT_S], [PT, FT, PG]),
        parts=_vit_s_progressive_low,
    ),
    Claim(
        number=16,
        statement="Accuracy on test exceeds that on validation by 4.2 points or more, on average over the trials.",
        unit="points",
        configurations=GRID,
        parts=_test_above_validation,
        needs=("validation",),
    ),
    Claim(
        number=17,
        statement="ViT-B/16 has the lowest test loss of the four models under every strategy.",
        unit="nats",
        configurations=GRID,
        parts=_vit_b_lowest_loss,
        metrics=(LOSS,),
        needs=("probabilities",),
    ),
    Claim(
        number=18,
        statement="ViT-B/16's recall of Psycho-Crazy rises from the linear probe to full to progressive.",
        unit="share of draws",
        configurations=_of([VIT_B], [LP, FT, PG]),
        finding=_psycho_crazy_recall_rises,
        classes=(PSYCHO,),
    ),
    Claim(
        number=19,
        statement="Of the errors on Angry, Scared and Psycho-Crazy have more than an even spread would give them.",
        unit="share",
        configurations=GRID,
        parts=_where_angry_goes,
        metrics=(rate(ANGRY, ANGRY),),
        classes=(ANGRY, SCARED, PSYCHO),
    ),
    Claim(
        number=20,
        statement="Linear probes have settled by epoch 12: validation accuracy is then within 2 points of the last.",
        unit="points",
        configurations=_of(STUDY_MODELS, [LP]),
        parts=_probes_settled,
        needs=("training", "epochs"),
    ),
)


def claims(sweep: Sweep, matrices: Matrices | None) -> pd.DataFrame:
    """Return the study's 20 claims in order, a row each with its verdict on these data; see the module.

    `matrices` are the sweep's, by `paired`. `estimate`, `low` and `high` are in `unit`; of a claim with several parts
    they are the part's that speaks most against it (of C3, C11 and C12 the one whose number the study gives). Blank
    where there is none.
    """
    evidence = None if matrices is None else Evidence(sweep=sweep, matrices=matrices)
    stops = {claim.name: _stop(claim, sweep, evidence) for claim in CLAIMS}
    open_claims = [claim for claim in CLAIMS if stops[claim.name] is None]
    found: dict[str, Finding] = {name: stop for name, stop in stops.items() if stop is not None}
    if evidence is not None:
        found |= _of_family(evidence, [claim for claim in open_claims if claim.parts is not None])
        found |= {claim.name: claim.finding(evidence) for claim in open_claims if claim.finding is not None}
    published = numbers_of_claims()
    return pd.DataFrame([_row(claim, found[claim.name]) | published[claim.name] for claim in CLAIMS], columns=COLUMNS)


def _row(claim: Claim, finding: Finding) -> dict[str, Any]:
    return {
        "claim": claim.name,
        "statement": claim.statement,
        "estimate": finding.bounds.estimate,
        "unit": claim.unit,
        "low": finding.bounds.low,
        "high": finding.bounds.high,
        "interval": _typeset(finding.interval),
        "verdict": finding.verdict,
        "reason": _typeset(finding.reason),
    }


def _typeset(text: str) -> str:
    """Return a text with true minus signs before numbers, and a space before the sign of percent."""
    return re.sub(r"(?<=\d)%", " %", re.sub(r"(?<!\w)-(?=\d)", "−", text))


def _stop(claim: Claim, sweep: Sweep, evidence: Evidence | None) -> Finding | None:
    """Return why a claim cannot be judged here, or None."""
    there = {(each.model, each.strategy): each for each in sweep.configurations if each.records}
    if absent := [pair for pair in claim.configurations if pair not in there]:
        return Finding(verdict=NOT_TESTABLE, reason=f"no completed trial of {_named(absent)}")
    tested = {plain(str(name)) for name, count in sweep.class_counts["test"].items() if count}
    if unknown := [name for name in claim.classes if plain(name) not in tested]:
        return Finding(verdict=NOT_TESTABLE, reason=f"no test image of the class {_few(unknown)}")
    involved = [there[pair] for pair in claim.configurations]
    for need in claim.needs:
        has, lack = NEEDS[need]
        if not has(involved):
            return Finding(verdict=NOT_TESTABLE, reason=lack)
    short = None if evidence is None else _shortage(claim, evidence)
    return None if short is None else Finding(verdict=UNDECIDED, reason=short)


def _shortage(claim: Claim, e: Evidence) -> str | None:
    """Return what there is too little of, or None."""
    compared = [(each.model, each.strategy) for each in e.matrices.configurations]
    if apart := [pair for pair in claim.configurations if pair not in compared]:
        return f"too few seeds of {_named(apart)} are those of the others"
    if not e.matrices.n_seeds:
        return "no seed was completed by all configurations"
    if e.few_seeds and claim.finding is not None:
        return ONE_SEED
    for metric in claim.metrics:
        images = e.images(metric)
        if count_units(images.size, e.units(metric).groups) < 2:
            return f"a single test image or group of images{f' of {metric.true}' if metric.true else ''}"
        if metric is CALIBRATION and images.size < SMALLEST_CALIBRATION_SET:
            return f"calibration needs {SMALLEST_CALIBRATION_SET} test images"
        if metric is LOSS and not all(each.has_probabilities for each in e.matrices.configurations):
            return "some configurations tell no probabilities"
        if metric is LOSS and not np.isfinite(e.values(metric)).all():
            return "some loss is no finite number"
    return None


ONE_SEED = "one seed: nothing tells the seeds' chance from a difference"


def _named(pairs: Sequence[Pair]) -> str:
    """Name configurations, by model or strategy alone where all of it are meant."""
    models = [model for model in STUDY_MODELS if all((model, each) in pairs for each in STRATEGIES)]
    strategies = [each for each in STRATEGIES if all((model, each) in pairs for model in STUDY_MODELS)]
    rest = ["/".join(pair) for pair in pairs if pair[0] not in models and pair[1] not in strategies]
    return _few(STUDY_MODELS if len(models) == len(STUDY_MODELS) else [*models, *strategies, *rest])


def _few(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A part with its interval."""

    part: Part
    bounds: Bounds
    interval: str

    @property
    def verdict(self) -> str:
        """Of this part alone."""
        return self.part.region.verdict(self.bounds)


def _of_family(e: Evidence, family: Sequence[Claim]) -> dict[str, Finding]:
    """Return the findings of the claims that are judged together, by name."""
    parts = {claim.name: claim.parts(e) for claim in family if claim.parts is not None}
    spent = _shares({name: [_key(name, part) for part in of_claim] for name, of_claim in parts.items()})
    judged: dict[str, list[Judged]] = {}
    together: dict[str, list[tuple[str, Difference]]] = {}
    for name, of_claim in parts.items():
        for part in of_claim:
            if isinstance(part, Difference):
                together.setdefault(part.metric.name, []).append((name, part))
            else:
                judged.setdefault(name, []).append(_judge_single(part, spent[name]))
    for key, members in together.items():
        results = _judge_together(e, [part for _, part in members], spent[key])
        for (name, _), result in zip(members, results, strict=True):
            judged.setdefault(name, []).append(result)
    return {claim.name: _joined(e, claim, judged[claim.name]) for claim in family}


def _key(claim: str, part: Part) -> str:
    return part.metric.name if isinstance(part, Difference) else claim


def _shares(keys: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the error that each metric (or single number) may spend, from the keys of every claim's parts."""
    spent: dict[str, float] = {}
    for of_claim in keys.values():
        for key in set(of_claim):
            spent[key] = spent.get(key, 0.0) + (1 - LEVEL) / len(keys) / len(set(of_claim))
    return spent


def _judge_single(part: Single, error: float) -> Judged:
    words = f"{1 - error:.2%}, a share of the claims' family at {LEVEL:.0%}; {part.sources}"
    return Judged(part=part, bounds=part.bounds(1 - error), interval=words)


def _judge_together(e: Evidence, parts: Sequence[Difference], error: float) -> list[Judged]:
    metric, weights = parts[0].metric, np.array([part.weights for part in parts])
    if e.few_seeds:
        values, units = e.values(metric), e.units(metric)
        level, method = 1 - error / len(parts), "two-sided t, test images alone"
        found = [mean_bounds(metric.scale * np.tensordot(each, values, 1), level, *units) for each in weights]
    else:
        large = len(e.matrices.configurations) >= FEWEST_FOR_POSTERIOR
        method = f"{'posterior max-t' if large else 'moderated t, Bonferroni'}, seeds and test images"
        family = e.model(metric).family(weights, 1 - error)
        limits = (family.difference, family.simultaneous_low, family.simultaneous_high)
        # Without any spread there is nothing to judge by.
        found = [
            Bounds(estimate=middle, low=low, high=high) if some > 0 else Bounds(estimate=middle)
            for some, middle, low, high in zip(
                family.standard_error, *(metric.scale * limit for limit in limits), strict=True
            )
        ]
    over = f"{len(parts)} contrast{'s' if len(parts) > 1 else ''} of {metric.name}"
    words = f"{1 - error:.2%} simultaneous over {over}, a share of the claims' family at {LEVEL:.0%}; {method}"
    return [Judged(part=part, bounds=bounds, interval=words) for part, bounds in zip(parts, found, strict=True)]


def _joined(e: Evidence, claim: Claim, judged: Sequence[Judged]) -> Finding:
    """Return the finding of a claim of the family from its parts'."""
    verdict = UNDECIDED if e.few_seeds else all_of(each.verdict for each in judged)
    order = (CONTRADICTED, UNDECIDED, SUPPORTED)
    against = min(judged, key=lambda each: (order.index(each.verdict), each.part.region.slack(each.bounds.estimate)))
    shown = judged[0] if claim.first else against
    remark = "" if claim.remark is None else claim.remark(e)
    why = ONE_SEED if e.few_seeds else _why(verdict, judged, against)
    return Finding(
        verdict=verdict,
        reason="; ".join(filter(None, [why, _beside(shown, judged), remark])),
        bounds=shown.bounds,
        interval=shown.interval if len(judged) == 1 else f"{shown.part.name}: {shown.interval}",
    )


def _why(verdict: str, judged: Sequence[Judged], against: Judged) -> str:
    if verdict == SUPPORTED:
        if len(judged) == 1:
            return f"{against.part.name} is {against.part.region.words}"
        return f"all {len(judged)} differences lie as claimed"
    if verdict == CONTRADICTED:
        return f"{against.part.name} is {_range(against.bounds)}, not {against.part.region.words}"
    still = [each for each in judged if each.verdict == UNDECIDED]
    names = _few([each.part.name for each in still])
    if all(math.isnan(each.bounds.low) for each in still):
        return f"too little varies to judge {names}"
    if len(still) == len(judged) > 1:
        return f"none of {len(judged)} differences can be told apart from {against.part.region.border}"
    return f"cannot be told apart from {against.part.region.border}: {names}"


def _beside(shown: Judged, judged: Sequence[Judged]) -> str:
    """Tell the other number of a claim that has two."""
    others = [each for each in judged if each is not shown] if len(judged) == 2 else []
    return "".join(f"{each.part.name}: {each.bounds.estimate:.3g} ({_range(each.bounds)})" for each in others)


def _range(bounds: Bounds) -> str:
    return "no interval" if math.isnan(bounds.low) else f"{bounds.low:.3g} to {bounds.high:.3g}"
