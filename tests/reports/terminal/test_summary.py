"""The summary in the terminal: whole numbers at every width."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from reports.report_data import ReportData
from reports.tables.comparison_tables import comparison_table
from reports.terminal.summary import print_summary
from tests.reports.report_data import report_data, run, statistics


def printed(report: ReportData, width: int) -> str:
    stream = io.StringIO()
    print_summary(report, Console(file=stream, width=width))
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 80, 100, 130, 200])
def test_no_number_and_no_name_is_cut(width: int) -> None:
    report = report_data()
    text = printed(report, width)
    assert "…" not in text.partition("95 %")[0].partition("mad is")[0]
    table = comparison_table(report)
    for heading in table.headings:
        assert heading in text
    for row in table.rows:
        for cell in row:
            assert re.search(rf"(?<![\d.]){re.escape(cell.text)}(?![\d.])", text), cell.text


def test_intervals_are_shortened_where_there_is_little_room() -> None:
    report = report_data()
    assert "(43.0–47.0)" in printed(report, 200)
    narrow = printed(report, 80)
    assert "±2.0" in narrow and "(43.0–47.0)" not in narrow and "half of the interval's width" in narrow
    assert "±" not in printed(report, 40)


def test_columns_that_say_nothing_become_a_note() -> None:
    same = comparison_table(report_data())
    assert "backbone" not in same.headings and "All strategies: backbone resnet10t." in same.notes
    runs = [run("mad", 60, 0.4), run("parallel", 50, 0.3)]
    options = {**runs[1].record["options"], "network": {"backbone": "vit"}}
    runs[1] = replace(runs[1], record={**runs[1].record, "options": options, "parameters": 940_000})
    apart = comparison_table(ReportData(runs=runs, statistics=statistics(runs)))
    assert list(apart.headings[:3]) == ["strategy", "backbone", "parameters"]
