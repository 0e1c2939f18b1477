"""The headline figure: average accuracy against time per image, the frontier, and published systems well apart.

After MAD (Qiu et al. 2024), Figure 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from reports import findings
from reports.figures.drawing import DrawnFigure, log_axis, save_figure
from reports.figures.point_labels import label_points
from reports.metrics import ShownMetric, average, averaged
from reports.report_data import AVERAGE, TIME, Interval, ReportData, ReportRun, one_machine
from reports.style import COLUMN, FAINT, GROUND, INK, PUBLISHED, figure_style, looks
from results.published import System

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = tuple[float, float, float, float]  # x0, y0, x1, y1


def frontier_figure(report: ReportData, published: Sequence[System]) -> DrawnFigure | None:
    """The figure, or None if no run has both a time and an average."""
    metrics = averaged([run.record for run in report.runs])
    timed = [run for run in report.runs if run.timed and average(run.record, metrics) is not None]
    if not timed:
        return None
    systems = [system for system in published if system.seconds is not None and _published(system, metrics) is not None]
    title = findings.headline(report.runs, metrics, report.statistics)
    with figure_style():
        import matplotlib.pyplot as plt

        widths = [3, 2] if systems else [1]
        figure, axes = plt.subplots(
            1, len(widths), figsize=(COLUMN, 2.7), width_ratios=widths, squeeze=False, layout="constrained"
        )
        ours = axes[0, 0]
        _scale(ours, [run.milliseconds for run in timed], "ms per image")
        bars = _draw_runs(ours, timed, metrics, report)
        ceiling = _ceiling(ours, report.runs, metrics)
        ours.set_ylabel(_axis(metrics), fontsize=6.5)
        ours.margins(y=0.12)
        lines = _draw_frontier(ours, findings.frontier(timed, metrics), metrics) if one_machine(timed) else []
        if not one_machine(timed):
            ours.set_title("different machines", fontsize=6.5, fontweight="normal")
        if systems:
            _draw_published(axes[0, 1], systems, metrics)
        figure.draw_without_rendering()  # so that labels know how large the axes are
        names = [(run.milliseconds, _value(run, metrics), run.label) for run in timed]
        if not label_points(ours, names, avoid=[*lines, *bars], crowded=False):
            figure.legend(loc="outside lower left", ncols=3, handletextpad=0.1, columnspacing=0.8, fontsize=6.5)
            figure.draw_without_rendering()
        if systems:
            points = [((s.seconds or 0.0), _published(s, metrics) or 0.0, s.short or s.name) for s in systems]
            label_points(axes[0, 1], points, size=6)
        return save_figure(figure, name="frontier", title=title, alt=_alt(timed, metrics, title, systems, ceiling))


def _draw_frontier(axes: Axes, front: Sequence[ReportRun], metrics: Sequence[ShownMetric]) -> list[Line]:
    """Draw the frontier as steps, open to the right, and return its lines."""
    right = axes.get_xlim()[1]
    x, y = [run.milliseconds for run in front], [_value(run, metrics) for run in front]
    corners = []
    for place in range(len(front)):
        corners.append((x[place], y[place]))
        corners.append((x[place + 1] if place + 1 < len(front) else right, y[place]))
    axes.plot(*zip(*corners, strict=True), color=INK, linewidth=0.9, alpha=0.7, zorder=1, scalex=False, scaley=False)
    return [(*corner, *next_corner) for corner, next_corner in pairwise(corners)]


def _draw_runs(axes: Axes, runs: Sequence[ReportRun], metrics: Sequence[ShownMetric], report: ReportData) -> list[Line]:
    """Draw every run with its error bars, and return the bars."""
    look = looks([run.decoder for run in report.runs])
    lines = []
    for run in runs:
        x, y = run.milliseconds, _value(run, metrics)
        up = report.statistics.interval(run.label, AVERAGE)
        across = report.statistics.interval(run.label, TIME)
        mark = look[run.decoder]
        bar = {"color": mark.color, "linewidth": 0.9, "alpha": 0.8, "zorder": 2}
        for start_x, start_y, end_x, end_y in (lines_of := _bars(x, y, across, up)):
            axes.plot([start_x, end_x], [start_y, end_y], **bar)  # type: ignore[arg-type]
        edge = {"markeredgecolor": GROUND, "markeredgewidth": 0.6, "linestyle": "none", "label": run.label}
        axes.plot(x, y, mark.marker, color=mark.color, markersize=5.5, zorder=3, **edge)  # type: ignore[arg-type]
        lines += lines_of
    return lines


def _bars(x: float, y: float, across: Interval | None, up: Interval | None) -> list[Line]:
    vertical = [(x, up.low * 100, x, up.high * 100)] if up else []
    return [*vertical, *([(across.low, y, across.high, y)] if across else [])]


def _ceiling(axes: Axes, runs: Sequence[ReportRun], metrics: Sequence[ShownMetric]) -> float | None:
    """Draw the oracle's average as a line if it is near the runs, else as text; return it, None without an oracle."""
    averages = [value for run in runs if not run.encodes and (value := average(run.record, metrics)) is not None]
    top = max((_value(run, metrics) for run in runs if run.encodes), default=0.0)
    if not averages:
        return None
    ceiling = max(averages) * 100
    text = f"tokenization's ceiling {ceiling:.1f}"
    if ceiling <= top * 1.35:
        axes.axhline(ceiling, color=PUBLISHED, linewidth=0.7, linestyle=(0, (4, 3)))
        axes.annotate(text, (1, ceiling), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=6)
    else:
        axes.annotate(f"{text} ↑", (1, 1), xycoords="axes fraction", ha="right", va="top", fontsize=6, color=INK)
    return ceiling


