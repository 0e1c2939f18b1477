"""Which runs may share a table, and the warnings about a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.checks import refuse_unlike, warnings
from reports.errors import ReportError
from reports.page.sections import make_page
from reports.report_data import ReportData
from tests.reports.report_data import run


def test_runs_that_must_not_share_a_table_are_refused() -> None:
    with pytest.raises(ReportError, match="no run"):
        refuse_unlike([])
    one, other = run("mad", 60, 0.4), run("parallel", 50, 0.3)
    data = {**other.record["data"], "hash": "fedcba"}
    with pytest.raises(ReportError, match=r"different data.*0123456789abcdef: mad; fedcba: parallel"):
        make_page(ReportData(runs=[one, replace(other, record={**other.record, "data": data})]))
    notes = {"captioning": {"tokenizer": "python"}}
    with pytest.raises(ReportError, match="different tokenizers"):
        refuse_unlike([one, replace(other, record={**other.record, "notes": notes})])


def test_doubts_about_a_run_are_told_once_with_its_name() -> None:
    busy = run("mad", 60, 0.4)
    environment = {**busy.record["environment"], "load_average": 9.0}
    busy = replace(busy, record={**busy.record, "environment": environment, "warnings": ["clocks were throttled"]})
    told = warnings([busy, run("parallel", 50, 0.3)])
    assert "mad: clocks were throttled." in told
    assert any(one.startswith("mad: the machine was busy") for one in told)
