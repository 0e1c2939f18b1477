"""Intervals cover as often as they say, tests raise as few false alarms as they say, and everything repeats."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.errors import UserError
from bench.stats import bootstrap, pairing, permutation
from bench.stats import time_ratio as ratios
from bench.stats.multiple_comparisons import holm
from tasks.metrics.tables import MeanTable


def table(values: np.ndarray, first: int = 1) -> MeanTable:
    return MeanTable(range(first, first + len(values)), {"error": values})


def test_a_paired_difference_is_found_that_an_unpaired_test_misses() -> None:
    """A 3 % difference over images that differ among themselves by 50 %."""
    rng = np.random.default_rng(1)
    base = rng.uniform(1, 3, 60)
    worse = base * 1.03 * np.exp(rng.normal(0, 0.03, 60))
    assert stats.mannwhitneyu(base, worse).pvalue > 0.3
    found = bootstrap.paired(table(base), table(worse))["error"]
    assert found is not None
    assert found.value == pytest.approx(worse.mean() - base.mean())
    assert 0 < found.low < found.value < found.high
    assert found.p < 0.01
    assert ratios.time_ratio(base, worse).p < 0.01


def test_interval_and_p_agree_and_the_same_seed_gives_the_same() -> None:
    rng = np.random.default_rng(2)
    for shift in (0.0, 0.1, 0.2, 0.3, 0.5):
        a, b = table(rng.normal(0, 1, 40)), table(rng.normal(shift, 1, 40))
        found, again, other = (bootstrap.paired(a, b, seed=seed)["error"] for seed in (7, 7, 8))
        assert found and again and other
        assert (found.low, found.high, found.p) == (again.low, again.high, again.p)
        assert found.low != other.low
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)


def test_intervals_leave_a_fortieth_of_the_resamples_out_at_each_end() -> None:
    found = bootstrap.estimate(np.array([0.5, *(np.arange(1001) / 1000)]))
    assert found and (found.low, found.high) == (pytest.approx(0.025), pytest.approx(0.975))
    assert found.p == pytest.approx(2 * 2 / 1002), "one resample is not above 0, none of the others is below"


def test_the_interval_is_the_textbook_one_for_means() -> None:
    rng = np.random.default_rng(3)
    difference = rng.normal(0.5, 1, 400)
    found = bootstrap.paired(table(np.zeros(400)), table(difference), resamples=4000)["error"]
    assert found
    half = 1.96 * difference.std() / 20
    assert found.low == pytest.approx(difference.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(difference.mean() + half, abs=0.1 * half)
    assert found.detectable == pytest.approx(2.8 / 1.96 * half, rel=0.05)


def test_the_smallest_detectable_difference_is_found_four_times_out_of_five() -> None:
    rng = np.random.default_rng(4)
    size = 2.8 / 60**0.5
    ps = [bootstrap.paired(table(np.zeros(60)), table(rng.normal(size, 1, 60)), resamples=400) for _ in range(200)]
    assert 0.7 < np.mean([p["error"].p < 0.05 for p in ps if p["error"]]) < 0.9


def test_equal_runs_differ_by_nothing() -> None:
    values = np.random.default_rng(5).normal(0, 1, 30)
    found = bootstrap.paired(table(values), table(values))["error"]
    assert found and (found.value, found.low, found.high, found.p, found.detectable) == (0, 0, 0, 1, 0)
    ratio = ratios.time_ratio(values**2 + 1, values**2 + 1)
    assert (ratio.value, ratio.p) == (1, 1)


def test_resamples_without_a_value_are_left_out() -> None:
    values = np.array([np.nan] * 9 + [1.0])
    found = bootstrap.paired(table(np.zeros(10)), table(values))["error"]
    assert found and 500 < len(found.draws) < 800
    assert bootstrap.paired(table(np.zeros(10)), table(np.full(10, np.nan)))["error"] is None


def test_different_images_are_refused() -> None:
    with pytest.raises(UserError, match="different images"):
        bootstrap.paired(table(np.zeros(5)), table(np.zeros(5), first=2))
    with pytest.raises(UserError, match="no pairs"):
        ratios.time_ratio([1.0], [1.0, 2.0])


def test_one_sided_p_beyond_a_margin() -> None:
    draws = np.random.default_rng(0).normal(1, 1, 999)
    for margin, p in ((-0.5, 0.067), (1, 0.5), (2, 0.84), (5, 1)):
        assert bootstrap.beyond(draws, 1, margin) == pytest.approx(p, abs=0.05)
    assert 1e-7 < bootstrap.beyond(draws, 1, -4) < 1e-6, "smaller than one resample can say"
    assert bootstrap.beyond(np.zeros(99), 0, 0) == 1


@pytest.mark.parametrize("count", [8, 13, 14, 40])
def test_sign_flips_are_scipys_permutation_test(count: int) -> None:
    values = np.random.default_rng(count).normal(0.4, 1, count)
    known = stats.permutation_test(
        (values, np.zeros(count)),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        n_resamples=9999 if count > 13 else np.inf,
        rng=np.random.default_rng(0),
        vectorized=True,
    )
    assert permutation.sign_flips(values) == pytest.approx(known.pvalue, abs=0.02 if count > 13 else 1e-12)


@pytest.mark.parametrize("count", [6, 10, 25, 60, 61])
def test_hodges_lehmann_inverts_the_signed_rank_test(count: int) -> None:
    """Just inside the interval Wilcoxon's test does not reject, just outside it does."""
    values = np.random.default_rng(count).normal(1, 1, count)
    value, low, high = permutation.hodges_lehmann(values)
    assert low < value < high
    method = "exact" if count <= 60 else "approx"
    for end, outwards in ((low, -1e-9), (high, 1e-9)):
        assert stats.wilcoxon(values - end - outwards, method=method).pvalue <= 0.0502
        assert stats.wilcoxon(values - end + outwards, method=method).pvalue > 0.0495


