"""The page from the data of a report: its sections in order, each with a reason where its data is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reports import checks, findings
from reports.claims import judge_all
from reports.figures import sensitivity
from reports.figures.budget import budget_figures
from reports.figures.drawing import DrawnFigure
from reports.figures.frontier import frontier_figure
from reports.figures.learning_curves import curves_figure
from reports.figures.phases import phases_figure
from reports.metrics import averaged
from reports.page.gallery import columns, legend, rows, scales
from reports.page.html import Page, Section, fragment, write_page
from reports.report_data import ReportData
from reports.style import in_order
from reports.tables.ablations import paper_tables
from reports.tables.budget import budget_tables
from reports.tables.claims import (
    HEADINGS,
    MARKS,
    RULES,
    claims_table,
    contrast_rows,
    detail,
    paper_text,
    runs_text,
    summary,
)
from reports.tables.comparison_tables import comparison_table, detail_tables, variants_table
from reports.tables.cost import cost_table
from reports.tables.phases import phase_table
from reports.tables.provenance import facts, provenance_table
from reports.tables.published import published_table
from reports.tables.table import Table
from results import published

SHIPPED = "The curves are those of the shipped checkpoints that these runs decoded with."


def write_report(report: ReportData, folder: Path) -> Path:
    """Write the report into ``folder`` and return the path of its page.

    Raises:
        ReportError: if the runs cannot be shown together.
        StoreError: if the folder cannot be written.
    """
    return write_page(make_page(report), folder)


def make_page(report: ReportData) -> Page:
    """The page of a report.

    Raises:
        ReportError: if the runs cannot be shown together.
    """
    checks.refuse_unlike([*report.runs, *report.variants])
    report = replace(report, runs=in_order(report.runs), variants=in_order(report.variants))
    metrics = averaged([run.record for run in report.runs])
    return Page(
        title=findings.headline(report.runs, metrics, report.statistics),
        lead=_lead(report),
        warnings=checks.warnings(report.runs),
        sections=[section for section in _sections(report) if section is not None],
    )


def _sections(report: ReportData) -> list[Section]:
    systems = published.systems()
    return [
        Section(
            name="result",
            heading="Accuracy against time",
            lines=["Up and to the left is better. The line joins the strategies that no other beats in both."],
            figures=_figures(frontier_figure(report, systems)),
            tables=[comparison_table(report), *_tables(variants_table(report))],
        ),
        Section(
            name="time",
            heading="Where time goes",
            figures=_figures(phases_figure(report)),
            tables=_tables(phase_table(report), cost_table(report)),
        ),
        _budget(report),
        _sensitivity(report),
        _more(report, "curves", "Learning curves", _figures(curves_figure(report)), SHIPPED),
        Section(name="tasks", heading="Every metric", tables=detail_tables(report)),
        _ablations(report),
        _claims(report),
        _gallery(report),
        Section(name="published", heading="Published systems", tables=[published_table(systems)]),
        _provenance(report),
    ]


def _lead(report: ReportData) -> str:
    record = report.runs[0].record
    roots = dict.fromkeys(
        source["root"] for source in (record["data"].get("coco"), record["data"].get("nyu")) if source
    )
    machines = dict.fromkeys(run.machine for run in report.runs)
    data = ", ".join(roots) or "unnamed data"
    content = f" (content {digest})" if (digest := record["data"].get("hash")) else ""
    counts = summary(judge_all(report.outcomes))
    return (
        f"{record['images']} images of {data}{content}; {', '.join(machines)}. "
        f"The title is of these weights. Claims about methods are decided by studies: {counts[0].lower()}{counts[1:]}."
    )


def _budget(report: ReportData) -> Section:
    figures = budget_figures(report)
    if not figures:
        return Section(name="budget", heading="Quality at a budget", lines=[_missing("budget", report)])
    return Section(name="budget", heading="Quality at a budget", figures=figures, tables=budget_tables(report))


def _more(report: ReportData, name: str, heading: str, figures: Sequence[DrawnFigure], note: str) -> Section:
    lines = [note] if figures else [_missing(name, report)]
    return Section(name=name, heading=heading, figures=figures, lines=lines)


def _sensitivity(report: ReportData) -> Section:
    drawn = sensitivity.figures(report)
    return Section(
        name="sensitivity",
        heading="What time depends on",
        figures=drawn,
        lines=sensitivity.absent(drawn) if drawn else [_missing("sensitivity", report)],
    )


def _ablations(report: ReportData) -> Section:
    tables = paper_tables(published.paper_tables(), report)
    return Section(name="ablations", heading="The papers' tables", tables=tables)


def _claims(report: ReportData) -> Section:
    judged = judge_all(report.outcomes, report)
    claims = [
        {
            "claim": claim.claim,
            "verdict": claim.verdict,
            "detail": detail(claim),
            "paper": paper_text(claim),
            "rows": contrast_rows(claim),
            "runs": [runs_text(test) for test in claim.contrasts],
        }
        for claim in judged
    ]
    html = fragment("claims.html.j2", claims=claims, headings=HEADINGS, marks=MARKS)
    lines = [f"{summary(judged)}.", *RULES]
    return Section(name="claims", heading="Claims", lines=lines, html=html, files=[claims_table(judged)])


def _gallery(report: ReportData) -> Section:
    if not report.pictures:
        return Section(name="gallery", heading="Gallery", lines=[_missing("gallery", report)])
    pictures = [
        {
            "name": picture.name,
            "why": picture.why,
            "columns": columns(picture),
            "rows": rows(picture),
            "legend": legend(picture),
            "scales": scales(picture),
        }
        for picture in report.pictures
    ]
    lines = [
        "The same images, strategy under strategy. Boxes with a score below 0.3 are not drawn; boxes and masks have "
        "the colors of their classes. The depth maps of an image share one scale, light for near, and so do the "
        "errors, dark for small; gray is unknown. In captions, words that no reference uses are underlined."
    ]
    return Section(name="gallery", heading="Gallery", lines=lines, html=fragment("gallery.html.j2", pictures=pictures))


def _provenance(report: ReportData) -> Section:
    values = {"facts": facts(report), "commands": report.commands, "missing": report.missing}
    html = fragment("provenance.html.j2", **values)
    return Section(name="provenance", heading="Provenance", tables=[provenance_table(report)], html=html)


def _missing(name: str, report: ReportData) -> str:
    return f"Left out: {report.missing.get(name, 'the runs contain no data for it')}."


def _figures(*drawn: DrawnFigure | None) -> Sequence[DrawnFigure]:
    return [figure for figure in drawn if figure is not None]


def _tables(*tables: Table | None) -> Sequence[Table]:
    return [table for table in tables if table is not None]
