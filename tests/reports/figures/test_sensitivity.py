"""What time depends on: only runs that differ in one thing share a line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from reports.figures.sensitivity import objects_figure, setting_figures
from reports.report_data import ReportData, ReportRun
from reports.tables.ablations import ablation_table
from results.published import ablations
from tests.reports.report_data import report_data, run


def at(batch: int, ms: float, **options: Any) -> ReportRun:
    one = run(f"mad, {batch}, {options}", ms, 0.4, decoder="mad")
    record = {**one.record, "options": {**one.record["options"], "batch": batch, **options}}
    return replace(one, record={**record, "latency": {**record["latency"], "batch": batch}})


def test_other_options_are_held_equal() -> None:
    runs = [at(1, 60), at(2, 40), at(4, 30), at(4, 999, precision="bfloat16"), at(8, 888, precision="bfloat16")]
    (drawn,) = setting_figures(ReportData(runs=runs[:1], variants=runs[1:]))
    assert "1: 60.0 ms, 2: 40.0 ms, 4: 30.0 ms." in drawn.alt and "999" not in drawn.alt
    assert not setting_figures(ReportData(runs=[at(1, 60)], variants=[at(2, 40, precision="bfloat16")]))


def test_titles_of_ablations_say_what_was_found() -> None:
    known = {ablation.id: ablation for ablation in ablations()}
    report = report_data(runs=[run("autoregressive", 200, 0.3), run("parallel", 50, 0.4), run("mad", 60, 0.45)])
    table = ablation_table(known["mad-table-2"], report)
    assert table is not None and ": mad leads, +5.0 (+3.0 … +7.0) box AP over parallel (MAD, Table 2)" in table.title


def test_ordinary_runs_fill_only_tables_that_compare_strategies() -> None:
    runs = [run("ait", 60, 0.4), run("ait-parallel", 30, 0.4)]
    known = {ablation.id: ablation for ablation in ablations()}
    assert ablation_table(known["parallel-study"], report_data(runs=runs)) is None, (
        "it compares trainings that are alike"
    )
    assert ablation_table(known["ait-parallel"], report_data(runs=runs)) is not None
    assert ablation_table(known["ait-parallel"], report_data(runs=runs[:1])) is None, "one row compares nothing"


def test_a_handful_of_images_draws_no_curve_over_their_objects() -> None:
    whole = run("mad", 60, 0.4)
    assert objects_figure(ReportData(runs=[whole])) is not None
    few = replace(whole, phases={"total": whole.phases["total"][:5]}, objects=np.arange(5, dtype=float))
    assert objects_figure(ReportData(runs=[few])) is None
    assert objects_figure(ReportData(runs=[whole, few])) is not None
