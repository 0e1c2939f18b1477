"""Write the page: one HTML file that loads nothing, and its figures and tables as files beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.figures.drawing import DrawnFigure
from reports.tables import table as twins
from reports.tables.table import Table
from results.store import write_atomically

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE = "index.html"
_TEMPLATES = Path(__file__).parent / "templates"
_SUFFIXES: dict[str, Callable[[Table], str]] = {"md": twins.markdown, "csv": twins.as_csv, "tex": twins.latex}
_NAMES = {"LaTeX": twins.latex, "Markdown": twins.markdown, "CSV": twins.as_csv}


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page.

    Args:
        name: anchor.
        heading: heading.
        lines: paragraphs above the rest.
        figures: figures.
        tables: tables.
        html: markup below the rest.
        files: tables that are written as files only, because ``html`` shows their content.
    """

    name: str
    heading: str
    lines: Sequence[str] = ()
    figures: Sequence[DrawnFigure] = ()
    tables: Sequence[Table] = ()
    html: str = ""
    files: Sequence[Table] = ()


@dataclass(frozen=True)
class Page:
    """A whole report.

    Args:
        title: the main finding.
        lead: what it was measured on.
        warnings: remarks on the numbers.
        sections: sections in order.
    """

    title: str
    lead: str
    warnings: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=tuple)


def write_page(page: Page, folder: Path) -> Path:
    """Write the page, every figure as SVG, PDF and PNG, every table as Markdown, CSV and LaTeX.

    Returns:
        Path of the page.

    Raises:
        StoreError: if the folder cannot be written.
    """
    for section in page.sections:
        for figure in section.figures:
            for suffix, content in figure.files.items():
                write_atomically(folder / "figures" / f"{figure.name}.{suffix}", content)
        for table in (*section.tables, *section.files):
            for suffix, make in _SUFFIXES.items():
                write_atomically(folder / "tables" / f"{table.name}.{suffix}", make(table).encode())
    tables = [table for section in page.sections for table in (*section.tables, *section.files)]
    write_atomically(folder / "tables" / "all.tex", twins.latex_document(tables).encode())
    write_atomically(folder / PAGE, render(page).encode())
    return folder / PAGE


def render(page: Page) -> str:
    """The page as HTML."""
    environment = templates()
    macro: Any = getattr(environment.get_template("table.html.j2").module, "drawn_table")  # noqa: B009
    markup: str = environment.get_template("page.html.j2").render(
        title=page.title,
        lead=page.lead,
        warnings=page.warnings,
        sections=page.sections,
        drawn_table=lambda table: macro(table, {name: make(table) for name, make in _NAMES.items()}),
        style=_text("style.css"),
        script=_text("sort.js"),
    )
    return markup


def fragment(name: str, **values: object) -> str:
    """Markup of one template, for ``Section.html``."""
    markup: str = templates().get_template(name).render(**values)
    return markup


def templates() -> Environment:
    """The templates; values are escaped unless marked safe."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment


def _text(name: str) -> object:
    from markupsafe import Markup

    return Markup((_TEMPLATES / name).read_text())  # noqa: S704 - our own file
