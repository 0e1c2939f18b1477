"""A report's summary for the terminal: the comparison table and a small plot of accuracy against time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from reports import findings
from reports.metrics import ShownMetric, average, averaged
from reports.report_data import ReportData, ReportRun
from reports.style import in_order
from reports.tables.comparison_tables import BRACKETS, comparison_table
from reports.tables.table import Cell, Table
from reports.terminal.console_table import console_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Rich
    from rich.text import Text

WIDTH, HEIGHT = 58, 11
INTERVALS = ("whole", "half", "none")  # as much of an interval as a line has room for
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def print_summary(report: ReportData, console: Console) -> None:
    """Print the main finding, the comparison table and the plot."""
    runs = in_order(report.runs)
    metrics = averaged([run.record for run in runs])
    console.print(findings.headline(runs, metrics, report.statistics), style="bold", highlight=False, markup=False)
    table = comparison_table(report)
    parts = _fitting(table, console)
    for part, intervals in parts:
        console.print(_console_table(part, intervals))
    shown = parts[0][1]
    notes = [note for note in table.notes if shown == "whole" or not note.startswith(BRACKETS)]
    notes += ["±: half of the interval's width."] if shown == "half" else []
    for note in notes:
        console.print(note, style="dim", highlight=False, markup=False)
    for line in frontier_plot(runs, metrics):
        console.print(line, highlight=False, markup=False)


def _fitting(table: Table, console: Console) -> list[tuple[Table, str]]:
    """The table with as much of its intervals as fits, or split into tables below each other if its values do not."""
    for intervals in INTERVALS:
        if _width(table, intervals, console) <= console.width:
            return [(table, intervals)]
    parts, first = [], 1
    while first < len(table.headings):
        last = first + 1
        while last < len(table.headings) and _width(_columns(table, first, last + 1), "none", console) <= console.width:
            last += 1
        parts.append((_columns(table, first, last), "none"))
        first = last
    return parts


def _columns(table: Table, first: int, last: int) -> Table:
    """The first column and the columns from ``first`` to before ``last``."""
    places = [0, *range(first, last)]
    return replace(
        table,
        headings=[table.headings[place] for place in places],
        rows=[[row[place] for place in places] for row in table.rows],
        words=[places.index(place) for place in table.words if place in places],
    )


def _width(table: Table, intervals: str, console: Console) -> int:
    return int(console.measure(_console_table(table, intervals), options=console.options.update(width=10_000)).maximum)


def _console_table(table: Table, intervals: str) -> Rich:
    console = console_table(table.headings, left=(0, *table.words), wrap=(0,), overflow="fold")
    for row in table.rows:
        console.add_row(*(_cell(cell, intervals) for cell in row))
    return console


def _cell(cell: Cell, intervals: str) -> Text:
    from rich.text import Text

    below = {"whole": cell.interval, "half": cell.reach, "none": ""}[intervals]
    text = Text(cell.text, style="bold" if cell.best else "")
    return text.append(f"\n{below}", style="dim") if below else text


def frontier_plot(runs: Sequence[ReportRun], metrics: Sequence[ShownMetric]) -> list[str]:
    """Lines of a small plot: time on a log scale, average accuracy upwards; empty with fewer than two timed runs."""
    scored = [(run, average(run.record, metrics)) for run in runs if run.timed]
    known = [(run, value * 100) for run, value in scored if value is not None]
    if len(known) < 2:
        return []
    times, values = [math.log(run.milliseconds) for run, _ in known], [value for _, value in known]
    front = findings.frontier(runs, metrics)
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    for letter, (run, value) in zip(LETTERS, known, strict=False):
        column = _place(math.log(run.milliseconds), min(times), max(times), WIDTH)
        row = HEIGHT - 1 - _place(value, min(values), max(values), HEIGHT)
        while grid[row][column] != " " and column + 1 < WIDTH:  # runs at one position stand side by side
            column += 1
        grid[row][column] = letter
    top, bottom = f"{max(values):5.1f}", f"{min(values):5.1f}"
    lines = []
    for number, cells in enumerate(grid):
        label = top if number == 0 else bottom if number == HEIGHT - 1 else " " * 5
        lines.append(f"{label} │{''.join(cells)}".rstrip())
    ends = [findings.milliseconds(math.exp(end)) for end in (min(times), max(times))]
    lines += [
        "      └" + "─" * WIDTH,
        " " * 7 + ends[0] + ends[1].rjust(WIDTH - len(ends[0])),
        " " * 7 + "per image, log scale",
    ]
    for letter, (run, _) in zip(LETTERS, known, strict=False):
        lines.append(f"  {letter}  {run.label}{' (on the frontier)' if run in front else ''}")
    return lines


def _place(value: float, low: float, high: float, size: int) -> int:
    return 0 if high <= low else round((value - low) / (high - low) * (size - 1))
