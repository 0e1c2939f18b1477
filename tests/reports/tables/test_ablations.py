"""The papers' tables: every printed row, beside the studies and runs that repeat them."""

from __future__ import annotations

from typing import Any

from reports.report_data import Interval, ReportData, Statistics
from reports.tables.ablations import paper_tables
from reports.tables.table import Table
from results import published
from results.study import Outcome, Point
from tests.reports.report_data import report_data, run


def tables(report: ReportData, *ids: str) -> list[Table]:
    chosen = {name: table for name, table in published.paper_tables().items() if name in ids}
    return paper_tables(chosen, report)


def cells(table: Table) -> dict[str, dict[str, Any]]:
    """Row to heading to text."""
    return {
        row[0].text: {heading: cell.text for heading, cell in zip(table.headings, row, strict=True)}
        for row in table.rows
    }


def test_a_table_that_nothing_repeats_is_shown_as_printed() -> None:
    everything = paper_tables(published.paper_tables(), ReportData(runs=[run("oracle", 3, 0.9)]))
    assert len(everything) == 21
    (table,) = tables(report_data(), "mad-1")
    assert table.title.endswith("MAD, Table 1, as printed") and len(table.rows) == 10
    assert cells(table)["Pix2SeqV2"]["ms/image"] == "40\u202f860" and cells(table)["Pix2SeqV2"]["backbone"] == "ViT-B"
    assert cells(table)["DETR"]["mask AP"] == "–"


def test_runs_of_strategies_stand_beside_the_rows_that_they_repeat() -> None:
    report = report_data(runs=[run("autoregressive", 200, 0.3), run("parallel", 50, 0.4), run("mad", 60, 0.45)])
    (table,) = tables(report, "mad-2")
    assert ": mad leads, +5.0 (+3.0 … +7.0) box AP over parallel (MAD, Table 2)" in table.title
    rows = cells(table)
    assert (rows["parallel"]["box AP"], rows["parallel"]["MAD: box AP"]) == ("40.0", "35.9")
    assert (rows["mad-one-pass"]["box AP"], rows["mad-one-pass"]["MAD: box AP"]) == ("–", "38.9")
    runs = [run("ait", 60, 0.4), run("ait-parallel", 30, 0.4)]
    (table,) = tables(report_data(runs=runs, statistics=Statistics("", {"ait": {"x": Interval(0, 1)}})), "ait-10")
    assert cells(table)["ait-parallel"]["AiT: kpt AP"] == "77.4" and "SimBa (SwinV2-B)" in cells(table)
    (table,) = tables(report_data(runs=runs[:1]), "ait-10")
    assert "as printed" in table.title, "one row compares nothing"


def test_a_study_fills_its_columns_and_a_printed_row_stands_once() -> None:
    arms = {"parallel": 0.4, "parallel-equal-compute": 0.42}
    points = {name: Point(values={"detection.AP": value}, seeds=5) for name, value in arms.items()}
    joint = Outcome(name="mad-table2", title="t", decoder="d", points=points, trained=True)
    codec = Outcome(
        name="ait-depth-blocks-codec", title="t", decoder="d", points={"2": Point(values={"depth.rmse": 0.5})}
    )
    report = report_data(outcomes={"mad-table2": joint, "ait-depth-blocks-codec": codec})
    studied = next(table for table in tables(report, "mad-2") if table.name == "ablation-mad-2-mad-table2")
    rows = cells(studied)
    assert (rows["parallel"]["MAD: mask AP"], rows["parallel-equal-compute"]["MAD: mask AP"]) == ("29.8", "–")
    alone = {"parallel": "keypoints.AP", "parallel detection": "detection.AP", "parallel keypoints": "keypoints.AP"}
    points = {name: Point(values={key: 0.5}) for name, key in alone.items()}
    apart = report_data(outcomes={"mad-table8": Outcome(name="mad-table8", title="t", decoder="d", points=points)})
    (table,) = tables(apart, "mad-8")
    rows = cells(table)
    assert (rows["parallel detection"]["MAD: box AP"], rows["parallel keypoints"]["MAD: box AP"]) == ("38.4", "–")
    assert (rows["parallel keypoints"]["MAD: kpt AP"], rows["joint, with MM"]["MAD: kpt AP"]) == ("55.1", "54.7")
    assert "Every setting was trained with 5 seeds." in studied.notes
    (table,) = tables(report, "ait-6")
    row = cells(table)["2"]
    assert (row["RMSE m"], row["AiT: reconstruction RMSE m"], row["AiT: RMSE m"]) == ("0.500", "0.097", "0.308")
    assert len(table.rows) == 4
