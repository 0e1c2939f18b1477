"""Where time goes: one stacked bar a strategy, from the encoder through every task's decoding."""

from __future__ import annotations

from collections.abc import Mapping

from reports.drawing import Drawn, finished
from reports.findings import milliseconds
from reports.material import Material, Run
from reports.overview import phase_name
from reports.style import COLUMN, GROUND, INK, PHASES, drawing

# Files, bookkeeping and a yardstick, which are not in the total; earlier records name some bookkeeping ``keep``.
OUTSIDE = ("read", "score", "keep", "loop", "calibration")


def phases_figure(material: Material) -> Drawn | None:
    """Stacked bars of mean milliseconds per image; None where nothing was encoded."""
    runs = [run for run in material.runs if run.encodes]
    if not runs:
        return None
    parts = {run.label: grouped(run) for run in runs}
    names = list(dict.fromkeys(name for each in parts.values() for name in each))
    decoding = {run.label: sum(v for n, v in parts[run.label].items() if n.startswith("decode")) for run in runs}
    title = _title(runs, decoding)
    with drawing():
        import matplotlib.pyplot as plt

        height = 0.75 + 0.27 * len(runs) + 0.14 * ((len(names) + 1) // 2)
        figure, axes = plt.subplots(figsize=(COLUMN, height), layout="constrained")
        for row, run in enumerate(runs):
            left = 0.0
            for place, name in enumerate(names):
                width = parts[run.label].get(name, 0.0)
                colour = PHASES[place % len(PHASES)]
                label = phase_name(name) if row == 0 else None
                axes.barh(
                    row, width, left=left, height=0.66, color=colour, edgecolor=GROUND, linewidth=0.4, label=label
                )
                left += width
            axes.annotate(
                milliseconds(left),
                (left, row),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6.5,
                color=INK,
            )
        axes.set_yticks(range(len(runs)), [run.label for run in runs])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.16)
        axes.set_xlabel("milliseconds per image")
        figure.legend(loc="outside lower left", ncols=2, handlelength=0.9, handleheight=0.9, columnspacing=1.2)
        return finished(figure, name="phases", title=title, alt=f"{title}. {_told(parts)}")


def grouped(run: Run) -> dict[str, float]:
    """Milliseconds of a run's phases, those of interpreting tokens taken together; reading files is left out."""
    found: dict[str, float] = {}
    for name, timing in run.record["latency"]["phases"].items():
        if name not in OUTSIDE:
            group = "interpret" if name.startswith("interpret.") else name
            found[group] = found.get(group, 0.0) + float(timing["mean_ms"])
    ordered = sorted(found, key=lambda name: (name.startswith("decode"), name == "interpret"))
    ordered.sort(key=lambda name: name == "interpret")
    return {name: found[name] for name in ordered}


def _title(runs: list[Run], decoding: Mapping[str, float]) -> str:
    shares = {run.label: decoding[run.label] / run.milliseconds for run in runs}
    most, least = max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])
    if most == least:
        return f"Decoding takes {shares[most]:.0%} of {most}'s time"
    return f"Decoding takes {shares[most]:.0%} of {most}'s time and {shares[least]:.0%} of {least}'s"


def _told(parts: Mapping[str, Mapping[str, float]]) -> str:
    each = []
    for label, phases in parts.items():
        largest = sorted(phases.items(), key=lambda item: -item[1])[:3]
        each.append(f"{label}: " + ", ".join(f"{phase_name(name)} {milliseconds(value)}" for name, value in largest))
    return "Largest phases: " + "; ".join(each) + "."
