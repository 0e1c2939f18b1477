"""A report's summary for the terminal: the comparison table and a small plot of accuracy against time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports import findings
from reports.material import Material, Run
from reports.metrics import Metric, average, averaged
from reports.overview import comparison_table
from reports.style import in_order

if TYPE_CHECKING:
    from rich.console import Console

WIDTH, HEIGHT = 58, 11
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def print_summary(material: Material, console: Console) -> None:
    """Print the main finding, the comparison table and the plot."""
    from rich import box
    from rich.table import Table

    runs = in_order(material.runs)
    metrics = averaged([run.record for run in runs])
    console.print(findings.headline(runs, metrics, material.statistics), style="bold", highlight=False)
    table = comparison_table(material)
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for place, heading in enumerate(table.headings):
        shown.add_column(heading, justify="left" if place in (0, *table.words) else "right", no_wrap=True)
    for row in table.rows:
        cells = [f"{cell.text}\n[dim]{cell.interval}[/dim]" if cell.interval else cell.text for cell in row]
        shown.add_row(*(f"[bold]{text}[/bold]" if cell.best else text for text, cell in zip(cells, row, strict=True)))
    console.print(shown)
    for line in frontier_plot(runs, metrics):
        console.print(line, highlight=False, markup=False)


def frontier_plot(runs: Sequence[Run], metrics: Sequence[Metric]) -> list[str]:
    """Lines of a small plot, time on a log scale to the right, average accuracy up; empty with fewer than two runs."""
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
        while grid[row][column] != " " and column + 1 < WIDTH:  # two in one place stand side by side
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
        " " * 7 + ends[0] + ends[1].rjust(WIDTH - len(ends[0])) + "  per image, log scale",
    ]
    for letter, (run, _) in zip(LETTERS, known, strict=False):
        lines.append(f"  {letter}  {run.label}{' (on the frontier)' if run in front else ''}")
    return lines


def _place(value: float, low: float, high: float, size: int) -> int:
    return 0 if high <= low else round((value - low) / (high - low) * (size - 1))
