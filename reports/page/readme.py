"""Write what is generated of the README and of docs: the report's figure and table, studies, and verdicts on claims."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path

from reports import findings
from reports.claims import judge_all
from reports.errors import ReportError
from reports.figures.frontier import frontier_figure
from reports.metrics import averaged
from reports.page.claims import claims_page, readme_block
from reports.report_data import ReportData
from reports.style import FAINT, GROUND, INK
from reports.tables.comparison_tables import comparison_table
from reports.tables.table import as_csv, latex, markdown
from results.published import systems
from results.store import write_atomically
from results.study import Outcome

_THEMES = {
    "light": {INK: "#16191d", FAINT: "#b9bfc6", GROUND: "#ffffff"},
    "dark": {INK: "#e9ecef", FAINT: "#4a525b", GROUND: "#0d1117"},
}
_STUDY = re.compile(r"^<!-- (study ([\w-]+)) -->$", re.M)


def write_readme(report: ReportData, readme: Path, *, figures: Path, tables: Path) -> None:
    """Replace the block ``report`` of a README, and write the files that it shows.

    Args:
        report: of the report.
        readme: file with the lines ``<!-- report -->`` and ``<!-- /report -->``.
        figures: folder for the figure, below the README's.
        tables: folder for the table's twins.

    Raises:
        ReportError: if the file has no markers, or nothing can be drawn.
    """
    text = readme.read_text()
    replaced(text, "report", "", readme.name)
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
        f"{title}.\n\n{markdown(table)}"
    )
    write_atomically(readme, replaced(text, "report", block, readme.name).encode())


def write_claims(outcomes: Mapping[str, Outcome], readme: Path, *, docs: Path, studies: Path) -> list[Path]:
    """Write ``claims.md`` and the README's blocks ``claims`` and ``study NAME``, and return the files.

    Args:
        outcomes: committed studies by name.
        readme: file with the blocks' markers.
        docs: folder of the page.
        studies: folder of the studies' pages.

    Raises:
        ReportError: if a marker is missing.
    """
    page = docs / "claims.md"
    write_atomically(page, claims_page(judge_all(outcomes)).encode())
    write_atomically(readme, generated(readme.read_text(), outcomes, studies=studies, name=readme.name).encode())
    return [page, readme]


def generated(text: str, outcomes: Mapping[str, Outcome], *, studies: Path, name: str) -> str:
    """Return a README with its blocks ``claims`` and ``study NAME`` as committed studies have them."""
    text = replaced(text, "claims", readme_block(judge_all(outcomes)), name)
    for marker, study in _STUDY.findall(text):
        page = (studies / f"{study}.md").read_text()
        text = replaced(text, marker, page.partition("\n\n")[2], name)
    return text


def replaced(text: str, marker: str, block: str, name: str) -> str:
    """Return a text with what stands between a marker's two lines replaced.

    Raises:
        ReportError: if the lines are missing.
    """
    start, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->"
    before, opened, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ReportError(f"{name}: no lines {start.strip()} and {end}; add them where the block belongs")
    return f"{before}{start}{block}{end}{after}"
