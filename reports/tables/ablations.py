"""The tables of the two papers, all their rows, with our numbers beside the printed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.findings import joined, points, sentence, spread
from reports.metrics import metric
from reports.report_data import TIME, Interval, MetricDifference, ReportData
from reports.tables.table import Cell, Table, number, plain, words
from results.published import CITATIONS, PaperTable
from results.study import Outcome

RUNS = "runs"  # link of a table to the strategies of ordinary runs
RECONSTRUCTION = "reconstruction."


def paper_tables(tables: Mapping[str, PaperTable], report: ReportData) -> list[Table]:
    """Every table as printed, once for each study that repeats it."""
    drawn = []
    for table in tables.values():
        sources = [source for name in table.links if (source := _source(table, name, report)) is not None]
        drawn += [_repeated(source) for source in sources] or [_as_printed(table)]
    return drawn


@dataclass(frozen=True)
class _Source:
    """Our numbers beside a table: of a study, or of the runs of a report.

    Args:
        table: the paper's.
        study: the link that the numbers fill.
        arms: in order.
        report: of the page.
        outcome: of the study; None for runs.
    """

    table: PaperTable
    study: str
    arms: Sequence[str]
    report: ReportData
    outcome: Outcome | None

    def cell(self, arm: str, key: str) -> Cell:
        """Our value."""
        shown = None if key == TIME else metric(*key.split(".", 1))
        if self.outcome is not None:
            point = self.outcome.points[arm]
            value = point.milliseconds.get("total") if shown is None else point.values.get(key)
            ends = point.intervals.get(key)
            source, interval = f"{self.outcome.name}: {arm}: {key}", None if ends is None else Interval(*ends)
        else:
            run = next(run for run in self.report.runs if run.decoder == arm)
            value = run.milliseconds if shown is None else shown.value(run.record)
            path = "latency.total.mean_ms" if shown is None else f"metrics.{key}"
            source, interval = f"{run.label}: {path}", self.report.statistics.interval(run.label, key)
        if shown is None:
            return plain(value, source=source)
        return number(shown, value, source=source, interval=spread(interval, shown))

    def difference(self, first: str, second: str, key: str) -> MetricDifference | None:
        """``second`` against ``first``; None if they were not compared."""
        if self.outcome is not None:
            return _between(self.outcome, first, second, key)
        labels = {run.decoder: run.label for run in self.report.runs}
        return self.report.statistics.between(labels[first], labels[second], key)


def _source(table: PaperTable, study: str, report: ReportData) -> _Source | None:
    """Our numbers of one link; None if the study or fewer than two of the strategies were run."""
    if study != RUNS:
        outcome = report.outcomes.get(study)
        return None if outcome is None else _Source(table, study, list(outcome.points), report, outcome)
    arms = [run.decoder for run in report.runs if table.row_of(run.decoder, RUNS) in table.rows]
    return _Source(table, RUNS, arms, report, None) if len(arms) > 1 else None


def _as_printed(table: PaperTable) -> Table:
    """The paper's table alone."""
    return Table(
        name=f"paper-{table.id}",
        title=f"{sentence(table.title)}: {table.paper}, {table.where}, as printed",
        headings=["row", *map(_heading, table.columns)],
        rows=[[words(row), *(_printed(table, row, column) for column in table.columns)] for row in table.rows],
        notes=[f"{CITATIONS[table.paper]}. Not repeated here.", *([table.note] if table.note else [])],
        words=[1 + place for place, column in enumerate(table.columns) if "." not in column],
    )


def _repeated(source: _Source) -> Table:
    """A row a setting, ours and the paper's values side by side, then the rows that only the paper has."""
    table, study = source.table, source.study
    shown = [table.row_of(arm, study) for arm in source.arms]
    rest = [row for row in table.rows if row not in shown]
    rows = [[words(name)] for name in [*source.arms, *rest]]
    prefix = table.links[study].prefix
    headings = ["setting"]
    for column in table.columns:
        key = column.removeprefix(prefix)
        ours = column.startswith(prefix) and "." in key and not key.startswith(RECONSTRUCTION)
        headings += [*([_heading(key)] if ours else []), f"{table.paper}: {_heading(column)}"]
        printed = [_beside(source, arm, column, shown) for arm in source.arms]
        cells = [*printed, *(_printed(table, name, column) for name in rest)]
        mine = [*(source.cell(arm, key) for arm in source.arms), *(words("–") for _ in rest)] if ours else []
        rows = [[*row, *mine[place : place + 1], cells[place]] for place, row in enumerate(rows)]
    return Table(
        name=f"ablation-{table.id}-{study}",
        title=f"{sentence(table.title)}: {_finding(source)} ({table.paper}, {table.where})",
        headings=headings,
        rows=rows,
        notes=_notes(source),
    )


