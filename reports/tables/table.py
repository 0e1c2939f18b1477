"""A table as data, and its forms in Markdown, CSV and LaTeX; the page renders the same data as HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports.metrics import ShownMetric


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell.

    Args:
        text: what is printed.
        value: the exact number behind ``text``, for sorting, CSV and tests; None for words.
        source: origin of ``value``, ``label: path in the record``; empty for derived numbers.
        interval: confidence interval as printed, or empty.
        reach: half of the interval's width as printed, used where its ends do not fit.
        best: whether it is significantly the best of its column.
        swatch: color shown before the text, or empty.
    """

    text: str
    value: float | None = None
    source: str = ""
    interval: str = ""
    reach: str = ""
    best: bool = False
    swatch: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled table.

    Args:
        name: of its files and its anchor on the page.
        title: its finding, in a sentence.
        headings: of all columns; the first column names the rows.
        rows: cells, one per heading.
        notes: remarks below.
        section: task that it belongs to, or empty.
        words: positions of columns of words, aligned left like the first.
        wide: positions of columns whose words may take several lines.
    """

    name: str
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default_factory=tuple)
    section: str = ""
    words: Sequence[int] = ()
    wide: Sequence[int] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.headings):
                raise ValueError(f"table {self.name}: a row has {len(row)} cells, expected {len(self.headings)}")


def words(text: str, **more: Any) -> Cell:
    """A cell without a number."""
    return Cell(text=text, **more)


def number(metric: ShownMetric, value: float | None, **more: Any) -> Cell:
    """A cell with a metric's value."""
    return Cell(text=metric.text(value), value=value, **more)


def plain(value: float | None, digits: int = 1, **more: Any) -> Cell:
    """A number with thousands separated, a dash for None."""
    text = "–" if value is None else f"{value:,.{digits}f}".replace(",", "\u202f")
    return Cell(text=text, value=value, **more)


def pipe_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[int] = (0,)) -> str:
    """A Markdown pipe table without title and final newline.

    Args:
        headings: of all columns.
        rows: cells, one per heading; pipes and line breaks in them are escaped.
        left: positions of columns aligned left; the others are aligned right.

    Raises:
        ValueError: if a row has another number of cells than there are headings.
    """
    rules = ["---" if column in left else "---:" for column in range(len(headings))]
    lines = [_pipe_row(headings), _pipe_row(rules)]
    for row in rows:
        if len(row) != len(headings):
            raise ValueError(f"a row has {len(row)} cells, expected {len(headings)}: {', '.join(row)}")
        lines.append(_pipe_row(row))
    return "\n".join(lines)


def _pipe_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def markdown(table: Table) -> str:
    """A pipe table with its title and notes."""
    rows = ([_markdown_cell(cell) for cell in row] for row in table.rows)
    pipes = pipe_table(table.headings, rows, left=(0, *table.words))
    return "\n".join([f"**{table.title}**", "", pipes, *(f"\n{note}" for note in table.notes)]) + "\n"


def _markdown_cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return f"{text} {cell.interval}" if cell.interval else text


def as_csv(table: Table) -> str:
    """Exact values, and words where there is no number; without intervals."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.headings)
    for row in table.rows:
        writer.writerow([cell.text if cell.value is None else repr(float(cell.value)) for cell in row])
    return stream.getvalue()


def latex(table: Table) -> str:
    r"""A ``table*`` environment across both columns of a page, intervals below their values; needs ``booktabs``."""
    lines = [r"\begin{table*}", r"\centering", r"\small", r"\setlength{\tabcolsep}{3pt}"]
    lines += [r"\caption{" + escaped(table.title) + "}", r"\label{tab:" + table.name + "}"]
    lines += [r"\begin{tabular}{" + "".join(_latex_columns(table)) + "}", r"\toprule"]
    lines.append(" & ".join(escaped(heading) for heading in table.headings) + r" \\")
    lines.append(r"\midrule")
    for row in table.rows:
        lines.append(" & ".join(_latex_cell(cell) for cell in row) + r" \\")
        if any(cell.interval for cell in row):
            below = (rf"\scriptsize {escaped(cell.interval)}" if cell.interval else "" for cell in row)
            lines.append(" & ".join(below) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [r"\par\footnotesize " + escaped(note) for note in table.notes]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _latex_columns(table: Table) -> list[str]:
    """Column types: wide columns share 0.6 of the line and wrap."""
    left = {0, *table.words}
    share = 0.6 / max(1, len(table.wide))
    return [
        f"p{{{share:.2f}\\textwidth}}" if place in table.wide else "l" if place in left else "r"
        for place in range(len(table.headings))
    ]


def latex_document(tables: Sequence[Table]) -> str:
    """A document with all tables, ready to compile."""
    body = "\n".join(latex(table) for table in tables)
    packages = "\\usepackage[T1]{fontenc}\n\\usepackage{booktabs}\n\\usepackage[landscape,margin=1cm]{geometry}"
    return f"\\documentclass{{article}}\n{packages}\n\\begin{{document}}\n{body}\\end{{document}}\n"


def _latex_cell(cell: Cell) -> str:
    text = escaped(cell.text)
    return rf"\textbf{{{text}}}" if cell.best else text


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "δ": r"$\delta$",
    "λ": r"$\lambda$",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "±": r"$\pm$",
    "²": "$^2$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "·": r"$\cdot$",
    "…": r"\ldots{}",
    "’": "'",
    "“": "``",
    "”": "''",
    "⁠": "",
    "\u202f": r"\,",
    "\u00a0": "~",
    "\n": " ",
}


def escaped(text: str) -> str:
    """Text escaped for LaTeX; characters that its default fonts lack become a question mark."""
    out = []
    for character in text:
        safe = _LATEX.get(character, character)
        out.append(safe if safe.isascii() or (character.isalpha() and ord(character) < 0x250) else "?")
    return "".join(out)
