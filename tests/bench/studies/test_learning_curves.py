"""Curves of hand-made trainings: scores at 80 % and at the end, and steps until another's score is reached."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.studies.learning_curves import convergence, curve, reach
from bench.studies.study_results import Results
from results.study import Point


def training(folder: Path, scores: dict[int, float], *, key: str = "detection AP", start: Any = None) -> Any:
    """A training of 100 steps of 6 CPU seconds each, evaluated at some."""
    folder.mkdir(parents=True)
    lines: list[dict[str, Any]] = []
    for step, score in scores.items():
        lines += [{"step": step, "loss": 1.0, "cpu_seconds": 6.0 * step}, {"step": step, "evaluation": {key: score}}]
    (folder / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    weights = folder / "w.safetensors"
    weights.with_suffix(".json").write_text('{"steps": 100, "cpu_seconds": 600}')
    return SimpleNamespace(folder=folder, weights=weights, start=start, kind="train", given={})


def results(**arms: tuple[str, list[Any]]) -> Results:
    """Arm to the strategy that it runs, and the training of each seed."""
    weights = {"mad-one-pass": "mad"}
    jobs: Any = {
        name: [SimpleNamespace(kind="run", needs={weights.get(decoder, decoder): job}) for job in own]
        for name, (decoder, own) in arms.items()
    }
    runs: Any = {
        name: [SimpleNamespace(record=SimpleNamespace(decoder=decoder))] for name, (decoder, _) in arms.items()
    }
    return Results(jobs=jobs, runs=runs, points={name: Point(values={}) for name in arms})


def test_a_score_that_still_moves_is_named(tmp_path: Path) -> None:
    mad = [training(tmp_path / f"mad{n}", {40: 0.2, 80: 0.50 + n / 10, 100: 0.509 + n / 10}) for n in range(2)]
    slow = [training(tmp_path / f"slow{n}", {80: 0.3, 100: 0.311}) for n in range(2)]
    text, data = convergence(
        results(one_pass=("mad-one-pass", mad), mad=("mad", mad), parallel=("parallel", slow))
    )  # fmt: skip
    assert "| one_pass, mad | 2 | 100 | 10.0 | 55.0 → 55.9 (+0.9) |" in text, "arms of the same weights are one row"
    assert "| parallel | 2 | 100 | 10.0 | 30.0 → 31.1 (+1.1) |" in text
    assert "scores still move: parallel (box AP)" in text
    assert data["parallel"] == {
        "seeds": 2, "steps": 100, "core_minutes": 10.0, "scores": {"detection.AP": (0.3, pytest.approx(0.311))}
    }  # fmt: skip


@pytest.mark.parametrize(("last", "moves"), [(0.4961, False), (0.494, True), (0.506, True)])
def test_depth_moves_by_more_than_a_hundredth_of_itself(last: float, moves: bool, tmp_path: Path) -> None:
    own = training(tmp_path / "a", {80: 0.5, 100: last}, key="depth rmse")
    text, _ = convergence(results(parallel=("parallel", [own])))
    assert ("still move" in text) == moves


def test_a_curve_without_evaluations_on_the_way_says_nothing_of_them(tmp_path: Path) -> None:
    text, data = convergence(results(parallel=("parallel", [training(tmp_path / "a", {100: 0.5})])))
    assert "| parallel | 1 | 100 | 10.0 | – |" in text and data["parallel"]["scores"] == {}


def test_stages_are_one_curve(tmp_path: Path) -> None:
    first = training(tmp_path / "first", {100: 0.4})
    whole = curve(training(tmp_path / "second", {60: 0.5, 100: 0.6}, start=first))
    assert (whole.steps, whole.cpu_seconds) == (200, 1200)
    assert [(e.step, e.cpu_seconds) for e in whole.evaluations] == [(100, 600), (160, 960), (200, 1200)]
    assert whole.at(0.8) == {"detection.AP": 0.5} and whole.final == {"detection.AP": 0.6}


def test_steps_until_the_target_s_last_score(tmp_path: Path) -> None:
    goals = (0.4, 0.5, 0.3)
    target = [training(tmp_path / f"t{n}", {50: 0.1, 100: goal}) for n, goal in enumerate(goals)]
    quick = [training(tmp_path / f"q{n}", {20: 0.3, 40: 0.5, 100: 0.45}) for n in range(3)]
    slow = [training(tmp_path / f"s{n}", {20: 0.1, 100: 0.3}) for n in range(3)]
    arms = results(ar=("autoregressive", target), mad=("mad", quick), parallel=("parallel", slow))
    text, data = reach(arms, metric="detection.AP", target="ar")
    mad, parallel = data["trainings"]["mad"], data["trainings"]["parallel"]
    assert mad["steps"]["each"] == pytest.approx([30, 40, 20]), "interpolated; the first evaluation is the bound"
    assert mad["cpu_seconds"]["each"] == pytest.approx([180, 240, 120])
    assert mad["steps"]["share"] == pytest.approx((0.3 * 0.4 * 0.2) ** (1 / 3))
    assert mad["steps"]["low"] < 0.2 and mad["steps"]["high"] > 0.4
    assert parallel["steps"] == {"each": [None, None, 100.0], "shares": [None, None, 1.0]}
    assert "| mad | 30 | 40 | 20 | 0.29 (" in text and "| parallel | not | not | 100 | –, –, 1.00 |" in text


def test_errors_are_reached_from_above(tmp_path: Path) -> None:
    target = training(tmp_path / "t", {100: 0.5}, key="depth rmse")
    other = training(tmp_path / "o", {50: 0.6, 100: 0.4}, key="depth rmse")
    arms = results(ar=("autoregressive", [target]), mad=("mad", [other]))
    _, data = reach(arms, metric="depth.rmse", target="ar")
    assert data["trainings"]["mad"]["steps"]["each"] == pytest.approx([75])