def _scale(axes: Axes, values: Sequence[float], label: str, *, left: float = 0.1) -> None:
    """Set a log scale with room for names beside the outermost points."""
    low, high = min(values), max(values)
    decades = math.log10(high / low)
    axes.set_xscale("log")
    axes.set_xlim(low / 10 ** (0.12 + left * decades), high * 10 ** (0.25 + 0.22 * decades))
    log_axis(axes.xaxis)
    axes.set_xlabel(label)


def _draw_published(axes: Axes, systems: Sequence[System], metrics: Sequence[ShownMetric]) -> None:
    _scale(axes, [system.seconds or 0.0 for system in systems], "s per image", left=0.4)
    axes.patch.set(facecolor=FAINT, alpha=0.16)
    axes.set_title("published: other data,\nhardware, unit and scale", fontsize=6, fontweight="normal", loc="center")
    for system in systems:
        value = _published(system, metrics) or 0.0
        axes.plot(system.seconds or 0.0, value, "o", markersize=4.5, markerfacecolor="none", markeredgecolor=PUBLISHED)
    axes.margins(y=0.15)


def _axis(metrics: Sequence[ShownMetric]) -> str:
    names = [metric.heading for metric in metrics]
    half = (len(names) + 1) // 2
    first, second = ", ".join(names[:half]), findings.joined(names[half:])
    return f"average of {first},\n{second}" if len(names) > 2 else findings.joined(names)


def _published(system: System, metrics: Sequence[ShownMetric]) -> float | None:
    values = [system.metrics.get(metric.key) for metric in metrics]
    printed = [value for value in values if value is not None]
    return 100 * sum(printed) / len(printed) if printed and len(printed) == len(values) else None


def _value(run: ReportRun, metrics: Sequence[ShownMetric]) -> float:
    return 100 * (average(run.record, metrics) or 0.0)


def _alt(
    runs: Sequence[ReportRun],
    metrics: Sequence[ShownMetric],
    title: str,
    systems: Sequence[System],
    ceiling: float | None,
) -> str:
    each = "; ".join(
        f"{run.label} {findings.milliseconds(run.milliseconds)}, {_value(run, metrics):.1f}" for run in runs
    )
    names = findings.joined([metric.heading for metric in metrics])
    ending = f" Perfect tokens would score {ceiling:.1f}." if ceiling is not None else ""
    if systems:
        ending += f" Published systems, on other hardware and data: {findings.joined([s.name for s in systems])}."
    return f"{title}. Time per image on a log scale against the average of {names}: {each}.{ending}"
