"""Published systems with their sources."""

from __future__ import annotations

from collections.abc import Sequence

from reports.metrics import HEADLINE
from reports.tables.table import Cell, Table, number, plain, words
from results.published import System


def published_table(systems: Sequence[System]) -> Table:
    """One row a system, with a dash for what its source does not print."""
    columns = [metric for metric in HEADLINE if any(metric.key in system.metrics for system in systems)]
    rows = []
    for system in systems:
        row = [words(f"{system.name} ({system.year})"), words(system.decoder), _size(system.parameters)]
        row += [plain(system.seconds, 2), *(number(column, system.metrics.get(column.key)) for column in columns)]
        rows.append([*row, words(system.data or "–"), words(system.source)])
    width = 4 + len(columns)
    return Table(
        name="published",
        title="Published systems, on other hardware and data: not comparable with what was measured here",
        headings=["system", "decoder", "parameters", "s/image", *(c.heading for c in columns), "data", "source"],
        rows=rows,
        notes=[
            "As printed in the sources: COCO val2017, Karpathy captions and NYUv2 unless the source says otherwise.",
            *(f"{system.name}: {system.hardware}." for system in systems if system.hardware),
            *(f"{system.name}: {system.caveat}." for system in systems if system.caveat),
        ],
        words=(1, width, width + 1),
        wide=(width, width + 1),
    )


def _size(parameters: float | None) -> Cell:
    if parameters is None:
        return words("–")
    text = f"{parameters / 1e9:.1f} B" if parameters >= 1e9 else f"{parameters / 1e6:.0f} M"
    return Cell(text=text, value=parameters)
