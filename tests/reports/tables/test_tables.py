"""Tables of reports against golden files, their LaTeX, and what may not stand in one table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.report_data import ReportData, Statistics
from reports.tables.comparison_tables import comparison_table, detail_tables
from reports.tables.cost import cost_table
from reports.tables.phases import grouped, ordered, phase_table
from reports.tables.table import as_csv, latex, markdown
from results.published import systems
from tests.paths import GOLDEN
from tests.reports.report_data import changed, report_data, run, statistics

REFERENCE = GOLDEN / "report"
TWINS = {"md": markdown, "csv": as_csv, "tex": latex}


@pytest.mark.parametrize("suffix", TWINS)
@pytest.mark.parametrize("name", ["comparison", "phases", "cost", "detail-detection"])
def test_tables_are_the_golden_ones(name: str, suffix: str) -> None:
    report = report_data()
    cost = cost_table(report)
    assert cost is not None
    phases = phase_table(report)
    assert phases is not None
    tables = {table.name: table for table in (comparison_table(report), phases, cost, *detail_tables(report))}
    assert TWINS[suffix](tables[name]) == (REFERENCE / f"{name}.{suffix}").read_text()


def test_best_is_bold_only_where_it_is_significant() -> None:
    table = comparison_table(report_data())
    bold = {
        (row[0].text, heading)
        for row in table.rows
        for cell, heading in zip(row, table.headings, strict=True)
        if cell.best
    }
    assert ("mad", "box AP") in bold and ("parallel", "ms/image") in bold
    assert not any(name == "oracle" for name, _ in bold), "the ceiling is no strategy"
    close = report_data(statistics=statistics(report_data().runs, spread=0.2))
    assert {
        heading
        for row in comparison_table(close).rows
        for c, heading in zip(row, table.headings, strict=True)
        if c.best
    } == {"ms/image"}
    assert not any(cell.best for row in comparison_table(report_data(statistics=Statistics())).rows for cell in row)


def test_a_table_without_its_page_says_what_makes_its_times_doubtful() -> None:
    report = report_data()
    busy = [replace(one, record={**one.record, "warnings": ["the machine was busy"]}) for one in report.runs]
    assert "The machine was busy." in markdown(comparison_table(replace(report, runs=busy)))
    one = [busy[0], *report.runs[1:]]
    assert f"{busy[0].label}: the machine was busy." in markdown(comparison_table(replace(report, runs=one)))


def test_unknown_tasks_are_shown_and_never_judged() -> None:
    runs = [run("mad", 60, 0.4), run("parallel", 50, 0.3)]
    runs = [
        replace(r, record={**r.record, "metrics": {**r.record["metrics"], "counting": {"exact": 0.5}}}) for r in runs
    ]
    table = comparison_table(ReportData(runs=runs))
    assert table.headings[-1] == "exact"
    assert [row[-1].text for row in table.rows] == ["0.500", "0.500"]


def test_published_data_is_whole() -> None:
    assert all(system.source and system.metrics for system in systems())
    assert all("nowhere" not in system.source and "2nd" not in system.source for system in systems())
    assert all(0 < value < 5 for system in systems() for value in system.metrics.values())


def test_what_later_records_measure_is_shown_where_it_is_there() -> None:
    plain = run("mad", 60, 0.4)
    more = changed(
        plain,
        parameters=940_000,
        mode={"name": "graphed", "prepare_ms": 1234.5},
        work={"decode.depth": {"gflops": 0.1234, "megabytes": 3.5, "matmul_share": 0.42}},
        machine={"fingerprint": "abc", "allocated_mib": 512.0, "gpu": {"joules_per_image": 1.5}},
        latency={**plain.record["latency"], "tokens_per_second": {"depth": 1500.0}},
    )
    cost = cost_table(ReportData(runs=[more]))
    assert cost is not None
    row = next(dict(zip(cost.headings, row, strict=True)) for row in cost.rows if row[1].text == "depth")
    assert (row["GFLOP"].text, row["of matmul rate"].value, row["tokens/s"].value) == ("0.12", 0.42, 1500.0)
    assert {"mad: 512 MiB of memory at most.", "mad: 1.50 J an image."} <= set(cost.notes)
    phases = phase_table(ReportData(runs=[more]))
    assert phases is not None and any(
        row[0].text == "not in the total: compiling or capturing, once" for row in phases.rows
    )
    assert (row["of matmul rate"].text, row["tokens/s"].text) == ("42.0 %", "1\u202f500")
    assert any("0.9 M parameters" in note for note in comparison_table(ReportData(runs=[more])).notes)
    twin = replace(more, label="mad-one-pass")
    together = cost_table(ReportData(runs=[more, twin]))
    assert together is not None and "One process ran mad and mad-one-pass: 512 MiB of memory at most." in together.notes


def test_the_rows_of_phases_add_up_to_the_total() -> None:
    report = report_data()
    table = phase_table(report)
    assert table is not None
    names = [row[0].text for row in table.rows]
    upto = names.index("total")
    sums = {run.label: sum(grouped(run).values()) for run in report.runs if run.timed}
    for place, label in enumerate(table.headings[1:], start=1):
        assert sum(row[place].value or 0.0 for row in table.rows[:upto]) == pytest.approx(sums[label])
    assert "not in the total: read" in names[upto:] and "read" not in names[:upto]
    assert ordered(["decode.depth", "interpret.depth", "decode.detection", "backbone"]) == [
        "backbone",
        "decode.detection",
        "decode.depth",
        "interpret.depth",
    ]


def test_a_strategy_s_costs_are_summed_over_its_tasks() -> None:
    one = run("mad", 60, 0.4)
    costs = {task: {"evaluations": 4.0, "positions": 10.0, "sequences": 1.0, "tokens": 100.0} for task in ("a", "b")}
    rates = {**one.record["latency"], "tokens_per_second": {"a": 100.0, "b": 50.0}}
    table = cost_table(ReportData(runs=[changed(one, cost=costs, latency=rates)]))
    assert table is not None
    last = dict(zip(table.headings, table.rows[-1], strict=True))
    assert last["task"].text == "all tasks" and last["evaluations"].value == 8
    assert last["tokens/s"].value == pytest.approx(200 / 3), "200 tokens in 1 + 2 seconds"
