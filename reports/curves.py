"""Learning curves (MAD, Figure 4): the score of every task against training steps, one line a strategy."""

from __future__ import annotations

from collections.abc import Sequence

from reports import findings
from reports.drawing import Drawn, finished
from reports.material import Curve, Material
from reports.metrics import AVERAGED, HEADLINE, Metric
from reports.style import COLUMN, drawing, looks

SHOWN = (*AVERAGED, HEADLINE[5])


def curves_figure(material: Material) -> Drawn | None:
    """Small panels, one a metric; None without an evaluation of a training."""
    metrics = [m for m in SHOWN if any(_known(curve, m) for curve in material.curves)]
    if not metrics:
        return None
    curves = [curve for curve in material.curves if any(_known(curve, metric) for metric in metrics)]
    look = looks([curve.label for curve in curves])
    title = _title(curves, metrics)
    with drawing():
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
                    panel.plot(x, y, color=mark.colour, marker=mark.marker, markersize=3, label=label)
            panel.set_title(metric.heading, fontsize=7, fontweight="normal")
            panel.margins(y=0.12)
            panel.set_xlim(left=0)
        for panel in axes.flat[len(metrics) :]:
            panel.set_axis_off()
        axes.flat[len(metrics) - 1].set_xlabel("training steps")
        figure.legend(loc="outside lower left", ncols=3, handlelength=1.4, columnspacing=1)
        return finished(figure, name="curves", title=title, alt=f"{title}. {_told(curves, metrics)}")


def _points(curve: Curve, metric: Metric) -> list[tuple[float, float]]:
    values = curve.scores.get(f"{metric.task} {metric.name}", [])
    pairs = zip(curve.steps, values, strict=False)
    return [(float(step), value * metric.factor) for step, value in pairs if value is not None]


def _known(curve: Curve, metric: Metric) -> bool:
    return bool(_points(curve, metric))


def _title(curves: Sequence[Curve], metrics: Sequence[Metric]) -> str:
    """Who leads in which metric at the last step that all of them reached."""
    steps = set.intersection(*(set(curve.steps) for curve in curves))
    if not steps or len(curves) < 2:
        return "Scores while training: " + findings.joined([curve.label for curve in curves])
    last = max(steps)
    leads: dict[str, list[str]] = {}
    for metric in metrics:
        values = {c.label: dict(_points(c, metric)).get(float(last)) for c in curves}
        known = {label: value for label, value in values.items() if value is not None}
        if known:
            best = (max if metric.higher else min)(known, key=lambda label: known[label])
            leads.setdefault(best, []).append(metric.heading)
    told = "; ".join(f"{label} in {findings.joined(names)}" for label, names in leads.items())
    return f"Ahead after {last:,} steps: {told}"


def _told(curves: Sequence[Curve], metrics: Sequence[Metric]) -> str:
    each = []
    for curve in curves:
        ends = [f"{m.heading} {points[-1][1]:.{m.digits}f}" for m in metrics if (points := _points(curve, m))]
        each.append(f"{curve.label} ends at {', '.join(ends)}")
    return "; ".join(each) + "."
