"""Depth errors: by hand, against the official AiT code's arrays and against a published value."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.base import MetricParts
from tasks.errors import TaskError
from tasks.metrics.depth import NAMES, DepthMetric, depth_errors
from tasks.targets import Targets

SHARED = Path(os.environ.get("DECODER_BENCH_SHARED", "/nonexistent"))
GOLDEN = SHARED / "golden" / "ait.npz"
TRIPLE = SHARED / "data" / "metric_refs" / "fastdepth_triple"
# Names of the official code's arrays, in the order of ours. They were computed in float32: good to about 1e-6 relative.
OFFICIAL = ("d1", "d2", "d3", "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog")


def targets(depth: torch.Tensor | None) -> Targets:
    return Targets(size=(0, 0) if depth is None else (depth.shape[0], depth.shape[1]), depth=depth)


@pytest.fixture
def metric() -> DepthMetric:
    return DepthMetric(parts=MetricParts())


def test_two_pixels_by_hand() -> None:
    errors = depth_errors(torch.tensor([2.0, 5.0]), torch.tensor([1.0, 4.5]), torch.tensor([True, True]))
    near, far = math.log(2), math.log(5 / 4.5)
    assert errors == pytest.approx(
        {
            "delta1": 0.5,  # 5 / 4.5 is below 1.25, 2 / 1 above 1.25 cubed
            "delta2": 0.5,
            "delta3": 0.5,
            "abs_rel": (1 + 0.5 / 4.5) / 2,
            "sq_rel": (1 + 0.25 / 4.5) / 2,
            "rmse": math.sqrt((1 + 0.25) / 2),
            "rmse_log": math.sqrt((near**2 + far**2) / 2),
            "log10": (near + far) / 2 / math.log(10),
            "silog": math.sqrt((near**2 + far**2) / 2 - 0.5 * ((near + far) / 2) ** 2),
        }
    )


def test_deltas_count_ratios_below_five_quarters_and_its_powers() -> None:
    truth, ratios = torch.full((6,), 2.0), torch.tensor([1.245, 1.255, 1.56, 1.565, 1.95, 1.956])
    for prediction in (truth * ratios, truth / ratios):
        errors = depth_errors(prediction, truth, torch.ones(6, dtype=torch.bool))
        assert [6 * errors[f"delta{power}"] for power in (1, 2, 3)] == pytest.approx([1, 3, 5])


def test_predictions_that_are_no_depth_are_clipped() -> None:
    everywhere = torch.ones(4, dtype=torch.bool)
    truth = torch.full((4,), 2.0)
    odd = torch.tensor([float("inf"), float("nan"), -3.0, 0.0])
    clipped = torch.tensor([10.0, 1e-3, 1e-3, 1e-3])
    assert depth_errors(odd, truth, everywhere) == pytest.approx(depth_errors(clipped, truth, everywhere))


def test_bounds_of_the_truth_are_not_valid(metric: DepthMetric) -> None:
    truth = torch.tensor([[0.0, 1e-3, 10.0, 12.0, 5.0]])
    assert metric.observe(1, torch.full((1, 5), 5.0), targets(truth))["pixels"] == 1


def test_eigen_crop_of_480_by_640_only(metric: DepthMetric) -> None:
    whole = metric.observe(1, torch.ones(480, 640), targets(torch.ones(480, 640)))
    assert (whole["pixels"], whole["cropped"]) == (426 * 560, True)
    small = metric.observe(2, torch.ones(48, 64), targets(torch.ones(48, 64)))
    assert (small["pixels"], small["cropped"]) == (48 * 64, False)
    metric.summarize({1: whole, 2: small})
    assert metric.notes() == {"crop": "1 of 2 images are not 480 x 640 and were scored without Eigen's crop"}


def test_crop_leaves_the_border_out(metric: DepthMetric) -> None:
    truth, prediction = torch.full((480, 640), 2.0), torch.full((480, 640), 9.0)
    prediction[45:471, 41:601] = 2.0
    assert metric.observe(1, prediction, targets(truth))["rmse"] == 0


def test_mean_over_images_not_pixels(metric: DepthMetric) -> None:
    records = {
        1: metric.observe(1, torch.full((1, 1), 3.0), targets(torch.full((1, 1), 2.0))),
        2: metric.observe(2, torch.full((5, 5), 2.0), targets(torch.full((5, 5), 2.0))),
    }
    assert json.loads(json.dumps(records[1])) == records[1]
    assert metric.summarize(records)["rmse"] == pytest.approx(0.5)


def test_image_without_valid_pixel_is_counted_and_left_out(metric: DepthMetric) -> None:
    empty = metric.observe(1, torch.ones(2, 2), targets(torch.zeros(2, 2)))
    assert empty["pixels"] == 0
    assert empty["rmse"] is None
    good = metric.observe(2, torch.ones(2, 2), targets(torch.ones(2, 2)))
    assert metric.summarize({1: empty, 2: good})["delta1"] == 1
    assert metric.notes()["excluded"] == "1 of 2 images were left out: no valid depth pixel"
    assert metric.summarize({1: empty}) == dict.fromkeys(NAMES)
    assert metric.summarize({}) == dict.fromkeys(NAMES)


def test_errors_name_what_is_wrong(metric: DepthMetric) -> None:
    with pytest.raises(TaskError, match="image 7 has no depth"):
        metric.observe(7, torch.ones(2, 2), targets(None))
    with pytest.raises(TaskError, match=r"\(2, 3\).*\(2, 2\)"):
        metric.observe(7, torch.ones(2, 3), targets(torch.ones(2, 2)))


@pytest.mark.skipif(not GOLDEN.exists(), reason="the official arrays are not here (DECODER_BENCH_SHARED)")
def test_official_code_without_crop() -> None:
    golden = np.load(GOLDEN)
    truth = torch.from_numpy(golden["metrics_flat/gt"])
    errors = depth_errors(torch.from_numpy(golden["metrics_flat/pred"]), truth, torch.ones(500, dtype=torch.bool))
    for name, official in zip(NAMES, OFFICIAL, strict=True):
        assert errors[name] == pytest.approx(float(golden[f"metrics_flat/{official}"]), rel=1e-6, abs=1e-6), name


@pytest.mark.skipif(not GOLDEN.exists(), reason="the official arrays are not here (DECODER_BENCH_SHARED)")
def test_official_code_with_crop_and_odd_values(metric: DepthMetric) -> None:
    golden = np.load(GOLDEN)
    truth, prediction = (
        torch.from_numpy(golden[f"metrics/{name}_small"]).repeat_interleave(5, 0).repeat_interleave(5, 1)
        for name in ("gt", "pred")
    )
    record = metric.observe(1, prediction, targets(truth))
    assert record["pixels"] == int(golden["metrics/n_valid"])
    for name, official in zip(NAMES, OFFICIAL, strict=True):
        assert record[name] == pytest.approx(float(golden[f"metrics/{official}"]), rel=1e-6, abs=1e-6), name


@pytest.mark.skipif(not TRIPLE.exists(), reason="the published triple is not here (DECODER_BENCH_SHARED)")
def test_published_fastdepth_values(metric: DepthMetric) -> None:
    truth = torch.from_numpy(np.load(TRIPLE / "depth.npy"))
    prediction = torch.from_numpy(np.load(TRIPLE / "pred.npy")).reshape(224, 224)
    values = metric.summarize({1: metric.observe(1, prediction, targets(truth))})
    published = {
        "delta1": 0.7773,
        "delta2": 0.9647,
        "delta3": 0.9996,
        "abs_rel": 0.1405,
        "rmse": 0.6180,
        "log10": 0.0620,
    }
    assert {name: values[name] for name in published} == pytest.approx(published, rel=0, abs=0.5e-4 + 1e-6)
