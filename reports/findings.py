"""Sentences that say what was found, made from values and their intervals; no title is typed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reports.metrics import Metric, average
from reports.report_data import AVERAGE, TIME, Interval, MetricDifference, ReportRun, Statistics, one_machine


def frontier(runs: Sequence[ReportRun], metrics: Sequence[Metric]) -> list[ReportRun]:
    """Runs that no other beats in time and average both, fastest first."""
    scored = [(run, average(run.record, metrics)) for run in runs if run.timed]
    known = sorted(((run, value) for run, value in scored if value is not None), key=lambda r: r[0].milliseconds)
    best, kept = float("-inf"), []
    for run, value in known:
        if value > best:
            best = value
            kept.append(run)
    return kept


def headline(runs: Sequence[ReportRun], metrics: Sequence[Metric], statistics: Statistics) -> str:
    """Accuracy against time in a sentence: the most accurate run against the slowest, or against the fastest."""
    timed = [run for run in runs if run.timed]
    front = frontier(runs, metrics)
    if not timed or not one_machine(timed):
        return _untimed(runs, metrics, statistics, apart=bool(timed))
    if len(timed) == 1:
        value = average(timed[0].record, metrics)
        of = f", average {value * 100:.1f}" if value is not None else ""
        return f"{timed[0].label} takes {milliseconds(timed[0].milliseconds)} an image{of}"
    slowest = max(timed, key=lambda run: run.milliseconds)
    if not front:
        return faster(min(timed, key=lambda run: run.milliseconds), slowest, statistics)
    return _costly(front[-1], front[0], statistics) if front[-1] is slowest else _gain(front[-1], slowest, statistics)


def _gain(best: ReportRun, slowest: ReportRun, statistics: Statistics) -> str:
    """The most accurate run against the slowest."""
    speed = faster(best, slowest, statistics)
    gain = statistics.between(slowest.label, best.label, AVERAGE)
    if gain is None:
        return f"{speed} and more accurate on average"
    if not gain.significant:
        return f"{speed}; their average accuracy cannot be told apart ({points(gain)})"
    return f"{speed}, at {points(gain)} on average"


def _untimed(runs: Sequence[ReportRun], metrics: Sequence[Metric], statistics: Statistics, *, apart: bool) -> str:
    """Accuracy alone: nothing was timed, or on machines that must not be compared."""
    scored = [(run, value) for run in runs if run.encodes and (value := average(run.record, metrics)) is not None]
    if not scored:
        return "Times are of different machines" if apart else "Nothing was decoded by a network"
    (best, value), *others = sorted(scored, key=lambda one: -one[1])
    why = "; times are of different machines" if apart else ""
    told = f"{best.label} has the best average accuracy, {value * 100:.1f}"
    if others:
        found = statistics.between(others[0][0].label, best.label, AVERAGE)
        told += f", {points(found)} against {others[0][0].label}" if found is not None else ""
    return told + why


def _costly(best: ReportRun, fastest: ReportRun, statistics: Statistics) -> str:
    """The most accurate run is the slowest: what the fastest of the frontier gains in time and loses in accuracy."""
    if best is fastest:
        return f"{best.label} is the most accurate on average, and no other strategy on the frontier is faster"
    loss = statistics.between(best.label, fastest.label, AVERAGE)
    speed = faster(fastest, best, statistics)
    if loss is None:
        return f"{best.label} is the most accurate on average, but {speed}"
    if not loss.significant:
        return f"{speed}; their average accuracy cannot be told apart ({points(loss)})"
    return f"{speed}, at {points(loss)} on average"


def leaders(runs: Sequence[ReportRun], columns: Sequence[Metric], best: Callable[[ReportRun, Metric], bool]) -> str:
    """Who is significantly best in which column: a title for a comparison.

    Args:
        runs: rows.
        columns: columns.
        best: whether a run is significantly better than all others in a column.
    """
    won = {run.label: [column.heading for column in columns if best(run, column)] for run in runs}
    parts = [f"{label} in {joined(names)}" for label, names in won.items() if names]
    open_ = [c.heading for c in columns if not any(c.heading in names for names in won.values())]
    if len([run for run in runs if run.encodes]) < 2 or not columns:
        return "Accuracy and time"
    if not parts:
        return "No strategy is significantly better than all others in any metric"
    return f"Significantly best: {'; '.join(parts)}" + (f"; nobody in {joined(open_)}" if open_ else "")


def faster(quick: ReportRun, slow: ReportRun, statistics: Statistics) -> str:
    """``a is 3.1 (3.0–3.2) times faster than b``; without an interval where there is none."""
    found = statistics.between(slow.label, quick.label, TIME)
    if found is None:
        return f"{quick.label} is {slow.milliseconds / quick.milliseconds:.1f} times faster than {slow.label}"
    if not found.significant:
        return f"{quick.label} and {slow.label} take the same time within what can be seen ({ratio(found)})"
    return f"{quick.label} is {ratio(found)} times faster than {slow.label}"


def ratio(found: MetricDifference) -> str:
    """A ratio of times with its interval."""
    return f"{found.value:.1f} ({found.interval.low:.1f}–{found.interval.high:.1f})"


def points(found: MetricDifference, metric: Metric | None = None) -> str:
    """A difference with its interval: ``+5.2 (+1.1 … +9.0) points``; metrics in their own unit."""
    if metric is not None and metric.factor != 100:
        low, high = metric.signed(found.interval.low), metric.signed(found.interval.high)
        return f"{metric.signed(found.value)} ({low} … {high}) {metric.heading}"
    value, low, high = (
        f"{v * 100:+.1f}".replace("-", "−") for v in (found.value, found.interval.low, found.interval.high)
    )
    name = "points" if metric is None else metric.heading
    return f"{value} ({low} … {high}) {name}"


def milliseconds(value: float) -> str:
    """Milliseconds with three figures, seconds where they are many."""
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


def spread(interval: Interval | None, metric: Metric) -> str:
    """An interval as tables print it beside the value; empty without one."""
    if interval is None:
        return ""
    low, high = metric.text(interval.low), metric.text(interval.high)
    return f"({low}–{high})"


def reach(interval: Interval | None, metric: Metric) -> str:
    """Half of an interval's width, for places too narrow for its ends; empty without one."""
    return "" if interval is None else f"±{metric.text((interval.high - interval.low) / 2)}"


def joined(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
