"""Verdicts hold contrasts against the paper after Holm's correction, within margins, and for ratios of times."""

from __future__ import annotations

import numpy as np
import pytest

from bench.studies.analysis import Scores
from bench.studies.contrasts import contrasts, verdict
from bench.studies.definition import Contrast, Effect
from bench.studies.output import paper_text
from results.record import Sample
from results.study import ContrastResult

KEY = "detection.AP"
NOISE = np.random.default_rng(0).normal(size=(8, 200))


def result(value: float, low: float, high: float, key: str = KEY, **more: object) -> ContrastResult:
    values = {"p": 0.01, "p_holm": 0.03} | more
    return ContrastResult(name="c", arms={"a": 1.0}, key=key, value=value, low=low, high=high, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (result(0.2, 0.1, 0.3, paper=0.01), "agrees"),
        (result(0.2, 0.1, 0.3, paper="up"), "agrees"),
        (result(0.2, 0.1, 0.3, paper="down"), "disagrees"),
        (result(-0.2, -0.3, -0.1, paper=-0.01), "agrees"),
        (result(-0.2, -0.3, -0.1, paper=0.01), "disagrees"),
        (result(0.2, 0.1, 0.3, paper="up", p_holm=0.05), "cannot tell"),
        (result(0.2, -0.1, 0.5, paper="up"), "cannot tell"),
        (result(0.2, 0.1, 0.3), "–"),
        (result(0.002, -0.004, 0.005, within=0.005), "agrees"),
        (result(0.002, -0.001, 0.0051, paper=0.003, within=0.005), "cannot tell"),
        (result(0.02, 0.0051, 0.04, within=0.005), "disagrees"),
        (result(-0.02, -0.04, -0.0051, within=0.005), "disagrees"),
        (result(3.0, 2.0, 4.0, "time.total", paper=28.9), "agrees"),
        (result(0.5, 0.4, 0.6, "time.total", paper=28.9), "disagrees"),
        (result(1.1, 0.9, 1.3, "time.total", paper=28.9), "cannot tell"),
        (result(1.2, 1.1, 1.3, "time.total", paper=1.26, within=0.5), "agrees"),
        (result(0.65, 0.6, 0.7, "time.total", within=0.5), "cannot tell"),
    ],
)
def test_verdicts(outcome: ContrastResult, expected: str) -> None:
    assert verdict(outcome) == expected


def arm(value: float, rows: slice, trained: bool = True) -> list[Scores]:
    """An arm with three seeds whose scores scatter by 0.01 over seeds and resamples."""
    return [
        Scores({KEY: value + row[0] / 100}, {KEY: value + row / 100}, images=200, trained=trained)
        for row in NOISE[rows]
    ]  # fmt: skip


def test_holm_counts_what_needs_a_p_value() -> None:
    arms = {"a": arm(0.5, slice(0, 3)), "b": arm(0.56, slice(3, 6))}
    step = {"b": 1.0, "a": -1.0}
    definitions = {
        "gain": Contrast(arms=step, metrics={KEY: 0.05}),
        "again": Contrast(arms=step, metrics={KEY: None}),
        "same": Contrast(arms=step, metrics={KEY: Effect(within=0.2)}),
    }
    gain, again, same = contrasts(definitions, arms)
    assert gain.p is not None and 0 < gain.p < 0.05
    assert gain.p_holm == again.p_holm == pytest.approx(2 * gain.p) and same.p_holm is None and same.p == gain.p
    assert (gain.scope, gain.seeds, gain.images) == ("method", 3, 200)
    assert (again.verdict, same.verdict) == ("–", "agrees")
    assert paper_text(gain) == "+5.0" and paper_text(again) == "–" and paper_text(same) == "within ±20.0"
    assert gain.resolvable is not None and gain.resolvable > 0


def test_statements_about_shipped_weights_cover_images_alone() -> None:
    arms = {"a": arm(0.5, slice(0, 3), trained=False), "b": arm(0.56, slice(3, 6), trained=False)}
    definitions = {"gain": Contrast(arms={"b": 1, "a": -1}, metrics={KEY: "up"})}
    (found,) = contrasts(definitions, arms)
    (trained,) = contrasts(definitions, arms | {"b": arm(0.56, slice(3, 6))})
    assert (found.scope, trained.scope) == ("weights", "method")
    assert found.high - found.low < trained.high - trained.low


def timed(factor: float, images: int = 300) -> Scores:
    times = [{"total": factor * (n + 1), "decode.depth": 1.0} for n in range(images)]
    samples = [Sample(image_id=n, file="", predictions={}, work={}, milliseconds=ms) for n, ms in enumerate(times)]
    return Scores({}, samples=samples)


def test_times_are_ratios_of_arms_that_were_timed_together() -> None:
    arms = {
        "slow": [timed(6.0), timed(24.0, images=400)],
        "fast": [timed(3.0), timed(3.0)],
        "untimed": [Scores({}), Scores({})],
    }
    metrics: dict[str, float | None] = {"time.total": 28.9, "time.decode.depth": None, "time.decode.masks": None}
    definitions = {
        "ratio": Contrast(arms={"slow": 1, "fast": -1}, metrics=metrics),  # type: ignore[arg-type]
        "unknown": Contrast(arms={"slow": 1, "untimed": -1}, metrics={"time.total": 2.0}),
    }
    total, depth = contrasts(definitions, arms)
    assert total.value == pytest.approx(4) and total.seed_values == pytest.approx([2, 8])
    assert total.verdict == "agrees" and total.scope == "weights" and total.images == 300
    assert depth.value == pytest.approx(1) and depth.p == 1 and paper_text(total) == "28.9×"
