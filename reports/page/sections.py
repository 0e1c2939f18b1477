"""A report from its material: which sections there are, and what is said where something is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reports import checks, findings
from reports.figures import sensitivity
from reports.figures.budget import budget_figures, budget_tables
from reports.figures.drawing import Drawn
from reports.figures.frontier import frontier_figure
from reports.figures.learning_curves import curves_figure
from reports.figures.phases import phase_table, phases_figure
from reports.metrics import averaged
from reports.page.gallery import columns, legend, rows, scales
from reports.page.html import Page, Part, fragment, write_page
from reports.report_data import Material
from reports.style import in_order
from reports.tables.ablations import ablation_tables, open_ablations
from reports.tables.claims import MARKS, RULES, claims_table, judge, summary
from reports.tables.comparison_tables import comparison_table, detail_tables, variants_table
from reports.tables.cost import cost_table
from reports.tables.provenance import facts, provenance_table
from reports.tables.published import published_table
from reports.tables.table import Table
from results import published

SHIPPED = "The curves are those of the shipped checkpoints that these runs decoded with."


def write_report(material: Material, folder: Path) -> Path:
    """Write the report into ``folder``; gives the page's path.

    Raises:
        ReportError: if the runs cannot be shown together.
        StoreError: if the folder cannot be written.
    """
    return write_page(make_page(material), folder)


def make_page(material: Material) -> Page:
    """The page of some material."""
    checks.refuse_unlike([*material.runs, *material.variants])
    material = replace(material, runs=in_order(material.runs), variants=in_order(material.variants))
    metrics = averaged([run.record for run in material.runs])
    return Page(
        title=findings.headline(material.runs, metrics, material.statistics),
        lead=_lead(material),
        warnings=checks.warnings(material.runs),
        parts=[part for part in _parts(material) if part is not None],
    )


def _parts(material: Material) -> list[Part]:
    systems = published.systems()
    return [
        Part(
            name="result",
            heading="Accuracy against time",
            lines=["Up and to the left is better. The line joins the strategies that no other beats in both."],
            figures=_there(frontier_figure(material, systems)),
            tables=[comparison_table(material), *_tables(variants_table(material))],
        ),
        Part(
            name="time",
            heading="Where time goes",
            figures=_there(phases_figure(material)),
            tables=_tables(phase_table(material), cost_table(material)),
        ),
        _budget(material),
        _sensitivity(material),
        _more(material, "curves", "Learning curves", _there(curves_figure(material)), SHIPPED),
        Part(name="tasks", heading="Every metric", tables=detail_tables(material)),
        _ablations(material),
        _claims(material),
        _gallery(material),
        Part(name="published", heading="Published systems", tables=[published_table(systems)]),
        _provenance(material),
    ]


def _lead(material: Material) -> str:
    record = material.runs[0].record
    roots = dict.fromkeys(part["root"] for part in (record["data"].get("coco"), record["data"].get("nyu")) if part)
    machines = dict.fromkeys(run.machine for run in material.runs)
    data = ", ".join(roots) or "unnamed data"
    return f"{record['images']} images of {data} (content {record['data'].get('hash')}); {', '.join(machines)}."


def _budget(material: Material) -> Part:
    figures = budget_figures(material)
    if not figures:
        return Part(name="budget", heading="Quality at a budget", lines=[_missing("budget", material)])
    return Part(name="budget", heading="Quality at a budget", figures=figures, tables=budget_tables(material))


def _more(material: Material, name: str, heading: str, figures: Sequence[Drawn], *told: str) -> Part:
    lines = [*told] if figures else [_missing(name, material)]
    return Part(name=name, heading=heading, figures=figures, lines=lines)


def _sensitivity(material: Material) -> Part:
    drawn = sensitivity.figures(material)
    return Part(
        name="sensitivity",
        heading="What time depends on",
        figures=drawn,
        lines=sensitivity.absent(drawn) if drawn else [_missing("sensitivity", material)],
    )


def _ablations(material: Material) -> Part:
    known = published.ablations()
    lines = [f"Not run yet: {'; '.join(absent)}."] if (absent := open_ablations(known, material)) else []
    tables = ablation_tables(known, material)
    return Part(name="ablations", heading="The papers' tables, repeated", tables=tables, lines=lines)


def _claims(material: Material) -> Part:
    judged = [judge(claim, material) for claim in published.claims()]
    lines = [
        f"{summary(judged)}.",
        *RULES,
    ]
    html = fragment("claims.html.j2", judged=judged, marks=MARKS)
    return Part(name="claims", heading="Claims", lines=lines, html=html, files=[claims_table(judged)])


def _gallery(material: Material) -> Part:
    if not material.pictures:
        return Part(name="gallery", heading="Gallery", lines=[_missing("gallery", material)])
    pictures = [
        {
            "name": one.name,
            "why": one.why,
            "columns": columns(one),
            "rows": rows(one),
            "legend": legend(one),
            "scales": scales(one),
        }
        for one in material.pictures
    ]
    lines = [
        "The same images, strategy under strategy. Boxes with a score below 0.3 are not drawn; boxes and masks have "
        "the colors of their classes. The depth maps of an image share one scale, light for near, and so do the "
        "errors, dark for small; gray is not known. In captions, words that no reference uses are underlined."
    ]
    return Part(name="gallery", heading="Gallery", lines=lines, html=fragment("gallery.html.j2", pictures=pictures))


def _provenance(material: Material) -> Part:
    values = {"facts": facts(material), "commands": material.commands, "missing": material.missing}
    html = fragment("provenance.html.j2", **values)
    return Part(name="provenance", heading="Provenance", tables=[provenance_table(material)], html=html)


def _missing(name: str, material: Material) -> str:
    return f"Left out: {material.missing.get(name, 'nothing of it is in these runs')}."


def _there(*drawn: Drawn | None) -> Sequence[Drawn]:
    return [one for one in drawn if one is not None]


def _tables(*found: Table | None) -> Sequence[Table]:
    return [one for one in found if one is not None]
