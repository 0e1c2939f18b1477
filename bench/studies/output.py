"""The page and the data of a study: one table of arms, one of contrasts, and the study's further tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from reports.findings import sentence
from reports.metrics import ShownMetric, metric
from reports.report_data import AVERAGE
from reports.tables.table import pipe_table
from results.published import PaperTable, paper_tables
from results.store import write_atomically
from results.study import ContrastResult, Outcome, Point

TIMES = "time."  # keys of ratios of times
NOTE = """Verdicts need p < 0.05 after Holm's correction over these contrasts; those with "within" need their interval
inside the margin. Resolvable: the smallest effect that this design finds with 80 % power, before the correction.
"Method" intervals cover training seeds and images; those of "these weights" cover images alone."""


def write_study(out: Path, outcome: Outcome, published: Sequence[str] = (), sections: Sequence[str] = ()) -> Path:
    """Write ``<name>.md`` and ``<name>.json`` and return the page.

    Args:
        out: folder.
        outcome: of the study.
        published: ids of tables of the papers that are shown beside; default: those that link to the study.
        sections: further Markdown below the table of arms.
    """
    data = msgspec.json.format(msgspec.json.encode(outcome), indent=1)
    write_atomically(out / f"{outcome.name}.json", data + b"\n")
    write_atomically(out / f"{outcome.name}.md", page(outcome, published, sections).encode())
    return out / f"{outcome.name}.md"


def page(outcome: Outcome, published: Sequence[str] = (), sections: Sequence[str] = ()) -> str:
    """Return the page as Markdown."""
    parts = [f"# {sentence(outcome.title)}", _summary(outcome), _arms(outcome, published), *sections]
    if outcome.contrasts:
        parts.append(_contrasts(outcome.contrasts))
    parts += [f"Failed: {name}: {error}." for name, error in outcome.failed.items()]
    return "\n\n".join(parts) + "\n"


def _summary(outcome: Outcome) -> str:
    images, roots = outcome.data.get("images"), [str(outcome.data[n]) for n in ("coco", "nyu") if n in outcome.data]
    named = f" of {' and '.join(dict.fromkeys(roots))}" if roots else ""
    of = f"{images} images{named} ({outcome.data.get('hash')}), " if images else ""
    seeds = sorted({point.seeds for point in outcome.points.values()})
    weights = "trained anew" if outcome.trained else "shipped weights"
    lines = [f"{of}{outcome.decoder}, {weights}, {' or '.join(map(str, seeds))} seed{'' if seeds == [1] else 's'}."]
    lines.append("Metrics × 100, depth errors in meters; ± is the standard deviation over seeds.")
    lines += [f"Intervals: {outcome.method}."] if outcome.method else []
    cpu, threads = outcome.environment.get("cpu"), outcome.environment.get("threads")
    lines += [f"Times: batch as recorded, {cpu}, threads: {threads}."] if cpu and _timed(outcome) else []
    return "\n".join([*lines, f"Written by `{outcome.command or f'python -m bench study {outcome.name}'}`."])


def _timed(outcome: Outcome) -> bool:
    return any(point.milliseconds.get("total") for point in outcome.points.values())


def _arms(outcome: Outcome, published: Sequence[str]) -> str:
    study = outcome.name
    papers = [table for table in paper_tables().values() if table.id in published or study in table.links]
    keys = list(dict.fromkeys(key for point in outcome.points.values() for key in point.values if key != AVERAGE))
    headings, timed = [""], _timed(outcome)
    for key in keys:
        heading = shown(key).heading
        headings += [
            heading,
            *(f"{table.paper} {table.where}: {heading}" for table in papers if _has(table, key, study)),
        ]
    rows = []
    for name, point in outcome.points.items():
        row = [name]
        for key in keys:
            there = name if key in point.values else ""
            printed = [table.printed(there, key, study) for table in papers if _has(table, key, study)]
            row += [_value(point, key), *map(shown(key).text, printed)]
        rows.append([*row, f"{point.milliseconds.get('total', 0):.1f}"] if timed else row)
    return pipe_table([*headings, "ms/image"] if timed else headings, rows)


def _has(table: PaperTable, key: str, study: str) -> bool:
    return any(table.printed(row, key, study) is not None for row in table.rows)


def shown(key: str) -> ShownMetric:
    """Return how a ``task.metric`` is shown."""
    return metric(*key.split(".", 1))


def _value(point: Point, key: str) -> str:
    value = shown(key).text(point.values.get(key))
    if key in point.deviations:
        return f"{value} ± {shown(key).text(point.deviations[key])}"
    if key in point.intervals:
        low, high = point.intervals[key]
        return f"{value} ({shown(key).text(low)} … {shown(key).text(high)})"
    return value


def _contrasts(contrasts: Sequence[ContrastResult]) -> str:
    rows = []
    for contrast in contrasts:
        effect = partial(effect_text, contrast.key)
        seeds = f"{contrast.seeds} seed{'' if contrast.seeds == 1 else 's'}"
        rows.append(
            [
                contrast.name,
                "ms" if contrast.key.startswith(TIMES) else shown(contrast.key).heading,
                paper_text(contrast),
                f"{effect(contrast.value)} ({effect(contrast.low)} … {effect(contrast.high)})",
                "–" if contrast.p_holm is None else f"{contrast.p_holm:.2g}",
                "–" if contrast.resolvable is None else effect(contrast.resolvable).lstrip("+"),
                contrast.verdict,
                "method" if contrast.scope == "method" else "these weights",
                seeds,
            ]
        )
    headings = ["contrast", "metric", "paper", "here (95 %)", "p (Holm)", "resolvable", "verdict", "holds for", "seeds"]
    return f"{pipe_table(headings, rows, left=(0, 1, 6, 7))}\n\n{NOTE}"


def paper_text(contrast: ContrastResult) -> str:
    """Return the paper's effect as text, with the margin of a claim that nothing changes."""
    paper = effect_text(contrast.key, contrast.paper) if isinstance(contrast.paper, float) else contrast.paper or ""
    if contrast.within is None:
        return paper or "–"
    times = contrast.key.startswith(TIMES)
    margin = f"{1 + contrast.within:.3g}×" if times else effect_text(contrast.key, contrast.within).lstrip("+")
    return f"{paper} within ±{margin}".strip()


def effect_text(key: str, value: float) -> str:
    """Return a difference of a metric with its sign, or a ratio of times."""
    return f"{value:.3g}×" if key.startswith(TIMES) else shown(key).signed(value)
