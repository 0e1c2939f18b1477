"""Time against objects in an image, computed positions, batch size and image size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reports import findings
from reports.figures.drawing import DrawnFigure, log_axis, save_figure
from reports.metrics import in_task_order
from reports.report_data import ReportData, ReportRun
from reports.style import COLUMN, figure_style, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST = 4  # images in a bin


def objects_figure(report: ReportData) -> DrawnFigure | None:
    """Time against annotated objects of an image; None without samples or with too few images."""
    runs = [run for run in report.runs if run.timed and len(np.unique(_by_objects(run)["objects"])) > 1]
    if not runs:
        return None
    fits = {run.label: _slope(run) for run in runs}
    slopes = {label: slope for label, (slope, _) in fits.items()}
    title = _objects_title(fits)
    with figure_style():
        import matplotlib.pyplot as plt
        import seaborn
        from matplotlib.ticker import MaxNLocator

        figure, axes = plt.subplots(figsize=(COLUMN, 2.4), layout="constrained")
        look = looks([run.decoder for run in report.runs])
        for run in runs:
            mark = look[run.decoder]
            seaborn.lineplot(
                _by_objects(run),
                x="objects",
                y="milliseconds",
                errorbar=("ci", 95),
                seed=0,
                ax=axes,
                color=mark.color,
                marker=mark.marker,
                markeredgewidth=0,
                label=run.label,
                legend=False,
            )
        axes.set_yscale("log")
        _plain_numbers(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("objects in an image (annotated)")
        axes.set_ylabel("ms per image")
        figure.legend(loc="outside lower left", ncols=3, handlelength=1.4, columnspacing=1)
        each = "; ".join(f"{label} {slope:.2f} ms an object" for label, slope in slopes.items())
        return save_figure(figure, name="objects", title=title, alt=f"{title}. Slopes of straight lines: {each}.")


def _objects(run: ReportRun) -> NDArray[np.float64] | None:
    """(B,) annotated objects of every image; None if unknown or with fewer than three distinct values."""
    counts = run.objects
    if counts is None or "total" not in run.phases or len(counts) != len(run.phases["total"]):
        return None
    return counts if len(np.unique(counts)) > 2 else None


def _by_objects(run: ReportRun) -> dict[str, NDArray[np.float64]]:
    """``objects`` and ``milliseconds`` of images in bins of at least ``FEWEST`` images."""
    objects = _objects(run)
    if objects is None:
        return {"objects": np.zeros(0), "milliseconds": np.zeros(0)}
    binned = _binned(objects)
    values, counts = np.unique(binned, return_counts=True)
    frequent = np.isin(binned, values[counts >= FEWEST])
    return {"objects": binned[frequent], "milliseconds": np.asarray(run.phases["total"])[frequent]}


def _binned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values, or the middles of ten even bins if there are more than 12 distinct values."""
    if len(np.unique(values)) <= 12:
        return values
    edges = np.linspace(values.min(), values.max(), 11)
    place = np.clip(np.digitize(values, edges) - 1, 0, 9)
    middles: NDArray[np.float64] = (edges[place] + edges[place + 1]) / 2
    return middles


def _slope(run: ReportRun) -> tuple[float, float]:
    """Return the milliseconds that a further object takes, and half of the 95 % interval (normal errors)."""
    objects = _objects(run)
    if objects is None:
        return 0.0, float("inf")
    times = np.asarray(run.phases["total"])
    (slope, start), spread = np.polyfit(objects, times, 1), float(((objects - objects.mean()) ** 2).sum())
    left = float(((times - start - slope * objects) ** 2).sum()) / max(1, len(times) - 2)
    return float(slope), float(1.96 * np.sqrt(left / spread))


