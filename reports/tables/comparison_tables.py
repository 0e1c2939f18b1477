"""Tables that compare runs: headline metrics and time (MAD Tables 1 and 2), and every metric of each task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reports import findings
from reports.checks import doubtful_times
from reports.findings import joined, reach, sentence, spread
from reports.metrics import ShownMetric, headline, in_task_order, metric
from reports.report_data import TIME, ReportData, ReportRun, one_machine
from reports.style import looks
from reports.tables.table import Cell, Table, number, plain, words

BRACKETS = "In brackets"  # how the note on intervals begins
BOLD = "Bold: significantly better than every other strategy."
# COCO's sizes of objects, by the metrics that are of one size alone.
SIZES = {
    ("APs", "ARs"): "less than 32 × 32 pixels",
    ("APm", "ARm"): "between 32 × 32 and 96 × 96 pixels",
    ("APl", "ARl"): "more than 96 × 96 pixels",
}


def comparison_table(report: ReportData) -> Table:
    """One row a run: backbone, parameters, time and every task's headline metrics with intervals."""
    runs = report.runs
    columns = headline([run.record for run in runs])
    backbones = _differ([_backbone(run) for run in runs if run.encodes])
    sizes = _differ([_parameters(run) for run in runs if run.encodes])
    headings = ["strategy", *(["backbone"] if backbones else []), *(["parameters"] if sizes else []), "ms/image"]
    look = looks([run.decoder for run in runs])
    rows = []
    for run in runs:
        row = [words(run.label, swatch=look[run.decoder].color)]
        row += [words(_backbone(run) if run.encodes else "–")] if backbones else []
        row += [_millions(_parameters(run), run)] if sizes else []
        rows.append([*row, _time(run, report), *(_score(run, column, report) for column in columns)])
    return Table(
        name="comparison",
        title=_title(report, columns),
        headings=[*headings, *(column.heading for column in columns)],
        rows=rows,
        notes=_comparison_notes(report, columns),
        words=(1,) if backbones else (),
    )


def variants_table(report: ReportData) -> Table | None:
    """Further runs of the same strategies; None without any."""
    if not report.variants:
        return None
    table = comparison_table(replace(report, runs=report.variants))
    return replace(
        table,
        name="variants",
        title=f"{len(report.variants)} further runs of the same strategies",
        rows=[[replace(cell, best=False) for cell in row] for row in table.rows],
        notes=[],
    )


def _title(report: ReportData, columns: Sequence[ShownMetric]) -> str:
    if not report.statistics.comparisons:
        return f"Accuracy and time of {joined([run.label for run in report.runs])}"
    return findings.leaders(report.runs, columns, lambda run, column: is_best(run, column, report))


def _score(run: ReportRun, column: ShownMetric, report: ReportData) -> Cell:
    value, interval = column.value(run.record), report.statistics.interval(run.label, column.key)
    if column.task not in run.record["metrics"]:
        return words("off")
    return number(
        column,
        value,
        source=f"{run.label}: metrics.{column.task}.{column.name}",
        interval=spread(interval, column),
        reach=reach(interval, column),
        best=is_best(run, column, report),
    )


def is_best(run: ReportRun, column: ShownMetric, report: ReportData) -> bool:
    """Whether a run is significantly better than every other; the oracle takes no part."""
    others = [other for other in report.runs if other.encodes and other is not run]
    if column.higher is None or not others or not run.encodes:
        return False
    for other in others:
        difference = report.statistics.between(other.label, run.label, column.key)
        if difference is None or not difference.significant or (difference.value > 0) != column.higher:
            return False
    return True


def _time(run: ReportRun, report: ReportData) -> Cell:
    interval = report.statistics.interval(run.label, TIME)
    text = f"({interval.low:.1f}–{interval.high:.1f})" if interval else ""
    half = f"±{(interval.high - interval.low) / 2:.1f}" if interval else ""
    if not run.timed:
        return words("–")
    others = [other for other in report.runs if other.timed and other is not run]
    differences = [report.statistics.between(other.label, run.label, TIME) for other in others]
    best = bool(differences) and all(
        difference is not None and difference.significant and difference.value > 1 for difference in differences
    )
    best = best and one_machine(report.runs) and not any(each.disturbed for each in (run, *others))
    return plain(run.milliseconds, source=f"{run.label}: latency.total.mean_ms", interval=text, reach=half, best=best)


def _comparison_notes(report: ReportData, columns: Sequence[ShownMetric]) -> list[str]:
    first = report.runs[0].record
    unit = f"time is wall clock at batch {first['latency'].get('batch', 1)}"
    notes = [f"{first['images']} images. Fractions × 100, depth errors in meters; {unit}."]
    notes += [f"{task}: {each['scored']}." for task, each in first.get("notes", {}).items() if "scored" in each]
    if report.statistics.intervals:
        notes.append(f"{BRACKETS}: {report.statistics.method}. {BOLD}")
    else:
        notes.append(f"No intervals: {report.missing.get('statistics', 'none were computed')}.")
    shared = _alike(report.runs)
    notes += [f"All strategies: {shared}."] if shared else []
    ceilings = [run.label for run in report.runs if not run.encodes]
    if ceilings:
        notes.append(f"{joined(ceilings)}: the ground truth's own tokens, the ceiling of the tokenization.")
    if not one_machine(report.runs):
        notes.append("Times come from different machines and are not comparable.")
    return notes + doubtful_times([run for run in report.runs if run.timed])


