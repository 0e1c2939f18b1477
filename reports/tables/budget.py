"""Quality at a budget: accuracy against time while one option of a strategy varies, with the knee of each curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from reports import findings
from reports.metrics import ShownMetric, metric
from reports.report_data import Interval, ReportData
from reports.tables.table import Table, number, plain, words
from results.study import Outcome


@dataclass(frozen=True)
class Knob:
    """One curve.

    Args:
        decoder: strategy.
        title: the option that varies.
        points: setting, milliseconds, value and its interval, in order of time.
        data: content hash.
    """

    decoder: str
    title: str
    points: Sequence[tuple[str, float, float, Interval | None]]
    data: str = ""


@dataclass(frozen=True)
class Panel:
    """Curves of one metric against the time of one phase."""

    metric: ShownMetric
    phase: str
    knobs: Sequence[Knob] = field(default_factory=tuple)


def panels(report: ReportData) -> list[Panel]:
    """Curves grouped by the metric that their knob changes most, from budget ablations and further runs."""
    knobs: dict[str, list[Knob]] = {}
    for outcome in report.outcomes.values():
        if outcome.budget and len(outcome.points) > 1 and (key := _moved(outcome)):
            knobs.setdefault(key, []).append(_from_outcome(outcome, key))
    for decoder in dict.fromkeys(run.decoder for run in report.variants):
        _from_runs(decoder, report, knobs)
    return [Panel(metric(*key.split(".", 1)), _phase(key), curves) for key, curves in knobs.items()]


def _phase(key: str) -> str:
    return f"decode.{key.split('.', 1)[0]}"


def _moved(outcome: Outcome) -> str:
    """The metric with the largest relative spread over the settings."""
    first = next(iter(outcome.points.values()))
    spread = {}
    for key in first.values:
        values = [point.values[key] for point in outcome.points.values() if key in point.values]
        if "." in key and max(values) > 0 and all(_phase(key) in p.milliseconds for p in outcome.points.values()):
            spread[key] = (max(values) - min(values)) / max(values)
    best = [key for key in spread if key.endswith(("BLEU-4", ".AP", ".rmse"))] or list(spread)
    return max(best, key=lambda key: spread[key], default="")


def _from_outcome(outcome: Outcome, key: str) -> Knob:
    points = []
    for name, point in outcome.points.items():
        ends = point.intervals.get(key)
        interval = None if ends is None else Interval(*ends)
        points.append((name, point.milliseconds[_phase(key)], point.values[key], interval))
    ordered = sorted(points, key=lambda point: point[1])
    return Knob(outcome.decoder, outcome.title, ordered, str(outcome.data.get("hash", "")))


def _from_runs(decoder: str, report: ReportData, knobs: dict[str, list[Knob]]) -> None:
    """Add a strategy's runs as a curve if three or more differ only in its options."""
    runs = [run for run in (*report.runs, *report.variants) if run.decoder == decoder and run.encodes]
    groups: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        rest = {n: v for n, v in run.record["options"].items() if n not in ("strategy", "report")}
        groups.setdefault(repr(sorted(rest.items(), key=str)), []).append(place)
    group = [runs[place] for place in max(groups.values(), key=len)]
    if len(group) < 3:
        return
    for shown in (metric("captioning", "BLEU-4"), metric("keypoints", "AP"), metric("detection", "AP")):
        values = [shown.value(run.record) for run in group]
        phases = [run.record["latency"]["phases"].get(_phase(shown.key)) for run in group]
        if None in values or None in phases or len({round(v or 0.0, 6) for v in values}) < 2:
            continue
        points = [
            (run.label, float(phase["mean_ms"]), value or 0.0, report.statistics.interval(run.label, shown.key))
            for run, phase, value in zip(group, phases, values, strict=True)
        ]
        data = str(group[0].record["data"].get("hash"))
        knobs.setdefault(shown.key, []).append(
            Knob(decoder, "options", sorted(points, key=lambda point: point[1]), data)
        )
        return


def knee(points: Sequence[tuple[float, float]], *, higher: bool = True) -> int | None:
    """Index of the knee: the point farthest above the line between both ends, time on a log scale.

    Args:
        points: time and value, in order of time.
        higher: whether more is better.

    Returns:
        None with fewer than 3 points, or where no point lies on the better side of the line.
    """
    if len(points) < 3 or points[0][0] <= 0:
        return None
    x = [math.log(time) for time, _ in points]
    y = [value if higher else -value for _, value in points]
    width, height = x[-1] - x[0], max(y) - min(y)
    if width <= 0 or height <= 0:
        return None
    above = [(b - y[0]) / height - (y[-1] - y[0]) / height * (a - x[0]) / width for a, b in zip(x, y, strict=True)]
    best = max(range(len(above)), key=lambda place: above[place])
    return best if above[best] > 0.05 and 0 < best < len(points) - 1 else None


def knee_of(knob: Knob, shown: ShownMetric) -> int | None:
    return knee([(ms, value) for _, ms, value, _ in knob.points], higher=shown.higher is not False)


def title_of(panel: Panel) -> str:
    sentences = []
    for knob in panel.knobs:
        bend = knee_of(knob, panel.metric)
        ends = [knob.points[0], knob.points[-1]]
        span = f"from {panel.metric.text(ends[0][2])} at {findings.milliseconds(ends[0][1])}"
        span += f" to {panel.metric.text(ends[1][2])} at {findings.milliseconds(ends[1][1])}"
        setting = "" if bend is None else f", with the knee at {knob.points[bend][0]}"
        sentences.append(f"{knob.decoder} goes {span}{setting}")
    return f"{panel.metric.heading} for time: {'; '.join(sentences)}"


def budget_tables(report: ReportData) -> list[Table]:
    """One table a figure with its numbers."""
    tables = []
    for panel in panels(report):
        rows = []
        for knob in panel.knobs:
            bend = knee_of(knob, panel.metric)
            for place, (name, ms, value, interval) in enumerate(knob.points):
                shown = number(panel.metric, value, interval=findings.spread(interval, panel.metric))
                setting = f"{name} (knee)" if place == bend else name
                rows.append([words(knob.decoder), words(knob.title), words(setting), plain(ms), shown])
        notes = ["Milliseconds per image of decoding this task."]
        hashes = dict.fromkeys(knob.data for knob in panel.knobs if knob.data)
        notes.append(f"Data: {', '.join(hashes)}.")
        tables.append(
            Table(
                name=f"budget-{panel.metric.task}",
                title=title_of(panel),
                headings=["strategy", "knob", "setting", "ms", panel.metric.heading],
                rows=rows,
                notes=notes,
                words=(1, 2),
            )
        )
    return tables
