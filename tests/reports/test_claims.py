"""Verdicts follow from intervals, and from nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from reports.claims import Verdict, judge, overall
from reports.report_data import Interval, MetricDifference, ReportData, Statistics
from reports.tables.claims import summary
from results.published import Claim, claims
from results.study import Difference, Outcome, Point
from tests.reports.report_data import report_data, run


def claim(*parts: dict[str, Any]) -> Claim:
    return Claim(id="c", paper="MAD", where="Table 1", statement="s", printed="p", parts=list(parts))


def compared(value: float, low: float, high: float, key: str = "detection.AP") -> ReportData:
    runs = [run("a", 10, 0.3), run("b", 20, 0.4)]
    one = MetricDifference(first="a", second="b", key=key, value=value, interval=Interval(low, high))
    return ReportData(runs=runs, statistics=Statistics("", {}, [one]))


@pytest.mark.parametrize(
    ("value", "low", "high", "key", "expected"),
    [
        (0.05, 0.01, 0.09, "detection.AP", "agrees"),
        (-0.05, -0.09, -0.01, "detection.AP", "disagrees"),
        (0.05, -0.01, 0.11, "detection.AP", "cannot tell"),
        (-0.05, -0.09, -0.01, "depth.rmse", "agrees"),
        (2.0, 1.5, 2.5, "time.total", "agrees"),
        (0.5, 0.4, 0.6, "time.total", "disagrees"),
        (1.1, 0.9, 1.3, "time.total", "cannot tell"),
    ],
)
def test_better(value: float, low: float, high: float, key: str, expected: str) -> None:
    part = {"kind": "better", "first": "a", "second": "b", "key": key}
    assert judge(claim(part), compared(value, low, high, key)).verdict == expected
    turned = {"kind": "better", "first": "b", "second": "a", "key": key}
    opposite = {"agrees": "disagrees", "disagrees": "agrees"}.get(expected, expected)
    assert judge(claim(turned), compared(value, low, high, key)).verdict == opposite


def test_what_was_not_run_is_not_judged() -> None:
    report = compared(0.05, 0.01, 0.09)
    absent = {"kind": "better", "first": "a", "second": "c", "key": "detection.AP"}
    swept = {"kind": "best", "ablation": "none", "point": "x", "key": "detection.AP"}
    assert judge(claim(absent), report).verdict == "not run"
    assert judge(claim(swept), report).parts[0].evidence == "run `python -m bench study none`"
    present = {"kind": "better", "first": "a", "second": "b", "key": "detection.AP"}
    assert judge(claim(present, absent), report).verdict == "agrees"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["agrees", "agrees", "cannot tell"], "agrees"),
        (["agrees", "cannot tell", "cannot tell"], "cannot tell"),
        (["agrees", "disagrees", "agrees"], "cannot tell"),
        (["disagrees", "cannot tell"], "disagrees"),
        (["not run", "agrees"], "agrees"),
        (["not run"], "not run"),
        (["cannot tell"], "cannot tell"),
    ],
)
def test_a_claim_follows_from_its_parts(parts: list[Verdict], expected: str) -> None:
    assert overall(parts) == expected


@pytest.mark.parametrize(
    ("required", "expected"),
    [
        (["agrees", "agrees"], "agrees"),
        (["agrees", "not run"], "not run"),
        (["agrees", "cannot tell"], "cannot tell"),
        (["disagrees", "not run"], "disagrees"),
    ],
)
def test_parts_that_a_claim_cannot_do_without(required: list[Verdict], expected: str) -> None:
    assert overall([*required, "agrees", "agrees"], required) == expected


def test_a_required_half_that_was_not_run_leaves_the_claim_open() -> None:
    report = compared(0.05, 0.01, 0.09)
    present = {"kind": "better", "first": "a", "second": "b", "key": "detection.AP", "required": True}
    absent = {**present, "second": "c"}
    assert judge(claim(present, absent), report).verdict == "not run"
    assert judge(claim(present), report).verdict == "agrees"
    coarser = next(one for one in claims() if one.id == "coarser-codes")
    assert all(part.get("required") for part in coarser.parts)


def test_parts_that_contradict_each_other_are_told() -> None:
    agrees = {"kind": "better", "first": "a", "second": "b", "key": "detection.AP"}
    against = {**agrees, "first": "b", "second": "a"}
    mixed = judge(claim(agrees, against, against), compared(0.05, 0.01, 0.09))
    assert (mixed.verdict, mixed.detail) == ("cannot tell", "mixed: 1 of 3 parts agrees, 2 disagree")
    open_ = judge(claim(agrees, {**agrees, "second": "c"}), compared(0.05, 0.01, 0.09))
    assert open_.detail == "1 of 2 parts was not run"
    assert "python -m bench run --decoder c --preset embedded" in open_.parts[1].evidence


def swept(values: dict[str, float], reach: float, **changes: Any) -> ReportData:
    """An ablation whose differences are known to ``reach``."""
    points = {name: Point(values={"detection.AP": value}) for name, value in values.items()}
    names = list(values)
    pairs = [
        Difference(
            first=a,
            second=b,
            key="detection.AP",
            value=values[b] - values[a],
            low=values[b] - values[a] - reach,
            high=values[b] - values[a] + reach,
            **changes,
        )
        for place, a in enumerate(names)
        for b in names[place + 1 :]
    ]
    return report_data(outcomes={"s": Outcome(name="s", title="t", decoder="d", points=points, differences=pairs)})


def test_best_flat_and_enough() -> None:
    best = {"kind": "best", "ablation": "s", "point": "b", "key": "detection.AP"}
    assert judge(claim(best), swept({"a": 0.2, "b": 0.3, "c": 0.29}, 0.02)).verdict == "agrees"
    assert judge(claim(best), swept({"a": 0.2, "b": 0.3, "c": 0.31}, 0.02)).verdict == "cannot tell"
    assert judge(claim(best), swept({"a": 0.2, "b": 0.3, "c": 0.4}, 0.02)).verdict == "disagrees"
    assert judge(claim(best), swept({"a": 0.28, "b": 0.3, "c": 0.29}, 0.05)).verdict == "cannot tell"
    flat = {"kind": "flat", "ablation": "s", "reference": "b", "key": "detection.AP", "margin": 0.02}
    assert judge(claim(flat), swept({"a": 0.30, "b": 0.3, "c": 0.305}, 0.01)).verdict == "agrees"
    assert judge(claim(flat), swept({"a": 0.30, "b": 0.3, "c": 0.34}, 0.01)).verdict == "disagrees"
    assert judge(claim(flat), swept({"a": 0.30, "b": 0.3, "c": 0.31}, 0.02)).verdict == "cannot tell"
    enough = {"kind": "enough", "ablation": "s", "point": "a", "more": "b", "key": "detection.AP", "margin": 0.01}
    assert judge(claim(enough), swept({"a": 0.30, "b": 0.3}, 0.005)).verdict == "agrees"
    assert judge(claim(enough), swept({"a": 0.30, "b": 0.35}, 0.005)).verdict == "disagrees"


def test_seeds_that_contradict_each_other_tell_nothing() -> None:
    part = {"kind": "better", "ablation": "s", "first": "a", "second": "b", "key": "detection.AP"}
    assert judge(claim(part), swept({"a": 0.2, "b": 0.3}, 0.02, agreeing=True)).verdict == "agrees"
    assert judge(claim(part), swept({"a": 0.2, "b": 0.3}, 0.02, agreeing=False)).verdict == "cannot tell"


def test_the_summary_counts() -> None:
    part = {"kind": "better", "first": "a", "second": "b", "key": "detection.AP"}
    report = compared(0.05, 0.01, 0.09)
    judged = [judge(claim(part), report), judge(claim({**part, "first": "x"}), report)]
    assert summary(judged) == ("Of 2 claims of the two papers 1 agree, 0 disagree, 0 are undecided and 1 were not run")
