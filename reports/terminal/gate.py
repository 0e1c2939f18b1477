"""The gate's verdicts for the terminal, as Markdown and as JUnit XML."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from reports.tables.table import pipe_table
from reports.terminal.console_table import console_table
from results.gate_report import GateReport, Line, Verdict

if TYPE_CHECKING:
    from rich.console import Console

SIGNS: dict[Verdict, str] = {"pass": "✓", "fail": "✗", "cannot tell": "?"}
COLORS: dict[Verdict, str] = {"pass": "green", "fail": "bold red", "cannot tell": "yellow"}
LEFT, WHY = (0, 1, 2, 8), 8  # columns of words; the last may wrap
HEADINGS = ("", "decoder", "what", "before", "now", "loss", "95 % interval", "detectable", "why")


def cells(line: Line) -> tuple[str, ...]:
    """One line of the tables, in the order of ``HEADINGS``."""
    return (
        SIGNS[line.verdict],
        line.decoder,
        line.name,
        _number(line, line.before, relative=False),
        _number(line, line.now, relative=False),
        _number(line, line.loss, relative=True),
        "–" if line.low is None else f"{_number(line, line.low, relative=True)} … {_high(line)}",
        "–" if line.detectable is None else _number(line, line.detectable, relative=True).lstrip("+"),
        line.reason,
    )


def _high(line: Line) -> str:
    return "∞" if line.high is None else _number(line, line.high, relative=True)


def _number(line: Line, value: float | None, *, relative: bool) -> str:
    if value is None:
        return "–"
    if line.kind == "speed":
        return f"{100 * value:+.1f} %" if relative else f"{value:.3f}"
    return f"{value:+.4f}" if relative else f"{value:.4f}"


def summary(report: GateReport) -> str:
    """Overall verdict and the count of each verdict, in one line."""
    counts = {verdict: sum(line.verdict == verdict for line in report.lines) for verdict in SIGNS}
    totals = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return f"gate: {report.verdict} ({totals or 'nothing to check'}; preset {report.preset}, {report.machine})"


def print_report(report: GateReport, console: Console) -> None:
    """Print the table, the remarks and the summary."""
    from rich.text import Text

    table = console_table(HEADINGS, left=LEFT, wrap=(WHY,))
    for line in report.lines:
        first, *others = cells(line)
        table.add_row(Text(first, style=COLORS[line.verdict]), *map(Text, others))
    console.print(table)
    for remark in report.remarks:
        console.print(f"note: {remark}", highlight=False, markup=False, soft_wrap=True)
    console.print(summary(report), style=COLORS[report.verdict], highlight=False, markup=False, soft_wrap=True)


def markdown(report: GateReport) -> str:
    """The report as a Markdown document, for the summary of a CI job."""
    rows = [cells(line) for line in report.lines]
    lines = ["# Gate", "", summary(report), "", pipe_table(HEADINGS, rows, left=LEFT), ""]
    lines += [f"- {remark}" for remark in report.remarks]
    return "\n".join(lines).rstrip() + "\n"


def junit(report: GateReport) -> str:
    """The report as JUnit XML: one suite a decoder, one case a line; "cannot tell" counts as skipped."""
    suites = []
    for decoder, group in groupby(report.lines, key=lambda line: line.decoder):
        lines = list(group)
        failed, unknown = (sum(line.verdict == verdict for line in lines) for verdict in ("fail", "cannot tell"))
        suites.append(
            f"  <testsuite name={quoteattr(decoder)} tests={quoteattr(str(len(lines)))} "
            f"failures={quoteattr(str(failed))} errors={quoteattr('0')} skipped={quoteattr(str(unknown))}>"
        )
        suites += [_case(line) for line in lines]
        suites.append("  </testsuite>")
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites name="gate">', *suites, "</testsuites>\n"])


def _case(line: Line) -> str:
    head = f"    <testcase classname={quoteattr(f'gate.{line.decoder}')} name={quoteattr(line.name)}"
    if line.verdict == "fail":
        numbers = escape(" ".join(cells(line)[3:8]))
        return f"{head}><failure message={quoteattr(line.reason)}>{numbers}</failure></testcase>"
    if line.verdict == "cannot tell":
        return f"{head}><skipped message={quoteattr(line.reason)}/></testcase>"
    return f"{head}/>"
