"""Quality at a budget: one figure a metric, a curve for each strategy whose option varies, knees circled."""

from __future__ import annotations

from reports import findings
from reports.figures.drawing import DrawnFigure, log_axis, save_figure
from reports.figures.point_labels import label_points
from reports.report_data import ReportData
from reports.style import COLUMN, GROUND, INK, figure_style, looks
from reports.tables.budget import Panel, knee_of, panels, title_of


def budget_figures(report: ReportData) -> list[DrawnFigure]:
    """One figure a metric."""
    return [_figure(panel) for panel in panels(report)]


def _figure(panel: Panel) -> DrawnFigure:
    title = title_of(panel)
    name = f"budget-{panel.metric.task}"
    with figure_style():
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(COLUMN, 2.5), layout="constrained")
        look = looks([knob.decoder for knob in panel.knobs])
        factor = panel.metric.factor
        for knob in panel.knobs:
            x, y = [p[1] for p in knob.points], [p[2] * factor for p in knob.points]
            mark = look[knob.decoder]
            axes.plot(x, y, marker=mark.marker, markersize=3.5, color=mark.color, label=f"{knob.decoder}: {knob.title}")
            for (_, _, _, interval), place in zip(knob.points, x, strict=True):
                if interval is not None:
                    ends = [interval.low * factor, interval.high * factor]
                    axes.plot([place, place], ends, color=mark.color, linewidth=0.7, alpha=0.6)
            bend = knee_of(knob, panel.metric)
            if bend is not None:
                ring = {"markersize": 10, "markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 0.9}
                axes.plot(x[bend], y[bend], "o", zorder=4, **ring)  # type: ignore[arg-type]
        axes.set_xscale("log")
        axes.margins(x=0.15, y=0.12)
        log_axis(axes.xaxis)
        axes.set_xlabel(f"ms an image to decode {panel.metric.task}")
        axes.set_ylabel(panel.metric.heading)
        axes.patch.set_edgecolor(GROUND)
        figure.legend(loc="outside lower left", ncols=1, handlelength=1.4)
        figure.draw_without_rendering()
        names = [(p[1], p[2] * factor, p[0]) for knob in panel.knobs for p in knob.points if len(p[0]) < 16]
        label_points(axes, names, size=6)
        return save_figure(figure, name=name, title=title, alt=f"{title}. {_description(panel)} Circles mark knees.")


def _description(panel: Panel) -> str:
    each = []
    for knob in panel.knobs:
        values = [f"{name}: {findings.milliseconds(ms)}, {panel.metric.text(v)}" for name, ms, v, _ in knob.points]
        each.append(f"{knob.decoder} ({knob.title}): {'; '.join(values)}.")
    return " ".join(each)