def detail_tables(report: ReportData) -> list[Table]:
    """Every metric of every task, one table a task: the 12 COCO numbers, captions, depth (AiT Table 12)."""
    tables = []
    for task in in_task_order(task for run in report.runs for task in run.record["metrics"]):
        runs = [run for run in report.runs if task in run.record["metrics"]]
        names = dict.fromkeys(name for run in runs for name in run.record["metrics"][task])
        columns = [metric(task, name) for name in names]
        look = looks([run.decoder for run in report.runs])
        rows = [
            [words(run.label, swatch=look[run.decoder].color), *(_score(run, column, report) for column in columns)]
            for run in runs
        ]
        tables.append(
            Table(
                name=f"detail-{task}",
                title=_leads(task, runs, report),
                headings=["strategy", *(column.heading for column in columns)],
                rows=rows,
                notes=[
                    *_units(columns),
                    *_detail_intervals(columns, runs, report),
                    *_undefined(columns, runs),
                    *_absent(task, runs),
                ],
                section=task,
            )
        )
    return tables


def _units(columns: Sequence[ShownMetric]) -> list[str]:
    """Units of these columns, as a note."""
    fractions = any(column.factor == 100 for column in columns)
    plain = [column.heading for column in columns if column.factor != 100 and not column.heading.endswith(" m")]
    units = ["Fractions are shown × 100"] if fractions else []
    units += ["errors that end in m are meters"] if any(c.heading.endswith(" m") for c in columns) else []
    units += [f"{joined(plain)} as they are"] if plain else []
    text = "; ".join(units)
    return [f"{sentence(text)}."] if text else []


def _detail_intervals(columns: Sequence[ShownMetric], runs: Sequence[ReportRun], report: ReportData) -> list[str]:
    """Method of the intervals, and the columns without any."""
    statistics = report.statistics
    if not statistics.intervals:
        return []
    without = [
        column.heading
        for column in columns
        if any(column.value(run.record) is not None for run in runs)
        and not any(statistics.interval(run.label, column.key) for run in runs)
    ]
    lacking = f" No interval was computed for {joined(without)}." if without else ""
    return [f"{BRACKETS}: {statistics.method}. {BOLD}{lacking}"]


def _undefined(columns: Sequence[ShownMetric], runs: Sequence[ReportRun]) -> list[str]:
    """Notes on columns of object sizes that are empty."""
    empty = {column.name: column.heading for column in columns if all(column.value(run.record) is None for run in runs)}
    notes = []
    for letters, size in SIZES.items():
        names = [heading for name, heading in empty.items() if name in letters]
        if names:
            notes.append(f"{joined(names)}: a dash, because the data has no objects of that size ({size}).")
    return notes


def _leads(task: str, runs: Sequence[ReportRun], report: ReportData) -> str:
    """A title: the leader in the task's first metric and whether its lead is significant."""
    columns = [column for column in headline([run.record for run in runs]) if column.task == task]
    column = next((c for c in columns if c.higher is not None), None)
    scored = [run for run in runs if column and run.encodes and column.value(run.record) is not None]
    name = sentence(task)
    if column is None or not scored:
        return f"{name}: every metric"
    ordered = sorted(scored, key=lambda run: column.value(run.record) or 0.0, reverse=bool(column.higher))
    best = ordered[0]
    value = f"{column.text(column.value(best.record))} {column.heading}"
    if len(ordered) == 1:
        return f"{name}: {best.label} reaches {value}"
    difference = report.statistics.between(ordered[1].label, best.label, column.key)
    if difference is None:
        return f"{name}: {best.label} has the best value, {value}"
    if difference.significant:
        return f"{name}: {best.label} leads with {value}, {findings.points(difference, column)} over {ordered[1].label}"
    equal = [run.label for run in ordered if run is best or _equal(run, best, column, report)]
    return f"{name}: {joined(equal)} do not differ significantly at the top, {value} at best"


def _equal(run: ReportRun, best: ReportRun, column: ShownMetric, report: ReportData) -> bool:
    difference = report.statistics.between(best.label, run.label, column.key)
    return difference is not None and not difference.significant


def _absent(task: str, runs: Sequence[ReportRun]) -> list[str]:
    lines: dict[str, None] = {}
    for run in runs:
        notes = run.record.get("notes", {}).get(task, {})
        lines |= dict.fromkeys(f"{name}: {text}." for name, text in notes.items())
    return list(lines)


def _millions(parameters: float | None, run: ReportRun) -> Cell:
    if parameters is None:
        return words("–")
    return Cell(text=f"{parameters / 1e6:.1f} M", value=float(parameters), source=f"{run.label}: parameters")


def _parameters(run: ReportRun) -> float | None:
    parameters = run.record.get("parameters")
    return None if parameters is None else float(parameters)


def _backbone(run: ReportRun) -> str:
    return str(run.record["options"].get("network", {}).get("backbone", ""))


def _differ(values: Sequence[Any]) -> bool:
    """Whether values differ, so that they need a column and not a note."""
    return len(set(values)) > 1


def _alike(runs: Sequence[ReportRun]) -> str:
    """Backbone and parameters that all strategies share, as a note."""
    encoding = [run for run in runs if run.encodes]
    backbones, sizes = {_backbone(run) for run in encoding}, {_parameters(run) for run in encoding}
    parts = [f"backbone {name}" for name in backbones if name and len(backbones) == 1]
    parts += [f"{size / 1e6:.1f} M parameters" for size in sizes if size is not None and len(sizes) == 1]
    return ", ".join(parts)
