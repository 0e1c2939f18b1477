"""Intervals over seeds and images: hand-computed values, and coverage in simulated studies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.stats.crossed import crossed_mean, errors_resolvable, seed_mean


def test_seeds_alone_give_students_test() -> None:
    values = np.array([1.0, 2.0, 4.0])
    mean, test = seed_mean(values), stats.ttest_1samp(values, 0)
    low, high = test.confidence_interval(0.95)
    assert mean.value - mean.reach == pytest.approx(low) and mean.value + mean.reach == pytest.approx(high)
    assert mean.p == pytest.approx(test.pvalue) and mean.degrees == pytest.approx(2)


def test_parts_of_the_variance_and_their_degrees_of_freedom() -> None:
    """Seeds 0, 1, 2: variance 1 / 3 of the mean; images 1 / 6: 2 and 100 degrees of freedom weighted 2 : 1."""
    mean = seed_mean(np.array([0.0, 1.0, 2.0]), 1 / 6, 101)
    assert mean.error == pytest.approx(0.5**0.5)
    assert 1 / mean.degrees == pytest.approx((2 / 3) / 2 + (1 / 3) / 100)


def test_what_each_seed_does_to_an_image_is_counted_once() -> None:
    """Resamples of three seeds: a part of variance 4 that all share, and one of variance 9 that each has."""
    shared, own = np.array([2.0, -2.0, 2.0, -2.0]), 3 * np.array([[1, 1, -1, -1], [0, 0, 0, 0], [-1, -1, 1, 1]])
    draws = np.concatenate([np.zeros((3, 1)), shared + own], axis=1)
    together, single = (shared + own).mean(axis=0).var(ddof=1), (shared + own).var(axis=1, ddof=1).mean()
    assert crossed_mean(draws, 50).error ** 2 == pytest.approx(together - (single - together) / 2)
    nothing = crossed_mean(np.concatenate([np.zeros((3, 1)), own], axis=1), 50)
    assert nothing.error == nothing.reach == 0, "images that each seed sees otherwise are in the spread of seeds"


def test_resamples_without_a_value_and_means_without_a_spread() -> None:
    draws = np.array([[1.0, 2.0, np.nan, 0.0], [1.0, 2.0, 5.0, 0.0]])
    assert crossed_mean(draws, 10).error == pytest.approx(2**0.5)
    assert seed_mean(np.zeros(3)).p == 1 and seed_mean(np.ones(3)).p == 0


def test_the_resolvable_effect_is_found_four_times_out_of_five() -> None:
    rng = np.random.default_rng(0)
    assert errors_resolvable(1e6) == pytest.approx(1.96 + 0.8416, abs=1e-3)
    for seeds in (3, 5):
        samples = rng.normal(size=(4000, seeds))
        size = np.mean([seed_mean(row).resolvable for row in samples])
        assert np.mean([seed_mean(row + size).p < 0.05 for row in samples]) == pytest.approx(0.8, abs=0.03)
