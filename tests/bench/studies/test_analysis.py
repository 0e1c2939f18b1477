"""Contrasts are weighted sums paired by seed and image, and cover seeds where these were trained."""

from __future__ import annotations

import numpy as np
import pytest

from bench.studies.analysis import Scores, differences, interval, point
from bench.studies.contrasts import contrasts
from bench.studies.definition import Contrast

IMAGES = np.random.default_rng(0).normal(size=(4, 200))


def scored(value: float, noise: int) -> Scores:
    """An arm whose resamples scatter by 0.01 around a value."""
    return Scores({"depth.rmse": value}, {"depth.rmse": np.array([value, *(value + 0.01 * IMAGES[noise])])})


def test_seeds_give_students_interval_where_there_are_no_tables() -> None:
    arms = {name: [Scores({"depth.rmse": v}, trained=True) for v in values] for name, values in
            {"a": (0.5, 0.6, 0.7), "b": (0.4, 0.5, 0.6), "c": (0.4,)}.items()}  # fmt: skip
    (found,) = differences({name: arms[name] for name in "ab"})
    assert found.value == pytest.approx(-0.1) and found.agreeing
    assert found.high - found.low == pytest.approx(0, abs=1e-9), "equal differences have no spread"
    assert interval([(-1, arms["a"]), (1, arms["c"])], "depth.rmse") is None, "seeds are paired"


def test_an_arm_is_its_mean_over_seeds() -> None:
    found = point([scored(0.5, 0), scored(0.7, 1)])
    assert found.values["depth.rmse"] == pytest.approx(0.6) and found.seed_values["depth.rmse"] == [0.5, 0.7]
    assert found.deviations["depth.rmse"] == pytest.approx(0.2 / 2**0.5)
    low, high = found.intervals["depth.rmse"]
    assert low < 0.6 < high and high - low < 0.05


def test_a_contrast_may_be_an_interaction() -> None:
    values = {"joint mad": 0.9, "joint parallel": 0.6, "alone mad": 0.7, "alone parallel": 0.65}
    arms = {
        name: [scored(value, number), scored(value + 0.1, number)]
        for number, (name, value) in enumerate(values.items())
    }
    gain = Contrast(
        arms={"joint mad": 1, "joint parallel": -1, "alone mad": -1, "alone parallel": 1},
        metrics={"depth.rmse": "up", "depth.delta1": 0.1},
    )
    (found,) = contrasts({"gain": gain, "not run": Contrast(arms={"x": 1}, metrics={"depth.rmse": 1.0})}, arms)
    assert found.value == pytest.approx(0.25) and found.seed_values == pytest.approx([0.25, 0.25])
    assert 0 < found.low < 0.25 < found.high and found.verdict == "agrees"


def test_arms_that_share_what_images_do_differ_surely() -> None:
    arms = {"a": [scored(0.5, 0)], "b": [scored(0.501, 0)]}
    (found,) = differences(arms)
    assert found.low == pytest.approx(0.001) == found.high and found.agreeing is None
