"""Small fixed runs for tests of reports: a slow strategy, a fast one, a better one, and the ceiling."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from reports.metrics import average, averaged, headline
from reports.report_data import (
    AVERAGE,
    TIME,
    Curve,
    GalleryImage,
    GalleryRow,
    Interval,
    MetricDifference,
    ReportData,
    ReportRun,
    Statistics,
)
from results.study import Difference, Outcome, Point

OBJECTS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
HASH = "0123456789abcdef"


def run(label: str, ms: float, quality: float, *, decoder: str = "", **changes: Any) -> ReportRun:
    """A run whose metrics all follow from ``quality`` and whose times follow from ``ms``."""
    decoder = decoder or label
    encodes = decoder != "oracle"
    metrics: dict[str, dict[str, float | None]] = {
        "detection": {name: quality - 0.01 * place for place, name in enumerate(OBJECTS[:5])} | {"APl": None},
        "segmentation": {name: quality / 2 + 0.001 * place for place, name in enumerate(OBJECTS)},
        "keypoints": {"AP": quality / 3, "AP50": quality},
        "captioning": {"BLEU-4": quality * 0.9, "CIDEr": quality * 3, "METEOR": None},
        "depth": {"rmse": 1 - quality, "delta1": 0.5 + quality / 2},
    }
    phases = {"read": ms / 50, "preprocess": ms / 100}
    phases |= {"backbone": ms * 0.1, "encoder": ms * 0.09} if encodes else {}
    phases |= {f"decode.{task}": ms * 0.15 for task in metrics} | {"interpret.depth": ms * 0.05}
    record: dict[str, Any] = {
        "schema": "decoder-bench/record/1",
        "decoder": decoder,
        "preset": "embedded",
        "options": {"batch": 1, "device": "cpu", "strategy": {}, "network": {"backbone": "resnet10t"}},
        "data": {
            "coco": {"root": "scenes", "split": "val2017"},
            "nyu": {"root": "scenes", "split": "test"},
            "counts": {"images": 40},
            "hash": HASH,
        },
        "tasks": list(metrics),
        "off": {},
        "metrics": metrics,
        "notes": {"captioning": {"tokenizer": "ptb (Java 17)", "METEOR": "not computed: no Java"}},
        "latency": {
            "total": {"n": 40, "mean_ms": ms, "min_ms": ms, "max_ms": ms, "p50_ms": ms, "p90_ms": None},
            "phases": {name: {"n": 40, "mean_ms": value} for name, value in phases.items()},
            "batch": 1,
            "sittings": 1,
        },
        "cost": {task: {"evaluations": 4.0, "positions": 64.5, "sequences": 1.0} for task in metrics},
        "environment": {"cpu": "CPU", "threads": 1, "usable_cores": 2, "load_average": 0.3, "git_commit": "abc"},
        "seed": 0,
        "images": 40,
        "checksum": "f" * 64,
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
    }
    count = np.arange(40) % 5 + 1
    return ReportRun(
        label=label,
        record=record | changes,
        folder=label,
        phases={"total": ms * (1 + count / 10)},
        objects=count.astype(float),
        work={"detection": np.stack([count, count, count], axis=1).astype(float)},
    )


def changed(source: ReportRun, **changes: Any) -> ReportRun:
    """The run with fields of its record replaced."""
    return replace(source, record={**source.record, **changes})


def statistics(runs: list[ReportRun], *, spread: float = 0.02) -> Statistics:
    """Intervals of ``spread`` around everything."""
    metrics = averaged([one.record for one in runs])
    intervals: dict[str, dict[str, Interval]] = {}
    for one in runs:
        values = {m.key: m.value(one.record) for m in headline([one.record])}
        values[AVERAGE] = average(one.record, metrics)
        own = {key: Interval(value - spread, value + spread) for key, value in values.items() if value is not None}
        intervals[one.label] = own | {TIME: Interval(one.milliseconds * 0.95, one.milliseconds * 1.05)}
    pairs = []
    for a, b in combinations(runs, 2):
        ratio = a.milliseconds / b.milliseconds
        ends = Interval(ratio * 0.95, ratio * 1.05)
        pairs.append(MetricDifference(first=a.label, second=b.label, key=TIME, value=ratio, interval=ends))
        for key in intervals[a.label].keys() & intervals[b.label].keys() - {TIME}:
            value = intervals[b.label][key].low - intervals[a.label][key].low
            ends = Interval(value - spread, value + spread)
            pairs.append(MetricDifference(first=a.label, second=b.label, key=key, value=value, interval=ends))
    return Statistics("95 % intervals by hand", intervals, pairs)


def report_data(**changes: Any) -> ReportData:
    """Four runs with everything that a report can show."""
    runs = [
        run("autoregressive", 200.0, 0.30),
        run("parallel", 50.0, 0.40),
        run("mad", 60.0, 0.45),
        run("oracle", 3.0, 0.95),
    ]
    fields: dict[str, Any] = {
        "runs": runs,
        "statistics": statistics(runs),
        "curves": [curve("mad", 0.4), curve("parallel", 0.3)],
        "outcomes": {"budget": outcome()},
        "pictures": [picture()],
        "commands": ["python -m bench run --decoder mad --preset embedded"],
        "about": {"git_commit": "abcdef0123456789", "git_dirty": False},
    }
    return ReportData(**fields | changes)


def curve(label: str, end: float) -> Curve:
    """Two evaluations."""
    return Curve(label=label, steps=[100, 200], scores={"detection AP": [end / 2, end], "depth rmse": [1.0, None]})


def outcome(name: str = "budget", **changes: Any) -> Outcome:
    """Four settings of a knob: the second gains much, the rest little."""
    values = {"0": 0.10, "1": 0.30, "2": 0.32, "4": 0.33}
    points = {
        label: Point(
            values={"captioning.BLEU-4": value},
            intervals={"captioning.BLEU-4": (value - 0.01, value + 0.01)},
            milliseconds={"total": 40 + 5 * place, "decode.captioning": 5.0 * 2**place},
        )
        for place, (label, value) in enumerate(values.items())
    }
    pairs = [
        Difference(
            first=a,
            second=b,
            key="captioning.BLEU-4",
            value=values[b] - values[a],
            low=values[b] - values[a] - 0.015,
            high=values[b] - values[a] + 0.015,
        )
        for a, b in combinations(values, 2)
    ]
    fields: dict[str, Any] = {
        "name": name,
        "title": "passes",
        "decoder": "mad",
        "budget": True,
        "data": {"coco": "scenes", "images": 40, "hash": HASH},
        "points": points,
        "differences": pairs,
        "method": "by hand",
    }
    return Outcome(**fields | changes)


def picture() -> GalleryImage:
    """An image of 32 x 48 pixels with one object, one pose and a depth map."""
    image = np.full((32, 48, 3), 120, dtype=np.uint8)
    mask = np.zeros((32, 48), dtype=bool)
    mask[8:20, 10:30] = True
    depth = np.linspace(1, 9, 32 * 48).reshape(32, 48)
    depth[0, :5] = 0.0
    seen: dict[str, Any] = {
        "boxes": np.array([[10.0, 8.0, 30.0, 20.0]]),
        "classes": [2],
        "names": ["ring"],
        "masks": [mask],
        "joints": np.array([[[12.0, 9.0, 1.0], [20.0, 15.0, 1.0], [25.0, 18.0, 0.2]]]),
    }
    return GalleryImage(
        name="000000000001.jpg",
        why="all strategies do well here",
        image=image,
        truth=GalleryRow(label="truth", caption="a red ring", depth=depth, **seen),
        shown=[GalleryRow(label="mad", caption="a <red> cube", depth=depth + 0.5, scores="box IoU 0.90", **seen)],
        references=["a red ring", "one ring"],
        limbs=[(0, 1), (1, 2)],
    )
