"""Plot a metric over past runs with characters, with the level of each segment and its change points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from results.history import HistoryEntry

HEIGHT = 10
MARK, LEVEL, CHANGE = "●", "─", "▲"


@dataclass(frozen=True)
class Series:
    """One metric of one decoder over time.

    Args:
        title: decoder, preset and, for times, machine.
        entries: runs in order.
        values: one value a run.
        levels: fitted level of each run.
        changes: indices of the runs at which a new level begins.
    """

    title: str
    entries: Sequence[HistoryEntry]
    values: Sequence[float]
    levels: Sequence[float]
    changes: Sequence[int]


def plot(series: Series, *, width: int) -> list[str]:
    """Lines of the plot: values, fitted levels, and a mark under each change point.

    Args:
        series: what to plot.
        width: columns of the terminal; the newest runs that fit are shown.
    """
    room = max(10, width - 14)
    first = max(0, len(series.values) - room)
    values, levels = series.values[first:], series.levels[first:]
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0

    def row(value: float) -> int:
        return round((HEIGHT - 1) * (value - low) / spread)

    grid = [[" "] * len(values) for _ in range(HEIGHT)]
    for column, (value, level) in enumerate(zip(values, levels, strict=True)):
        grid[min(HEIGHT - 1, max(0, row(level)))][column] = LEVEL
        grid[row(value)][column] = MARK
    lines = [series.title]
    for height in range(HEIGHT - 1, -1, -1):
        label = high if height == HEIGHT - 1 else low if height == 0 else None
        lines.append(f"{'' if label is None else f'{label:.5g}':>10} │{''.join(grid[height])}")
    marks = "".join(CHANGE if first + column in series.changes else " " for column in range(len(values)))
    lines.append(f"{'':>10} └{'─' * len(values)}")
    if marks.strip():
        lines.append(f"{'':>12}{marks}")
    return lines + changes(series)


def changes(series: Series) -> list[str]:
    """The change points and the latest value, in words."""
    lines = []
    for index in series.changes:
        before, now, entry = series.levels[index - 1], series.levels[index], series.entries[index]
        relative = f" ({100 * (now / before - 1):+.1f} %)" if before else ""
        lines.append(f"{CHANGE} {entry.date[:10]} {short(entry)}: {before:.5g} → {now:.5g}{relative}")
    last = series.entries[-1]
    lines.append(f"{len(series.values)} runs, the last on {last.date[:10]} at {short(last)}: {series.values[-1]:.5g}")
    return lines


def short(entry: HistoryEntry) -> str:
    """The first letters of the commit, with a plus for uncommitted changes."""
    return "no commit" if entry.commit is None else entry.commit[:9] + ("+" if entry.dirty else "")