def test_five_values_have_no_interval() -> None:
    value, low, high = permutation.hodges_lehmann(np.array([1.0, 2, 3, 4, 5]))
    assert (value, low, high) == (3, -np.inf, np.inf)


def test_one_outlier_in_ten_does_not_move_the_ratio() -> None:
    first = np.full(200, 10.0)
    second = first * 1.1
    second[:7] *= 40
    assert ratios.time_ratio(first, second).value == pytest.approx(1.1, rel=0.01)


def test_holm() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), 0.06]
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def drifting(rng: np.random.Generator, images: int) -> np.ndarray:
    """Log-times of a machine whose speed wanders: noise of 5 %, and a slow part of 2 % that lasts some five images."""
    slow = np.zeros(images)
    for n in range(1, images):
        slow[n] = 0.8 * slow[n - 1] + rng.normal(0, 0.02 * (1 - 0.64) ** 0.5)
    return slow + rng.normal(0, 0.05, images)


def test_drift_raises_no_more_false_alarms_than_stated() -> None:
    rng = np.random.default_rng(6)
    runs = [drifting(rng, 300) - drifting(rng, 300) for _ in range(300)]
    blocked = np.mean([ratios.ratio_of(logs).p < 0.05 for logs in runs])
    naive = np.mean([permutation.sign_flips(logs, flips=500) < 0.05 for logs in runs])
    assert naive > 0.1, "images taken for independent"
    assert blocked < 0.09


def test_a_block_is_a_whole_number_of_batches() -> None:
    batches = np.repeat(np.arange(38), 8)[:300]
    means = ratios.block_means(batches.astype(float), batches.tolist())
    assert len(means) == 12
    assert len(ratios.block_means(batches.astype(float), [0] * 150 + [1] * 150)) == 2
    noise = np.random.default_rng(3).normal(0, 0.05, (200, 38))
    alarms = np.mean([ratios.ratio_of(own[batches], batches.tolist()).p < 0.05 for own in noise])
    assert alarms < 0.09
    few = [ratios.ratio_of(own[batches][:64], batches[:64].tolist()) for own in noise]
    assert {ratio.blocks for ratio in few} == {8}, "eight batches are eight measurements, however many images"
    assert np.mean([ratio.p < 0.05 for ratio in few]) < 0.09
    naive = np.mean([ratios.ratio_of(own[batches][:64]).p < 0.05 for own in noise])
    assert naive > 0.09, "blocks that cut batches"


def test_images_of_two_runs_stay_together_while_a_batch_of_either_lasts() -> None:
    assert pairing.measurement_blocks([0, 1, 2, 3]) == [0, 1, 2, 3]
    assert pairing.measurement_blocks([0, 0, 1, 1, 2, 2], [0, 1, 2, 3, 4, 5]) == [0, 0, 1, 1, 2, 2]
    assert pairing.measurement_blocks([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1]) == [0] * 6
    assert pairing.measurement_blocks([]) == []


def test_a_slower_run_is_measured_with_its_interval() -> None:
    rng = np.random.default_rng(8)
    inside = 0
    for _ in range(100):
        ratio = ratios.ratio_of(np.log(1.1) + drifting(rng, 300) - drifting(rng, 300))
        inside += ratio.low <= 1.1 <= ratio.high
        assert ratio.blocks == 12
    assert inside > 86
