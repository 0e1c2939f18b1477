"""Titles state what the statistics say."""

from __future__ import annotations

from dataclasses import replace

from reports.findings import faster, frontier, headline
from reports.metrics import averaged
from reports.report_data import Interval, Statistics
from tests.reports.report_data import changed, report_data, run


def test_titles_state_what_the_statistics_say() -> None:
    report = report_data()
    metrics = averaged([one.record for one in report.runs])
    assert [one.label for one in frontier(report.runs, metrics)] == ["parallel", "mad"]
    title = headline(report.runs, metrics, report.statistics)
    assert title == "mad is 3.3 (3.2–3.5) times faster than autoregressive, at +10.2 (+8.2 … +12.2) points on average"
    captions = [
        replace(pair, value=-0.1, interval=Interval(-0.12, -0.08))
        if {pair.first, pair.second} == {"autoregressive", "mad"} and pair.key == "captioning.BLEU-4"
        else pair
        for pair in report.statistics.comparisons
    ]
    hidden = headline(report.runs, metrics, replace(report.statistics, comparisons=captions))
    assert hidden == f"{title}, but −10.0 (−12.0 … −8.0) BLEU-4", "an average hides no loss"
    busy = [changed(one, warnings=["the machine was busy: 1.5 cores"]) for one in report.runs]
    doubtful = headline(busy, metrics, report.statistics)
    assert doubtful.startswith(
        "mad seems 3.3 times faster than autoregressive, but times are doubtful (see warnings), at"
    )
    slow = [run("a", 10, 0.3), run("b", 20, 0.5)]
    assert (
        headline(slow, metrics, Statistics()) == "b is the most accurate on average, but a is 2.0 times faster than b"
    )


def test_a_speed_at_unequal_work_is_marked() -> None:
    fast, slow = run("a", 10, 0.3), run("b", 20, 0.3)
    slow = replace(slow, record={**slow.record, "cost": {**slow.record["cost"], "segmentation": {"sequences": 6.0}}})
    fast = replace(fast, record={**fast.record, "cost": {**fast.record["cost"], "segmentation": {"sequences": 12.0}}})
    expected = "a is 2.0 times faster than b"
    assert faster(fast, slow, Statistics()) == f"{expected} at unequal work (segmentation 12 and 6 sequences an image)"
    assert faster(replace(fast, record=slow.record), slow, Statistics()).endswith("than b")
