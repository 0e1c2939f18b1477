"""Write the README's figure and table between its markers, from the data of a report."""

from __future__ import annotations

import html
from pathlib import Path

from reports import findings
from reports.errors import ReportError
from reports.figures.frontier import frontier_figure
from reports.metrics import averaged
from reports.report_data import ReportData
from reports.style import FAINT, GROUND, INK
from reports.tables.comparison_tables import comparison_table
from reports.tables.table import as_csv, latex, markdown
from results.published import systems
from results.store import write_atomically

START, END = "<!-- report -->", "<!-- /report -->"
_THEMES = {
    "light": {INK: "#16191d", FAINT: "#b9bfc6", GROUND: "#ffffff"},
    "dark": {INK: "#e9ecef", FAINT: "#4a525b", GROUND: "#0d1117"},
}


def write_readme(report: ReportData, readme: Path, *, figures: Path, tables: Path) -> None:
    """Replace what stands between the markers, and write the files that it shows.

    Args:
        report: of the report.
        readme: file with the two markers, each on its own line.
        figures: folder for the figure, below the README's.
        tables: folder for the table's twins.

    Raises:
        ReportError: if the file has no markers, or nothing can be drawn.
    """
    text = readme.read_text()
    before, start, rest = text.partition(f"{START}\n")
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ReportError(f"{readme.name}: no lines {START} and {END}; add them where the figure and the table belong")
    drawn = frontier_figure(report, systems())
    if drawn is None:
        raise ReportError("no run has both a time and an average accuracy, so there is no figure; give timed runs")
    table = comparison_table(report)
    for suffix, make in {"md": markdown, "csv": as_csv, "tex": latex}.items():
        write_atomically(tables / f"{table.name}.{suffix}", make(table).encode())
    for theme, colors in _THEMES.items():
        svg = drawn.files["svg"].decode()
        for placeholder, color in colors.items():
            svg = svg.replace(placeholder, color)
        write_atomically(figures / f"{drawn.name}-{theme}.svg", svg.encode())
    path = figures.relative_to(readme.parent).as_posix() if figures.is_relative_to(readme.parent) else figures.name
    title = findings.headline(report.runs, averaged([run.record for run in report.runs]), report.statistics)
    block = (
        f'<picture>\n<source media="(prefers-color-scheme: dark)" srcset="{path}/{drawn.name}-dark.svg">\n'
        f'<img alt="{html.escape(drawn.alt)}" src="{path}/{drawn.name}-light.svg" width="520">\n</picture>\n\n'
        f"{findings.sentence(title)}.\n\n{markdown(table)}"
    )
    write_atomically(readme, f"{before}{START}\n{block}{END}{after}".encode())
