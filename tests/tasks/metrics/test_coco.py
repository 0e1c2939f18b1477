"""COCO evaluation: published values of pycocotools' own example files, and a small invented ground truth."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as rle

from tasks.base import MetricParts
from tasks.errors import TaskError
from tasks.metrics.coco import NAMES, CocoMetric, Kind
from tasks.targets import Detections, Masks, Poses, Targets

SHARED = Path(os.environ.get("DECODER_BENCH_SHARED", "/nonexistent"))
REFERENCES = SHARED / "data" / "metric_refs"
TARGETS = Targets(size=(100, 120))
JOINTS = 17

PUBLISHED = {
    "bbox": (
        "instances_val2014_100.json",
        "instances_val2014_fakebbox100_results.json",
        ".504581 .696973 .572982 .585626 .519400 .501398 .386813 .593680 .595353 .639811 .566421 .564291",
    ),
    "segm": (
        "instances_val2014_100.json",
        "instances_val2014_fakesegm100_results.json",
        ".319545 .562288 .298927 .387374 .310183 .326934 .268230 .415449 .416839 .469450 .376759 .381472",
    ),
    "keypoints": (
        "kp_139099_gt.json",
        "kp_139099_dt.json",
        ".504884 .722772 .633663 .466337 .750495 .518182 .727273 .636364 .466667 .75",
    ),
}


@pytest.mark.skipif(not REFERENCES.exists(), reason="the reference files are not here (DECODER_BENCH_SHARED)")
@pytest.mark.parametrize("kind", NAMES)
def test_published_values(kind: Kind) -> None:
    truth_file, results_file, numbers = PUBLISHED[kind]
    truth = json.loads((REFERENCES / truth_file).read_text())
    records: dict[int, list[Any]] = {image["id"]: [] for image in truth["images"]}
    for result in json.loads((REFERENCES / results_file).read_text()):
        records[result["image_id"]].append(result)
    metric = CocoMetric(kind=kind, parts=MetricParts(ground_truth=truth))
    values = metric.summarize(records)
    published = dict(zip(NAMES[kind], map(float, numbers.split()), strict=True))
    assert values == pytest.approx(published, rel=0, abs=0.5e-6 + 1e-6)
    scored = metric.tables(records).score(np.ones((1, len(records)), dtype=int))
    assert {name: column[0] for name, column in scored.items()} == pytest.approx(values, rel=0, abs=1e-12)


def ground_truth() -> dict[str, Any]:
    """Two images with one large object each, and one without an object."""
    joints = [coordinate for joint in range(JOINTS) for coordinate in (10 + 5 * joint, 20 + 3 * joint, 2)]

    def found(number: int, image: int, category: int) -> dict[str, Any]:
        return {
            **{"id": number, "image_id": image, "category_id": category, "iscrowd": 0},
            **{"bbox": [10, 20, 100, 100], "area": 10000, "num_keypoints": JOINTS, "keypoints": joints},
            "segmentation": [[10, 20, 110, 20, 110, 120, 10, 120]],
        }

    return {
        "images": [{"id": image, "height": 130, "width": 140} for image in (3, 5, 9)],
        "annotations": [found(1, 3, 1), found(2, 5, 7)],
        "categories": [{"id": 1, "name": "person"}, {"id": 7, "name": "lamp"}],
    }


def metric(kind: Kind, truth: dict[str, Any] | None = None) -> CocoMetric:
    return CocoMetric(kind=kind, parts=MetricParts(ground_truth=truth or ground_truth(), category_ids=[1, 7]))


def detections(class_index: int, score: float = 0.5) -> Detections:
    box = torch.tensor([[10.0, 20.0, 110.0, 120.0]])
    return Detections(box, torch.tensor([score]), torch.tensor([class_index]), torch.tensor([0]))


NONE = Detections(
    torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
)


def test_observed_boxes_are_coco_results() -> None:
    record = metric("bbox").observe(5, detections(1), TARGETS)
    assert record == [{"image_id": 5, "category_id": 7, "score": 0.5, "bbox": [10.0, 20.0, 100.0, 100.0]}]
    assert json.loads(json.dumps(record)) == record


def test_perfect_boxes_score_one_and_sizes_that_do_not_exist_are_absent() -> None:
    own = metric("bbox")
    records = {image: own.observe(image, detections(index), TARGETS) for image, index in ((3, 0), (5, 1))}
    values = own.summarize({**records, 9: []})
    assert values["AP"] == pytest.approx(1)
    assert values["APl"] == pytest.approx(1)
    assert values["APs"] is None
    assert values["ARm"] is None


def test_perfect_masks_score_one() -> None:
    own = metric("segm")
    grid = np.zeros((130, 140), dtype=np.uint8, order="F")
    grid[20:120, 10:110] = 1
    masks = Masks([rle.encode(grid)], torch.tensor([0.9]), torch.tensor([0]))
    record = own.observe(3, masks, TARGETS)
    assert isinstance(record[0]["segmentation"]["counts"], str)
    assert json.loads(json.dumps(record)) == record
    assert own.summarize({3: record})["AP"] == pytest.approx(1)


def test_perfect_keypoints_score_one() -> None:
    truth = ground_truth()
    own = metric("keypoints", truth)
    joints = torch.tensor(truth["annotations"][0]["keypoints"]).float().reshape(1, JOINTS, 3)
    record = own.observe(3, Poses(joints, torch.tensor([0.9]), torch.tensor([0])), TARGETS)
    assert len(record[0]["keypoints"]) == 3 * JOINTS
    assert own.summarize({3: record})["AP"] == pytest.approx(1)


@pytest.mark.parametrize("kind", NAMES)
def test_no_detection_at_all_is_zero(kind: Kind) -> None:
    own = metric(kind)
    values = own.summarize({3: own.observe(3, NONE, TARGETS), 5: [], 9: []})
    assert {value for name, value in values.items() if name[-1] not in "sm"} == {0.0}
    assert metric(kind).summarize({}) == dict.fromkeys(NAMES[kind])


def test_images_without_objects_have_no_value() -> None:
    assert metric("bbox").summarize({9: metric("bbox").observe(9, detections(0), TARGETS)}) == dict.fromkeys(
        NAMES["bbox"]
    )


def test_only_the_images_with_a_record_count() -> None:
    own = metric("bbox")
    assert own.summarize({3: own.observe(3, detections(0), TARGETS)})["AP"] == pytest.approx(1)
    missed = own.summarize({3: own.observe(3, detections(0), TARGETS), 5: []})
    assert missed["AP"] == pytest.approx(0.5)


def test_false_alarm_on_an_empty_image_counts() -> None:
    own = metric("bbox")
    right, wrong = own.observe(3, detections(0, 0.5), TARGETS), own.observe(9, detections(0, 0.9), TARGETS)
    assert own.summarize({3: right, 9: wrong})["AP"] == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_nothing_is_printed_or_changed(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    truth = ground_truth()
    own = metric(kind, truth)
    shape: dict[str, Any] = {"bbox": [10.0, 20.0, 50.0, 50.0]}
    if kind == "segm":
        shape = {
            "segmentation": {"size": [130, 140], "counts": rle.encode(np.ones((130, 140), "uint8", "F"))["counts"]}
        }
        shape["segmentation"]["counts"] = shape["segmentation"]["counts"].decode()
    records = {3: [{"image_id": 3, "category_id": 1, "score": 0.5, **shape}]}
    before = copy.deepcopy((truth, records))
    first = own.summarize(records)
    assert own.summarize(records) == first
    assert (truth, records) == before
    assert capsys.readouterr().out == ""


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(TaskError, match=r"'boxes'.*bbox, segm, keypoints"):
        metric("boxes")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="needs the annotation file"):
        CocoMetric(kind="bbox", parts=MetricParts())
    with pytest.raises(TaskError, match="image 4 "):
        metric("bbox").summarize({3: [], 4: []})


def test_joints_other_than_coco_need_tolerances() -> None:
    truth = ground_truth()
    for annotation in truth["annotations"]:
        annotation["keypoints"] = annotation["keypoints"][:6]
        annotation["num_keypoints"] = 2
    truth["categories"][0]["keypoints"] = ["top", "bottom"]
    record = {3: [{"image_id": 3, "category_id": 1, "score": 1.0, "keypoints": truth["annotations"][0]["keypoints"]}]}
    with pytest.raises(TaskError, match="'person' has 2 keypoints but 17 tolerances"):
        metric("keypoints", truth).summarize(record)
    truth["categories"][0]["sigmas"] = [0.05, 0.05]
    assert metric("keypoints", truth).summarize(record)["AP"] == pytest.approx(1)
