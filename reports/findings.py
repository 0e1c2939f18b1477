"""Titles and sentences computed from values and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reports.metrics import ShownMetric, average
from reports.report_data import AVERAGE, TIME, Interval, MetricDifference, ReportRun, Statistics, one_machine
from results.equal_work import unequal_work


def frontier(runs: Sequence[ReportRun], metrics: Sequence[ShownMetric]) -> list[ReportRun]:
    """The Pareto frontier of time and average accuracy, fastest run first."""
    scored = [(run, average(run.record, metrics)) for run in runs if run.timed]
    points_ = sorted(((run, value) for run, value in scored if value is not None), key=lambda r: r[0].milliseconds)
    best, front = float("-inf"), []
    for run, value in points_:
        if value > best:
            best = value
            front.append(run)
    return front


def headline(runs: Sequence[ReportRun], metrics: Sequence[ShownMetric], statistics: Statistics) -> str:
    """The main finding in a sentence: the most accurate run against the slowest, or against the fastest."""
    timed = [run for run in runs if run.timed]
    front = frontier(runs, metrics)
    if not timed or not one_machine(timed):
        return _untimed(runs, metrics, statistics, apart=bool(timed))
    if len(timed) == 1:
        value = average(timed[0].record, metrics)
        of = f", average {value * 100:.1f}" if value is not None else ""
        doubt = ", but its times are doubtful (see warnings)" if timed[0].disturbed else ""
        return f"{timed[0].label} takes {milliseconds(timed[0].milliseconds)} an image{of}{doubt}"
    slowest = max(timed, key=lambda run: run.milliseconds)
    if not front:
        return faster(min(timed, key=lambda run: run.milliseconds), slowest, statistics)
    if front[-1] is slowest:
        return _costly(front[-1], front[0], metrics, statistics)
    return _gain(front[-1], slowest, metrics, statistics)


def _gain(best: ReportRun, slowest: ReportRun, metrics: Sequence[ShownMetric], statistics: Statistics) -> str:
    """The most accurate run against the slowest."""
    speed = faster(best, slowest, statistics)
    gain = statistics.between(slowest.label, best.label, AVERAGE)
    if gain is None:
        return f"{speed} and more accurate on average"
    if not gain.significant:
        return f"{speed}; the difference in average accuracy is not significant ({points(gain)})"
    return f"{speed}, at {points(gain)} on average{_hidden(gain, metrics, statistics)}"


def _hidden(average_: MetricDifference, metrics: Sequence[ShownMetric], statistics: Statistics) -> str:
    """Metrics that differ significantly the other way than their average does."""
    differences = [(statistics.between(average_.first, average_.second, shown.key), shown) for shown in metrics]
    against = [
        points(difference, shown)
        for difference, shown in differences
        if difference is not None and difference.significant and difference.value * average_.value < 0
    ]
    return f", but {joined(against)}" if against else ""


def _untimed(runs: Sequence[ReportRun], metrics: Sequence[ShownMetric], statistics: Statistics, *, apart: bool) -> str:
    """The best average accuracy, where no times are comparable."""
    scored = [(run, value) for run in runs if run.encodes and (value := average(run.record, metrics)) is not None]
    if not scored:
        return "Times come from different machines" if apart else "No run used a network"
    (best, value), *others = sorted(scored, key=lambda item: -item[1])
    why = "; times come from different machines" if apart else ""
    title = f"{best.label} has the best average accuracy, {value * 100:.1f}"
    if others:
        difference = statistics.between(others[0][0].label, best.label, AVERAGE)
        title += f", {points(difference)} against {others[0][0].label}" if difference is not None else ""
    return title + why


def _costly(best: ReportRun, fastest: ReportRun, metrics: Sequence[ShownMetric], statistics: Statistics) -> str:
    """The fastest run of the frontier against the most accurate, which is also the slowest."""
    if best is fastest:
        return f"{best.label} is the most accurate on average, and no other strategy on the frontier is faster"
    loss = statistics.between(best.label, fastest.label, AVERAGE)
    speed = faster(fastest, best, statistics)
    if loss is None:
        return f"{best.label} is the most accurate on average, but {speed}"
    if not loss.significant:
        return f"{speed}; the difference in average accuracy is not significant ({points(loss)})"
    return f"{speed}, at {points(loss)} on average{_hidden(loss, metrics, statistics)}"


def leaders(
    runs: Sequence[ReportRun], columns: Sequence[ShownMetric], best: Callable[[ReportRun, ShownMetric], bool]
) -> str:
    """Which run is significantly best in which column, as a title.

    Args:
        runs: rows.
        columns: columns.
        best: whether a run is significantly better than all others in a column.
    """
    best_columns = {run.label: [column.heading for column in columns if best(run, column)] for run in runs}
    parts = [f"{label} in {joined(names)}" for label, names in best_columns.items() if names]
    open_ = [c.heading for c in columns if not any(c.heading in names for names in best_columns.values())]
    if len([run for run in runs if run.encodes]) < 2 or not columns:
        return "Accuracy and time"
    if not parts:
        return "No strategy is significantly better than all others in any metric"
    return f"Significantly best: {'; '.join(parts)}" + (f"; no strategy in {joined(open_)}" if open_ else "")


def faster(quick: ReportRun, slow: ReportRun, statistics: Statistics) -> str:
    """``a is 3.1 (3.0–3.2) times faster than b``, without brackets if no interval is known.

    Unequal work is named, and times of a disturbed machine are hedged.
    """
    difference = statistics.between(slow.label, quick.label, TIME)
    unequal = unequal_work(quick.sequences, slow.sequences)
    mark = f" at unequal work ({unequal})" if unequal else ""
    value = slow.milliseconds / quick.milliseconds if difference is None else difference.value
    if quick.disturbed or slow.disturbed:
        doubt = "but times are doubtful (see warnings)"
        return f"{quick.label} seems {value:.1f} times faster than {slow.label}{mark}, {doubt}"
    if difference is None:
        return f"{quick.label} is {value:.1f} times faster than {slow.label}{mark}"
    if not difference.significant:
        return f"{quick.label} and {slow.label} do not differ significantly in time ({ratio(difference)}){mark}"
    return f"{quick.label} is {ratio(difference)} times faster than {slow.label}{mark}"


def ratio(difference: MetricDifference) -> str:
    """A ratio of times with its interval."""
    return f"{difference.value:.1f} ({difference.interval.low:.1f}–{difference.interval.high:.1f})"


def points(difference: MetricDifference, metric: ShownMetric | None = None) -> str:
    """A difference with its interval: ``+5.2 (+1.1 … +9.0) points``; meters for depth errors."""
    if metric is not None and metric.factor != 100:
        low, high = metric.signed(difference.interval.low), metric.signed(difference.interval.high)
        return f"{metric.signed(difference.value)} ({low} … {high}) {metric.heading}"
    value, low, high = (
        f"{v * 100:+.1f}".replace("-", "−")
        for v in (difference.value, difference.interval.low, difference.interval.high)
    )
    name = "points" if metric is None else metric.heading
    return f"{value} ({low} … {high}) {name}"


def milliseconds(value: float) -> str:
    """Milliseconds with about three significant digits; seconds from 10 s."""
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


def spread(interval: Interval | None, metric: ShownMetric) -> str:
    """An interval as printed beside its value, empty without one."""
    if interval is None:
        return ""
    low, high = metric.text(interval.low), metric.text(interval.high)
    return f"({low}–{high})"


def reach(interval: Interval | None, metric: ShownMetric) -> str:
    """``±`` half of an interval's width, empty without one."""
    return "" if interval is None else f"±{metric.text((interval.high - interval.low) / 2)}"


def joined(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]
