"""Where time goes: a stacked bar for each run, from reading the image through every task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reports.figures.drawing import DrawnFigure, save_figure
from reports.findings import milliseconds
from reports.report_data import ReportData, ReportRun
from reports.style import COLUMN, GROUND, INK, figure_style, phase_colors
from reports.tables.phases import grouped, ordered, phase_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def phases_figure(report: ReportData) -> DrawnFigure | None:
    """Stacked bars of mean milliseconds per image; None if no run uses a network."""
    runs = [run for run in report.runs if run.encodes]
    if not runs:
        return None
    parts = {run.label: grouped(run) for run in runs}
    names = ordered([name for each in parts.values() for name in each])
    colors = phase_colors(names)
    decoding = {run.label: sum(v for n, v in parts[run.label].items() if n.startswith("decode")) for run in runs}
    title = _title(runs, decoding)
    with figure_style():
        import matplotlib.pyplot as plt

        height = 0.75 + 0.27 * len(runs) + 0.14 * ((len(names) + 1) // 2)
        figure, axes = plt.subplots(figsize=(COLUMN, height), layout="constrained")
        for row, run in enumerate(runs):
            _draw_bar(axes, row, {name: parts[run.label].get(name, 0.0) for name in names}, colors)
        axes.set_yticks(range(len(runs)), [run.label for run in runs])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.16)
        axes.set_xlabel("milliseconds per image")
        figure.legend(loc="outside lower left", ncols=2, handlelength=0.9, handleheight=0.9, columnspacing=1.2)
        return save_figure(figure, name="phases", title=title, alt=f"{title}. {_description(parts)}")


def _draw_bar(axes: Axes, row: int, times: Mapping[str, float], colors: Mapping[str, str]) -> None:
    """Draw the phases of a run one after the other with their sum; the first row names them for the legend."""
    left = 0.0
    for name, width in times.items():
        edge: dict[str, Any] = {"edgecolor": GROUND, "linewidth": 0.4, "label": None if row else phase_name(name)}
        axes.barh(row, width, left=left, height=0.66, color=colors[name], **edge)
        left += width
    text: dict[str, Any] = {"va": "center", "fontsize": 6.5, "color": INK}
    axes.annotate(milliseconds(left), (left, row), (3, 0), textcoords="offset points", **text)


def _title(runs: list[ReportRun], decoding: Mapping[str, float]) -> str:
    shares = {run.label: decoding[run.label] / run.milliseconds for run in runs}
    most, least = max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])
    if most == least:
        return f"Decoding takes {shares[most]:.0%} of {most}'s time"
    return f"Decoding takes {shares[most]:.0%} of {most}'s time and {shares[least]:.0%} of {least}'s"


def _description(parts: Mapping[str, Mapping[str, float]]) -> str:
    each = []
    for label, phases in parts.items():
        largest = sorted(phases.items(), key=lambda item: -item[1])[:3]
        each.append(f"{label}: " + ", ".join(f"{phase_name(name)} {milliseconds(value)}" for name, value in largest))
    return "Largest phases: " + "; ".join(each) + "."
