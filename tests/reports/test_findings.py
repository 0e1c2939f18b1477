"""Titles state what the statistics say."""

from __future__ import annotations

from reports.findings import frontier, headline
from reports.metrics import averaged
from reports.report_data import Statistics
from tests.reports.report_data import report_data, run


def test_titles_state_what_the_statistics_say() -> None:
    report = report_data()
    metrics = averaged([one.record for one in report.runs])
    assert [one.label for one in frontier(report.runs, metrics)] == ["parallel", "mad"]
    title = headline(report.runs, metrics, report.statistics)
    assert title == "mad is 3.3 (3.2–3.5) times faster than autoregressive, at +10.2 (+8.2 … +12.2) points on average"
    slow = [run("a", 10, 0.3), run("b", 20, 0.5)]
    assert (
        headline(slow, metrics, Statistics()) == "b is the most accurate on average, but a is 2.0 times faster than b"
    )
