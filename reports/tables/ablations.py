"""The papers' ablation tables, filled by what was run here, with the printed numbers beside ours."""

from __future__ import annotations

from collections.abc import Sequence

from reports.claims import between
from reports.findings import joined, points, spread
from reports.metrics import Metric, metric
from reports.report_data import TIME, Interval, ReportData
from reports.tables.table import Cell, Table, number, plain, words
from results.ablation import Outcome
from results.published import Ablation


def ablation_tables(ablations: Sequence[Ablation], report: ReportData) -> list[Table]:
    """The tables for which there is at least one row of ours, in the papers' order."""
    return [table for one in ablations if (table := ablation_table(one, report)) is not None]


def open_ablations(ablations: Sequence[Ablation], report: ReportData) -> list[str]:
    """Titles of the tables for which nothing was run."""
    return [f"{one.title} ({one.paper} {one.where})" for one in ablations if ablation_table(one, report) is None]


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
    """Which setting is ahead in the first metric, by how much over the next, and whether that is more than chance."""
    key = next((key for key in ablation.headings if key != TIME), "")
    if not key:
        return "times"
    shown = metric(*key.split(".", 1))
    known = {row: value for row in rows if (value := _ours(row, key, shown, report, outcome).value) is not None}
    if len(known) < 2:
        return f"{len(rows)} settings"
    best, next_ = sorted(known, key=lambda row: known[row], reverse=shown.higher is not False)[:2]
    if outcome is not None:
        found = between(outcome, next_, best, key)
    else:
        labels = {run.decoder: run.label for run in report.runs}
        found = report.statistics.between(labels[next_], labels[best], key)
    if found is None:
        return f"{best} has the best {shown.heading}, {shown.text(known[best])}; no interval"
    if not found.significant:
        return f"{best} and {next_} cannot be told apart in {shown.heading}, {shown.text(known[best])} at best"
    return f"{best} leads, {points(found, shown)} over {next_}"


def _of_runs(ablation: Ablation, report: ReportData) -> list[str]:
    """Settings that are strategies and were run, where the table compares strategies; one alone compares nothing."""
    decoders = [run.decoder for run in report.runs]
    found = [name for name in ablation.rows if name in decoders] if ablation.runs else []
    return found if len(found) > 1 else []


def _only_printed(ablation: Ablation, rows: Sequence[str]) -> list[str]:
    """Settings of the paper that were not run here but have printed numbers."""
    return [name for name, values in ablation.rows.items() if values and name not in rows]


def _ours(setting: str, key: str, shown: Metric | None, report: ReportData, outcome: Outcome | None) -> Cell:
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
        told = f"Ours: ablation {outcome.name}, {outcome.decoder}, {of}{roots} ({outcome.data.get('hash')})"
        notes.append(f"{told}; {outcome.method}." if outcome.method else f"{told}.")
        seeds = sorted({point.seeds for point in outcome.points.values()})
        if outcome.trained:
            told = joined([str(number) for number in seeds])
            notes.append(f"Every setting was trained with {told} seed{'' if seeds == [1] else 's'}.")
    elif report.statistics.method:
        notes.append(f"Ours: the runs of this report; {report.statistics.method}.")
    return notes