def _beside(source: _Source, arm: str, column: str, shown: Sequence[str]) -> Cell:
    """The printed cell beside an arm; arms that share a row show what they have a value of."""
    table, study = source.table, source.study
    row, key = table.row_of(arm, study), column.removeprefix(table.links[study].prefix)
    shared = shown.count(row) > 1 and (key == TIME or "." in key)
    return words("–") if shared and source.cell(arm, key).value is None else _printed(table, row, column)


def _printed(table: PaperTable, row: str, column: str) -> Cell:
    values = table.rows.get(row)
    value = None if values is None else values[table.columns.index(column)]
    if isinstance(value, str):
        return words(value)
    key = column.removeprefix(RECONSTRUCTION)
    return plain(value, 0) if key == TIME or "." not in key else number(metric(*key.split(".", 1)), value)


def _heading(column: str) -> str:
    key = column.removeprefix(RECONSTRUCTION)
    name = "ms/image" if key == TIME else metric(*key.split(".", 1)).heading if "." in key else key
    return name if key == column else f"reconstruction {name}"


def _finding(source: _Source) -> str:
    """The best setting in the first metric, and its lead over the next with its interval."""
    prefix = source.table.links[source.study].prefix
    keys = [column.removeprefix(prefix) for column in source.table.columns if column.startswith(prefix)]
    key = next((key for key in keys if "." in key and key != TIME and not key.startswith(RECONSTRUCTION)), "")
    if not key:
        return "times"
    shown = metric(*key.split(".", 1))
    values = {arm: value for arm in source.arms if (value := source.cell(arm, key).value) is not None}
    if len(values) < 2:
        return f"{len(source.arms)} settings"
    best, runner_up = sorted(values, key=lambda arm: values[arm], reverse=shown.higher is not False)[:2]
    difference = source.difference(runner_up, best, key)
    if difference is None:
        return f"{best} has the best {shown.heading}, {shown.text(values[best])}; no interval"
    if not difference.significant:
        text = shown.text(values[best])
        return f"{best} and {runner_up} do not differ significantly in {shown.heading}, {text} at best"
    return f"{best} leads, {points(difference, shown)} over {runner_up}"


def _between(outcome: Outcome, first: str, second: str, key: str) -> MetricDifference | None:
    """``second`` against ``first`` in a study, not significant if seeds disagree; None if not compared."""
    for pair in outcome.differences:
        if pair.key == key and {pair.first, pair.second} == {first, second}:
            interval = Interval(pair.low, pair.high)
            if pair.agreeing is False:  # the seeds contradict each other
                interval = Interval(min(pair.low, 0.0), max(pair.high, 0.0)) if key != TIME else Interval(0.0, 2.0)
            difference = MetricDifference(
                first=pair.first, second=pair.second, key=key, value=pair.value, interval=interval
            )
            return difference if difference.first == first else difference.swapped()
    return None


def _notes(source: _Source) -> list[str]:
    table, outcome = source.table, source.outcome
    notes = [f"{table.paper}'s columns are as printed, on other data: {CITATIONS[table.paper]}."]
    notes += [table.note] if table.note else []
    if outcome is None:
        method = source.report.statistics.method
        return [*notes, f"Ours: the runs of this report; {method}."] if method else notes
    images = outcome.data.get("images")
    of = f"{images} images of " if images else ""
    roots = joined(list(dict.fromkeys(str(outcome.data[n]) for n in ("coco", "nyu") if outcome.data.get(n)))) or "data"
    content = f" ({outcome.data['hash']})" if outcome.data.get("hash") else ""
    text = f"Ours: study {outcome.name}, {outcome.decoder}, {of}{roots}{content}"
    notes.append(f"{text}; {outcome.method}." if outcome.method else f"{text}.")
    seeds = sorted({point.seeds for point in outcome.points.values()})
    if outcome.trained:
        counts = joined([str(count) for count in seeds])
        notes.append(f"Every setting was trained with {counts} seed{'' if seeds == [1] else 's'}.")
    return notes
