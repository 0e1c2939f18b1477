"""Twins of a table: Markdown, and LaTeX that compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reports.claims import judge_all
from reports.page.html import Page
from reports.tables.claims import claims_table
from reports.tables.comparison_tables import comparison_table
from reports.tables.published import published_table
from reports.tables.table import Table, escaped, latex, latex_document, pipe_table
from results.published import systems
from tests.reports.report_data import report_data


def all_tables(page: Page) -> list[Table]:
    judged = judge_all({}, report_data())
    return [*(t for part in page.sections for t in part.tables), published_table(systems()), claims_table(judged)]


def test_latex_compiles(sample_page: Page, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        for table in all_tables(sample_page):
            check_latex(latex(table), columns=len(table.headings))
        return
    (tmp_path / "all.tex").write_text(latex_document(all_tables(sample_page)))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


COMMANDS = {"begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "textbf", "scriptsize"}
COMMANDS |= {"par", "footnotesize", "textbackslash", "textasciitilde", "textasciicircum", "delta", "lambda", "times"}
COMMANDS |= {"small", "setlength", "tabcolsep", "textwidth", "pm", "leq", "geq", "rightarrow", "cdot", "ldots"}


def check_latex(text: str, *, columns: int) -> None:
    """What pdflatex would stop at: braces, environments, cells of a row, unknown commands, bare special characters."""
    assert text.isascii() or all(ord(letter) < 0x250 for letter in text)
    bare = re.sub(r"\\[\\&%$#_{},]", lambda m: "" if m[0] != r"\\" else m[0], text)
    depth = 0
    for letter in bare:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", bare):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    assert set(re.findall(r"\\([a-zA-Z]+)", bare)) <= COMMANDS
    assert not re.search(r"(?<!\\)[#%]", bare)
    assert bare.count("$") % 2 == 0
    rows = re.findall(r"^(.*)\\\\$", bare, re.M)
    assert rows and all(row.count("&") == columns - 1 for row in rows)
    body = bare.split(r"\begin{tabular}")[1].split(r"\end{tabular}")[0]
    assert "_" not in body and "^" not in re.sub(r"\$[^$]*\$", "", body)


def test_the_latex_check_finds_faults() -> None:
    good = latex(comparison_table(report_data()))
    width = len(comparison_table(report_data()).headings)
    check_latex(good, columns=width)
    for bad in (good.replace(r"\bottomrule", r"\bottomrul"), good.replace("{tabular}", "{tabula}", 1), good + "{"):
        with pytest.raises(AssertionError):
            check_latex(bad, columns=width)
    with pytest.raises(AssertionError):
        check_latex(good, columns=width + 1)


def test_latex_escapes_what_a_name_may_hold() -> None:
    assert escaped(r"a_b & 50 % {x} #1 $ ~ ^ \ é δ − 漢") == (
        r"a\_b \& 50 \% \{x\} \#1 \$ \textasciitilde{} \textasciicircum{} \textbackslash{} é $\delta$ $-$ ?"
    )


def test_a_table_refuses_rows_of_another_width() -> None:
    with pytest.raises(ValueError, match="1 cells, expected 2"):
        Table(name="t", title="t", headings=["a", "b"], rows=[comparison_table(report_data()).rows[0][:1]])


def test_a_pipe_table_aligns_columns_and_escapes_pipes() -> None:
    assert pipe_table(["", "why", "ms"], [["a|b", "two\nlines", "1.0"]], left=(0, 1)) == (
        "|  | why | ms |\n| --- | --- | ---: |\n| a\\|b | two lines | 1.0 |"
    )
    with pytest.raises(ValueError, match="1 cells, expected 2"):
        pipe_table(["a", "b"], [["1"]])
