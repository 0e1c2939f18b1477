"""The papers' ablation tables with our numbers beside the printed ones."""

from __future__ import annotations

from collections.abc import Sequence

from reports.claims import between
from reports.findings import joined, points, spread
from reports.metrics import ShownMetric, metric
from reports.report_data import TIME, Interval, ReportData
from reports.tables.table import Cell, Table, number, plain, words
from results.published import Ablation
from results.study import Outcome


def ablation_tables(ablations: Sequence[Ablation], report: ReportData) -> list[Table]:
    """Tables with at least one row of ours, in the papers' order."""
    return [table for ablation in ablations if (table := ablation_table(ablation, report)) is not None]


def open_ablations(ablations: Sequence[Ablation], report: ReportData) -> list[str]:
    """Titles of the tables without a row of ours."""
    return [
        f"{ablation.title} ({ablation.paper} {ablation.where})"
        for ablation in ablations
        if ablation_table(ablation, report) is None
    ]


def ablation_table(ablation: Ablation, report: ReportData) -> Table | None:
    """One table: a row a setting, ours and the paper's value of each metric side by side; None without rows of ours."""
    outcome: Outcome | None = report.outcomes.get(ablation.id)
    rows = list(outcome.points) if outcome else _of_runs(ablation, report)
    if not rows:
        return None
    headings, cells = ["setting"], [[words(name)] for name in [*rows, *_only_printed(ablation, rows)]]
    for key in ablation.headings:
        shown = None if key == TIME else metric(*key.split(".", 1))
        name = "ms/image" if shown is None else shown.heading
        headings += [name, f"{ablation.paper}: {name}"]
        for row, cell in enumerate(cells):
            setting = cell[0].text
            printed = ablation.rows.get(setting, {}).get(key)
            ours = _ours(setting, key, shown, report, outcome) if row < len(rows) else words("–")
            cells[row] = [*cell, ours, plain(printed, 0) if shown is None else number(shown, printed)]
    return Table(
        name=f"ablation-{ablation.id}",
        title=f"{ablation.title}: {_finding(ablation, rows, report, outcome)} ({ablation.paper}, {ablation.where})",
        headings=headings,
        rows=cells,
        notes=_notes(ablation, report, outcome),
    )


def _finding(ablation: Ablation, rows: Sequence[str], report: ReportData, outcome: Outcome | None) -> str:
    """The best setting in the first metric, and its lead over the next with its interval."""
    key = next((key for key in ablation.headings if key != TIME), "")
    if not key:
        return "times"
    shown = metric(*key.split(".", 1))
    values = {row: value for row in rows if (value := _ours(row, key, shown, report, outcome).value) is not None}
    if len(values) < 2:
        return f"{len(rows)} settings"
    best, runner_up = sorted(values, key=lambda row: values[row], reverse=shown.higher is not False)[:2]
    if outcome is not None:
        difference = between(outcome, runner_up, best, key)
    else:
        labels = {run.decoder: run.label for run in report.runs}
        difference = report.statistics.between(labels[runner_up], labels[best], key)
    if difference is None:
        return f"{best} has the best {shown.heading}, {shown.text(values[best])}; no interval"
    if not difference.significant:
        return (
            f"{best} and {runner_up} do not differ significantly in {shown.heading}, {shown.text(values[best])} at best"
        )
    return f"{best} leads, {points(difference, shown)} over {runner_up}"


def _of_runs(ablation: Ablation, report: ReportData) -> list[str]:
    """Settings that are strategies of these runs, if the table compares strategies and at least two were run."""
    decoders = [run.decoder for run in report.runs]
    strategies = [name for name in ablation.rows if name in decoders] if ablation.runs else []
    return strategies if len(strategies) > 1 else []


def _only_printed(ablation: Ablation, rows: Sequence[str]) -> list[str]:
    """Settings with printed numbers that were not run here."""
    return [name for name, values in ablation.rows.items() if values and name not in rows]


def _ours(setting: str, key: str, shown: ShownMetric | None, report: ReportData, outcome: Outcome | None) -> Cell:
    if outcome is not None:
        point = outcome.points[setting]
        value = point.milliseconds.get("total") if key == TIME else point.values.get(key)
        ends = point.intervals.get(key)
        source, interval = f"{outcome.name}: {setting}: {key}", None if ends is None else Interval(*ends)
    else:
        run = next(run for run in report.runs if run.decoder == setting)
        value = run.milliseconds if shown is None else shown.value(run.record)
        path = "latency.total.mean_ms" if shown is None else f"metrics.{key}"
        source, interval = f"{run.label}: {path}", report.statistics.interval(run.label, key)
    if shown is None:
        return plain(value, source=source)
    return number(shown, value, source=source, interval=spread(interval, shown))


def _notes(ablation: Ablation, report: ReportData, outcome: Outcome | None) -> list[str]:
    notes = [f"{ablation.paper}'s columns are as printed, on other data; a dash: not run, or not held here."]
    notes += [ablation.note] if ablation.note else []
    if outcome is not None:
        images = outcome.data.get("images")
        of = f"{images} images of " if images else ""
        roots = (
            joined(list(dict.fromkeys(str(outcome.data[n]) for n in ("coco", "nyu") if n in outcome.data))) or "data"
        )
        source = f"Ours: ablation {outcome.name}, {outcome.decoder}, {of}{roots} ({outcome.data.get('hash')})"
        notes.append(f"{source}; {outcome.method}." if outcome.method else f"{source}.")
        seeds = sorted({point.seeds for point in outcome.points.values()})
        if outcome.trained:
            counts = joined([str(number) for number in seeds])
            notes.append(f"Every setting was trained with {counts} seed{'' if seeds == [1] else 's'}.")
    elif report.statistics.method:
        notes.append(f"Ours: the runs of this report; {report.statistics.method}.")
    return notes
