"""Sections of the page when runs, tasks or times are missing."""

from __future__ import annotations

from dataclasses import replace

from reports.checks import warnings
from reports.page.sections import make_page
from reports.report_data import ReportData
from reports.tables.comparison_tables import comparison_table
from tests.reports.report_data import changed, report_data, run, statistics


def test_missing_metrics_and_tasks_are_dashes_and_words() -> None:
    lacking = run("mad", 60, 0.4)
    metrics = {**lacking.record["metrics"], "keypoints": {"AP": None, "AP50": None}}
    del metrics["depth"]
    lacking = replace(lacking, record={**lacking.record, "metrics": metrics, "off": {"depth": "no NYUv2 data"}})
    report = ReportData(runs=[lacking, run("parallel", 50, 0.3)])
    cells = dict(zip(comparison_table(report).headings, comparison_table(report).rows[0], strict=True))
    assert cells["kpt AP"].text == "–" and cells["kpt AP"].value is None
    assert cells["RMSE m"].text == "off"
    page = make_page(report)
    assert any("depth is off: no NYUv2 data" in warning for warning in page.warnings)


def test_one_strategy_only() -> None:
    report = ReportData(runs=[run("mad", 60, 0.4)])
    page = make_page(report)
    assert page.title.startswith("mad takes 60.0 ms an image")
    assert len(page.sections[0].tables[0].rows) == 1


def test_only_the_ceiling() -> None:
    page = make_page(ReportData(runs=[run("oracle", 3, 0.9)]))
    assert "No run used a network" in page.title
    assert not page.sections[0].figures


def test_mixed_hardware_is_flagged_and_its_times_are_never_best() -> None:
    runs = [run("mad", 60, 0.4), run("parallel", 50, 0.3)]
    other = {**runs[1].record["environment"], "cpu": "another CPU"}
    runs[1] = replace(runs[1], record={**runs[1].record, "environment": other})
    report = ReportData(runs=runs, statistics=statistics(runs))
    assert any(warning.startswith("Mixed hardware") for warning in warnings(runs))
    title = make_page(report).title
    assert title.endswith("times come from different machines") and "faster" not in title
    table = comparison_table(report)
    place = list(table.headings).index("ms/image")
    assert not any(row[place].best for row in table.rows)
    assert any("different machines" in note for note in table.notes)


def test_runs_for_accuracy_alone_have_no_time() -> None:
    runs = [run("mad", 60, 0.4), run("parallel", 50, 0.3)]
    runs = [changed(one, latency={**one.record["latency"], "scenario": "untimed"}) for one in runs]
    page = make_page(ReportData(runs=runs, statistics=statistics(runs)))
    assert page.title.startswith("mad has the best average accuracy, 27.3") and "faster" not in page.title
    table = page.sections[0].tables[0]
    assert {row[list(table.headings).index("ms/image")].text for row in table.rows} == {"–"}
    assert not page.sections[0].figures


def test_runs_for_speed_alone_have_no_accuracy() -> None:
    runs = [changed(run("mad", 60, 0.4), metrics={}), changed(run("parallel", 50, 0.3), metrics={})]
    page = make_page(ReportData(runs=runs, statistics=statistics(runs)))
    assert page.title == "parallel is 1.2 (1.1–1.3) times faster than mad"
    assert list(page.sections[0].tables[0].headings) == ["strategy", "ms/image"]


def test_further_runs_of_a_strategy_have_a_table_of_their_own() -> None:
    further = replace(run("mad, batch 8", 30, 0.45, decoder="mad"), folder="other")
    report = report_data(variants=[further])
    (table,) = [table for table in make_page(report).sections[0].tables if table.name == "variants"]
    assert [row[0].text for row in table.rows] == ["mad, batch 8"]
