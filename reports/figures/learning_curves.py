"""Learning curves (MAD, Figure 4): each task's score against training steps, or the loss if scores are too few."""

from __future__ import annotations

from collections.abc import Sequence

from reports import findings
from reports.figures.drawing import DrawnFigure, log_axis, save_figure
from reports.metrics import AVERAGED, HEADLINE, ShownMetric
from reports.report_data import Curve, ReportData
from reports.style import COLUMN, figure_style, looks, strategy_rank

SHOWN = (*AVERAGED, HEADLINE[5])


def curves_figure(report: ReportData) -> DrawnFigure | None:
    """One panel a metric; None without any evaluation."""
    metrics = [m for m in SHOWN if any(_known(curve, m) for curve in report.curves)]
    if not metrics:
        return None
    curves = [
        curve
        for curve in sorted(report.curves, key=lambda curve: strategy_rank(curve.label))
        if any(_known(curve, metric) for metric in metrics)
    ]
    if all(len(curve.steps) < 2 for curve in curves):
        return _losses([curve for curve in curves if curve.loss])
    look = looks([curve.label for curve in curves])
    title = _title(curves, metrics)
    with figure_style():
        import matplotlib.pyplot as plt

        lines = (len(metrics) + 1) // 2
        figure, axes = plt.subplots(
            lines, 2, figsize=(COLUMN, 0.35 + 1.25 * lines), squeeze=False, layout="constrained"
        )
        for place, metric in enumerate(metrics):
            panel = axes.flat[place]
            for curve in curves:
                mark, points = look[curve.label], _points(curve, metric)
                if points:
                    x, y = zip(*points, strict=True)
                    label = curve.label if place == 0 else None
                    panel.plot(x, y, color=mark.color, marker=mark.marker, markersize=3, label=label)
            panel.set_title(metric.heading, fontsize=7, fontweight="normal")
            panel.margins(y=0.12)
            panel.set_xlim(left=0)
        for panel in axes.flat[len(metrics) :]:
            panel.set_axis_off()
        axes.flat[len(metrics) - 1].set_xlabel("training steps")
        figure.legend(loc="outside lower left", ncols=3, handlelength=1.4, columnspacing=1)
        return save_figure(figure, name="curves", title=title, alt=f"{title}. {_description(curves, metrics)}")


def _points(curve: Curve, metric: ShownMetric) -> list[tuple[float, float]]:
    values = curve.scores.get(f"{metric.task} {metric.name}", [])
    pairs = zip(curve.steps, values, strict=False)
    return [(float(step), value * metric.factor) for step, value in pairs if value is not None]


def _known(curve: Curve, metric: ShownMetric) -> bool:
    return bool(_points(curve, metric))


def _title(curves: Sequence[Curve], metrics: Sequence[ShownMetric]) -> str:
    """The last score of each; no leader is named, as these scores have no intervals."""
    first = metrics[0]
    ends = [
        f"{curve.label} {points[-1][1]:.{first.digits}f} after {points[-1][0]:,.0f} steps"
        for curve in curves
        if (points := _points(curve, first))
    ]
    return f"{findings.sentence(first.heading)} while training: {findings.joined(ends)}"


def _losses(curves: Sequence[Curve]) -> DrawnFigure | None:
    """Training loss against steps; None without curves."""
    if not curves:
        return None
    look = looks([curve.label for curve in curves])
    ends = {curve.label: (curve.loss[-1][0], _smooth([value for _, value in curve.loss])[-1]) for curve in curves}
    each = findings.joined([f"{label} at {loss:.2f} after {step:,} steps" for label, (step, loss) in ends.items()])
    title = f"Training loss ends with {each}; losses of different strategies have different scales"
    with figure_style():
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(COLUMN, 2.4), layout="constrained")
        for curve in curves:
            steps, values = zip(*curve.loss, strict=True)
            axes.plot(steps, values, color=look[curve.label].color, linewidth=0.4, alpha=0.3)
            axes.plot(steps, _smooth(values), color=look[curve.label].color, label=curve.label)
        axes.set_yscale("log")
        log_axis(axes.yaxis)
        axes.set_xlim(left=0)
        axes.set_xlabel("training steps")
        axes.set_ylabel("loss")
        figure.legend(loc="outside lower left", ncols=3, handlelength=1.4, columnspacing=1)
        return save_figure(figure, name="curves", title=title, alt=f"{title}. One line a strategy.")


def _smooth(values: Sequence[float]) -> list[float]:
    """Trailing mean over a fortieth of the points, at least three."""
    reach = max(3, len(values) // 40)
    return [sum(part) / len(part) for part in (values[max(0, n + 1 - reach) : n + 1] for n in range(len(values)))]


def _description(curves: Sequence[Curve], metrics: Sequence[ShownMetric]) -> str:
    each = []
    for curve in curves:
        ends = [f"{m.heading} {points[-1][1]:.{m.digits}f}" for m in metrics if (points := _points(curve, m))]
        each.append(f"{curve.label} ends at {', '.join(ends)}")
    return "; ".join(each) + "."
