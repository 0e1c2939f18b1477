"""Differences of several training seeds, drawn over images in pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench.errors import UserError
from bench.stats.seed_means import Interval, MeanTable, paired_difference, table, value
from tasks.base import MetricParts
from tasks.metrics.depth import DepthMetric
from tasks.targets import Targets


def means(values: np.ndarray[Any, Any]) -> MeanTable:
    return MeanTable(list(range(len(values))), {"rmse": values})


def test_the_table_of_a_metric_gives_its_value() -> None:
    depth = DepthMetric(parts=MetricParts())
    truths = [torch.full((4, 5), 2.0), torch.zeros(4, 5), torch.full((4, 5), 4.0)]
    records = {n: depth.observe(n, torch.full((4, 5), 3.0), Targets((4, 5), depth=t)) for n, t in enumerate(truths)}
    own = table(depth, records)
    assert value([own], "rmse") == pytest.approx(depth.summarize(records)["rmse"])
    assert value([own, own], "sq_rel") == pytest.approx(depth.summarize(records)["sq_rel"])
    with pytest.raises(UserError, match="object keeps no per-image table"):
        table(object(), records)


def test_the_interval_of_a_paired_difference() -> None:
    draw = np.random.default_rng(5)
    hard = draw.normal(1.0, 0.5, 200)  # images differ far more than decoders do
    soft = hard - 0.01 + draw.normal(0, 0.02, 200)
    found = paired_difference([means(soft)], [means(hard)], "rmse", resamples=2000)
    spread = 1.96 * float(np.std(soft - hard)) / np.sqrt(200)
    assert found.value == pytest.approx(float((soft - hard).mean()))
    assert found.low == pytest.approx(found.value - spread, abs=0.2 * spread)
    assert found.high == pytest.approx(found.value + spread, abs=0.2 * spread)
    assert found.sure
    same = paired_difference([means(hard)], [means(hard)], "rmse")
    assert same == Interval(0.0, 0.0, 0.0) and not same.sure
    assert paired_difference([means(soft)], [means(hard)], "rmse", resamples=2000) == found


def test_seeds_are_averaged_before_images_are_drawn() -> None:
    up, down, zero = (means(np.full(9, level)) for level in (1.0, -1.0, 0.0))
    assert paired_difference([up, down], [zero, zero], "rmse") == Interval(0.0, 0.0, 0.0)


def test_other_images_are_no_pair() -> None:
    with pytest.raises(ValueError, match="same images"):
        paired_difference([means(np.zeros(3))], [means(np.zeros(4))], "rmse")
