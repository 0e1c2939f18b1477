"""What time depends on: only runs that differ in one thing share a line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from reports.figures.sensitivity import objects_figure, setting_figures
from reports.report_data import ReportData, ReportRun
from tests.reports.report_data import run


def at(batch: int, ms: float, **options: Any) -> ReportRun:
    one = run(f"mad, {batch}, {options}", ms, 0.4, decoder="mad")
    record = {**one.record, "options": {**one.record["options"], "batch": batch, **options}}
    return replace(one, record={**record, "latency": {**record["latency"], "batch": batch}})


def test_other_options_are_held_equal() -> None:
    runs = [at(1, 60), at(2, 40), at(4, 30), at(4, 999, precision="bfloat16"), at(8, 888, precision="bfloat16")]
    (drawn,) = setting_figures(ReportData(runs=runs[:1], variants=runs[1:]))
    assert "1: 60.0 ms, 2: 40.0 ms, 4: 30.0 ms." in drawn.alt and "999" not in drawn.alt
    assert not setting_figures(ReportData(runs=[at(1, 60)], variants=[at(2, 40, precision="bfloat16")]))


def test_a_handful_of_images_draws_no_curve_over_their_objects() -> None:
    whole = run("mad", 60, 0.4)
    assert objects_figure(ReportData(runs=[whole])) is not None
    few = replace(whole, phases={"total": whole.phases["total"][:5]}, objects=np.arange(5, dtype=float))
    assert objects_figure(ReportData(runs=[few])) is None
    assert objects_figure(ReportData(runs=[whole, few])) is not None
