"""A report from its material: which sections there are, and what is said where something is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports import checks, findings
from reports.drawing import Drawn
from reports.frontier import frontier_figure
from reports.gallery import rows
from reports.material import Material
from reports.metrics import averaged
from reports.overview import comparison_table, cost_table, detail_tables, phase_table, published_table
from reports.page import Page, Part, fragment, write_page
from reports.phases import phases_figure
from reports.table import Table
from results import published


def write_report(material: Material, folder: Path) -> Path:
    """Write the report into ``folder``; gives the page's path.

    Raises:
        ReportError: if the runs cannot be shown together.
        StoreError: if the folder cannot be written.
    """
    return write_page(make_page(material), folder)


def make_page(material: Material) -> Page:
    """The page of some material."""
    checks.refuse_unlike(material.runs)
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
            figures=_there(frontier_figure(material, systems)),
            tables=[comparison_table(material)],
        ),
        Part(
            name="time",
            heading="Where time goes",
            figures=_there(phases_figure(material)),
            tables=[phase_table(material), *_tables(cost_table(material))],
        ),
        Part(name="tasks", heading="Every metric", tables=detail_tables(material)),
        _gallery(material),
        Part(name="published", heading="Published systems", tables=[published_table(systems)]),
    ]


def _lead(material: Material) -> str:
    record = material.runs[0].record
    roots = dict.fromkeys(part["root"] for part in (record["data"].get("coco"), record["data"].get("nyu")) if part)
    machines = dict.fromkeys(checks.machine(run.record) for run in material.runs)
    data = ", ".join(roots) or "unnamed data"
    return f"{record['images']} images of {data} (content {record['data'].get('hash')}); {', '.join(machines)}."


def _gallery(material: Material) -> Part:
    if not material.pictures:
        return Part(name="gallery", heading="Gallery", lines=[_missing("gallery", material)])
    pictures = [{"name": one.name, "why": one.why, "rows": rows(one)} for one in material.pictures]
    lines = [
        "The same images, strategy under strategy: boxes and joints, masks, depth, and the error of depth. Boxes with a "
        "score below 0.3 are not drawn. Colours of boxes and masks are the classes'; the maps of an image share one "
        "scale, light for near and small. In captions, words that no reference uses are underlined."
    ]
    return Part(name="gallery", heading="Gallery", lines=lines, html=fragment("gallery.html.j2", pictures=pictures))


def _missing(name: str, material: Material) -> str:
    return f"Left out: {material.missing.get(name, 'nothing of it is in these runs')}."


def _there(*drawn: Drawn | None) -> Sequence[Drawn]:
    return [one for one in drawn if one is not None]


def _tables(*found: Table | None) -> Sequence[Table]:
    return [one for one in found if one is not None]
