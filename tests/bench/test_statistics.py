"""Average precision from matches is pycocotools' own, resamples repeat images, and intervals are paired."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.statistics import Interval, MeanTable, paired_difference, table, value
from tasks.base import MetricParts
from tasks.metrics.coco import CocoMetric
from tasks.metrics.depth import DepthMetric

IMAGES = 12
Records = dict[int, list[dict[str, Any]]]


def scene(seed: int, *, digits: int = 1) -> tuple[dict[str, Any], Records]:
    """Objects of three classes, some of them crowds, some images empty; detections near them, doubled or false.

    Scores of 0 digits are all tied or nearly so, as those of annotated objects are.
    """
    draw = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    records: Records = {image: [] for image in range(1, IMAGES + 1)}
    for image in range(1, IMAGES + 1):
        for _ in range(int(draw.integers(0, 6))):
            box = [*draw.uniform(0, 100, 2), *draw.uniform(5, 150, 2)]
            category = int(draw.integers(1, 4)) if image % 4 else 1
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": category, "bbox": box}
                | {"area": box[2] * box[3], "iscrowd": int(draw.random() < 0.1)}
            )
            for _ in range(int(draw.integers(0, 4))):
                near = [side + float(draw.normal()) * 8 for side in box]
                score = round(float(draw.random()), digits)
                records[image].append(
                    {"image_id": image, "category_id": int(draw.integers(1, 4)) if draw.random() < 0.2 else category}
                    | {"bbox": [near[0], near[1], abs(near[2]), abs(near[3])], "score": score}
                )
    truth = {
        "images": [{"id": image, "height": 300, "width": 300} for image in records],
        "annotations": annotations,
        "categories": [{"id": number, "name": str(number)} for number in (1, 2, 3, 4)],  # the last one never occurs
    }
    return truth, records


def metric(truth: dict[str, Any]) -> CocoMetric:
    return CocoMetric(kind="bbox", parts=MetricParts(ground_truth=truth, category_ids=[1, 2, 3, 4]))


@pytest.mark.parametrize("digits", [0, 1, 9])
@pytest.mark.parametrize("seed", range(3))
def test_every_image_once_is_what_pycocotools_says(seed: int, digits: int) -> None:
    truth, records = scene(seed, digits=digits)
    official = metric(truth).summarise(records)
    own = table(metric(truth), records)
    for name in ("AP", "AP50", "AP75"):
        assert official[name] is not None
        assert value([own], name) == pytest.approx(official[name], rel=0, abs=1e-12)


def repeated(truth: dict[str, Any], records: Records, weights: list[int]) -> tuple[dict[str, Any], Records]:
    """A data set that holds each image as often as its weight says, copies beside each other."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: Records = {}
    for (image, found), count in zip(records.items(), weights, strict=True):
        for copy in range(count):
            number = image * 100 + copy
            images.append({"id": number, "height": 300, "width": 300})
            own = [one for one in truth["annotations"] if one["image_id"] == image]
            annotations += [dict(one, image_id=number, id=len(annotations) + k) for k, one in enumerate(own, start=1)]
            results[number] = [dict(one, image_id=number) for one in found]
    return {"images": images, "annotations": annotations, "categories": truth["categories"]}, results


@pytest.mark.parametrize("seed", range(3))
def test_a_resample_is_a_data_set_with_copies_of_images(seed: int) -> None:
    truth, records = scene(seed, digits=9)  # copies of tied detections could be ranked in more than one order
    weights = np.random.default_rng(seed).multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), 3)
    found = table(metric(truth), records).score(weights, "AP")
    for row, own in zip(weights, found, strict=True):
        copies, results = repeated(truth, records, row.tolist())
        official = metric(copies).summarise(results)["AP"]
        assert own == pytest.approx(official, rel=0, abs=1e-12)


def test_nothing_to_find_is_not_a_number() -> None:
    truth, records = scene(0)
    empty = dict(truth, annotations=[])
    assert np.isnan(table(metric(empty), records).score(np.ones((1, IMAGES)), "AP")).all()
    some = table(metric(truth), {image: [] for image in records})
    assert value([some], "AP") == 0


def test_depth_is_a_mean_over_the_images_that_have_one() -> None:
    import torch

    from tasks.targets import Targets

    depth = DepthMetric(parts=MetricParts())
    truths = [torch.full((4, 5), 2.0), torch.zeros(4, 5), torch.full((4, 5), 4.0)]
    records = {n: depth.observe(n, torch.full((4, 5), 3.0), Targets((4, 5), depth=t)) for n, t in enumerate(truths)}
    own = table(depth, records)
    assert value([own], "rmse") == pytest.approx(depth.summarise(records)["rmse"])
    assert own.score(np.array([[3, 1, 1], [0, 2, 0]]), "sq_rel")[0] == pytest.approx((3 * 0.5 + 0.25) / 4)
    assert np.isnan(own.score(np.array([[0, 2, 0]]), "rmse")[0])


def means(values: np.ndarray[Any, Any]) -> MeanTable:
    return MeanTable(list(range(len(values))), {"rmse": values})


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