def _objects_title(fits: dict[str, tuple[float, float]]) -> str:
    """Name the steepest and the flattest slope, as far as their intervals exclude 0."""
    by_slope = sorted(fits, key=lambda label: -fits[label][0])
    ends = dict.fromkeys((by_slope[0], by_slope[-1]))
    resolved = [label for label in ends if abs(fits[label][0]) > fits[label][1]]
    effects = [f"{'costs' if fits[n][0] > 0 else 'saves'} {n} {abs(fits[n][0]):.1f} ms" for n in resolved]
    if not effects:
        return "Time does not depend measurably on the number of objects"
    return f"A further object {findings.joined(effects)}"


def positions_figure(report: ReportData) -> DrawnFigure | None:
    """Decoding time of every task against its computed positions; None if no run was timed with costs."""
    runs = [run for run in report.runs if run.timed and _lengths(run)]
    if not runs:
        return None
    title = _positions_title(runs)
    tasks = in_task_order(task for run in runs for _, _, task in _lengths(run))
    with figure_style():
        import matplotlib.pyplot as plt
        from matplotlib.lines import Line2D

        lines = (len(tasks) + 2) // 3
        size = (COLUMN, 0.6 + 1.2 * lines)
        figure, axes = plt.subplots(
            lines, 3, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
        )
        look = looks([run.decoder for run in report.runs])
        for task, panel in zip(tasks, axes.flat, strict=False):
            for run in runs:
                mark = look[run.decoder]
                for x, y, name in _lengths(run):
                    if name == task:
                        panel.plot(x, y, mark.marker, color=mark.color)
            panel.set_title(task, fontsize=6.5, fontweight="normal")
            panel.set(xscale="log", yscale="log")
        for panel in axes.flat:
            panel.margins(0.18)
        _plain_numbers(axes[0, 0])
        ticks = axes[0, 0].get_xticks()
        axes[0, 0].set_xticks(ticks[:: 1 + len(ticks) // 4])
        for panel in axes.flat[len(tasks) :]:
            panel.set_axis_off()
        lowest = (len(tasks) - 1) // 3 * 3
        axes.flat[lowest].set_xlabel("positions computed in an image", x=0, ha="left", fontsize=7)
        figure.supylabel("ms of decoding", fontsize=7)
        marks = [
            Line2D([], [], color=look[r.decoder].color, marker=look[r.decoder].marker, ls="", label=r.label)
            for r in runs
        ]
        figure.legend(handles=marks, loc="outside lower left", ncols=3, handlelength=1.4, columnspacing=1)
        each = "; ".join(
            f"{run.label}: " + ", ".join(f"{task} {x:.0f} positions {y:.1f} ms" for x, y, task in _lengths(run))
            for run in runs
        )
        return save_figure(figure, name="positions", title=title, alt=f"{title}. {each}.")


def _positions_title(runs: Sequence[ReportRun]) -> str:
    """Positions that a millisecond of decoding computes in the quickest and in the slowest run."""
    rates = {run.label: _rate(run) for run in runs}
    quickest, slowest = max(rates, key=lambda n: rates[n]), min(rates, key=lambda n: rates[n])
    title = f"A millisecond of decoding computes {rates[quickest]:.0f} positions in {quickest}"
    return title if quickest == slowest else f"{title}, {rates[slowest]:.1f} in {slowest}"


def _lengths(run: ReportRun) -> list[tuple[float, float, str]]:
    """Positions, milliseconds and name of every task that a run decodes."""
    phases = run.record["latency"]["phases"]
    return [
        (float(cost["positions"]), float(phases[f"decode.{task}"]["mean_ms"]), task)
        for task, cost in run.record.get("cost", {}).items()
        if cost["positions"] > 0 and f"decode.{task}" in phases
    ]


def _rate(run: ReportRun) -> float:
    lengths = _lengths(run)
    return sum(x for x, _, _ in lengths) / sum(y for _, y, _ in lengths)


def setting_figures(report: ReportData) -> list[DrawnFigure]:
    """Time against batch size and against image size, where runs of one strategy differ in nothing else."""
    ways = (
        ("batch", "images in a batch", _batch),
        ("side", "pixels of an image's side", _side),
    )
    return [drawn for name, label, of in ways if (drawn := _setting(name, label, of, report)) is not None]


def _setting(name: str, label: str, of: Callable[[ReportRun], float | None], report: ReportData) -> DrawnFigure | None:
    groups = _groups(name, of, [run for run in (*report.runs, *report.variants) if run.timed])
    if not groups:
        return None
    gains = {decoder: points[min(points)] / points[max(points)] for decoder, points in groups.items()}
    most = max(gains, key=lambda decoder: gains[decoder])
    span = f"from {min(groups[most]):g} to {max(groups[most]):g} {label}"
    title = f"{most}'s time per image changes by a factor of {1 / gains[most]:.2f} {span}"
    with figure_style():
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(COLUMN, 2.2), layout="constrained")
        look = looks([run.decoder for run in report.runs])
        for decoder, points in groups.items():
            x = sorted(points)
            mark = look[decoder]
            axes.plot(x, [points[value] for value in x], color=mark.color, marker=mark.marker, label=decoder)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        _plain_numbers(axes)
        axes.set_xlabel(label)
        axes.set_ylabel("ms per image")
        figure.legend(loc="outside lower left", ncols=3, handlelength=1.4, columnspacing=1)
        values = "; ".join(
            f"{decoder}: " + ", ".join(f"{x:g}: {findings.milliseconds(points[x])}" for x in sorted(points))
            for decoder, points in groups.items()
        )
        return save_figure(figure, name=name, title=title, alt=f"{title}. {values}.")


def _groups(
    name: str, of: Callable[[ReportRun], float | None], runs: Sequence[ReportRun]
) -> dict[str, dict[float, float]]:
    """Strategy to setting to milliseconds, from its largest group of runs that differ in this setting only."""
    sets: dict[str, dict[str, dict[float, list[float]]]] = {}
    for run in runs:
        value = of(run)
        if value is not None:
            rest = repr((_without(name, run.record["options"]), run.record["seed"], run.hardware))
            points = sets.setdefault(run.decoder, {}).setdefault(rest, {})
            points.setdefault(float(value), []).append(run.milliseconds)
    largest = {decoder: max(each.values(), key=len) for decoder, each in sets.items()}
    return {
        decoder: {value: sum(times) / len(times) for value, times in points.items()}
        for decoder, points in largest.items()
        if len(points) > 1
    }


def _without(name: str, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All options but the drawn one and those of the report."""
    drawn = {"batch": ("batch",), "side": ("image",)}[name]
    return sorted((key, repr(value)) for key, value in options.items() if key not in (*drawn, "report"))


def _batch(run: ReportRun) -> float | None:
    batch = run.record["latency"].get("batch")
    return None if batch is None else float(batch)


def _side(run: ReportRun) -> float | None:
    image = run.record["options"].get("image") or {}
    side = image.get("short") if image.get("transform") == "shortest_side" else image.get("side")
    return None if side is None else float(side)


def _plain_numbers(axes: Axes) -> None:
    """Set round numbers as ticks of log scales."""
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            log_axis(axis)


def figures(report: ReportData) -> Sequence[DrawnFigure]:
    """Every figure that the runs have data for."""
    return [figure for figure in (objects_figure(report), positions_figure(report), *setting_figures(report)) if figure]


NEEDS = {
    "objects": "runs with samples, of enough images that differ in their objects",
    "positions": "costs of tasks",
    "batch": "runs of one strategy that differ in --batch alone",
    "side": "runs of one strategy that differ in the image's size alone",
}


def absent(drawn: Sequence[DrawnFigure]) -> list[str]:
    """Notes on absent figures and the runs that they need."""
    names = {figure.name for figure in drawn}
    return [f"Left out: time against {name}; it needs {what}." for name, what in NEEDS.items() if name not in names]
