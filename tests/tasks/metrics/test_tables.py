"""Tables score a resample as the metric itself scores a data set in which images really are there several times."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as rle

from tasks.base import MetricParts
from tasks.errors import TaskError
from tasks.metrics import captions
from tasks.metrics.caption_table import CaptionTable, meteor
from tasks.metrics.captions import CaptionMetric
from tasks.metrics.coco import NAMES, CocoMetric, Kind
from tasks.metrics.depth import DepthMetric
from tasks.metrics.tables import MeanTable, ScoreTable
from tasks.metrics.unpacking import unpack

IMAGES, SIDE, JOINTS = 14, 400, 17
WEIGHTS = np.array([[2, 0, 1, 1, 0, 3, 1, 0, 0, 2, 1, 1, 1, 1], [0, 5, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0]])


def once(count: int) -> NDArray[Any]:
    return np.ones((1, count), dtype=int)


def same(values: dict[str, float | None], scored: dict[str, NDArray[Any]], row: int = 0) -> None:
    """A metric's values and a row of a table's, absent ones included."""
    assert list(values) == list(scored)
    numbers = [np.nan if value is None else value for value in values.values()]
    np.testing.assert_allclose([column[row] for column in scored.values()], numbers, rtol=0, atol=1e-12)


def shape(kind: Kind, rng: np.random.Generator, box: list[float]) -> dict[str, Any]:
    x, y, width, height = box
    if kind == "bbox":
        return {"bbox": box}
    if kind == "segm":
        grid = np.zeros((SIDE, SIDE), dtype=np.uint8, order="F")
        grid[int(y) : int(y + height), int(x) : int(x + width)] = 1
        code = rle.encode(grid)
        return {"segmentation": {"size": code["size"], "counts": code["counts"].decode()}}
    joints = rng.uniform(0, 1, (JOINTS, 2)) * [width, height] + [x, y]
    return {"keypoints": np.column_stack([joints, np.full(JOINTS, 2)]).ravel().tolist(), "num_keypoints": JOINTS}


def invented(kind: Kind, *, tied: bool, seed: int = 3) -> tuple[dict[str, Any], dict[int, list[Any]]]:
    """Ground truth of three sizes with crowds, images without objects or detections; detections near and far."""
    rng = np.random.default_rng(seed)
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": c, "name": str(c)} for c in (1, 2)]}
    records: dict[int, list[Any]] = {}
    for image in range(1, IMAGES + 1):
        truth["images"].append({"id": image, "height": SIDE, "width": SIDE})
        records[image] = []
        for _ in range(0 if image == 4 else rng.integers(1, 5)):
            side = float(rng.choice([24, 70, 150])) * rng.uniform(0.9, 1.1)
            box = [*rng.uniform(0, SIDE - 170, 2).tolist(), side, side * 0.8]
            category, own = int(rng.integers(1, 3)), shape(kind, rng, box)
            crowd = int(rng.random() < 0.15) if kind != "keypoints" else 0
            truth["annotations"].append(
                {"id": len(truth["annotations"]) + 1, "image_id": image, "category_id": category, "iscrowd": crowd}
                | {"area": box[2] * box[3], "bbox": box, **own}
            )
            for _ in range(0 if image == 8 else rng.integers(0, 4)):
                moved = [box[0] + rng.normal(0, side / 15), box[1] + rng.normal(0, side / 15), *box[2:]]
                found = shape(kind, rng, moved)
                if kind == "keypoints":
                    noise = rng.normal(0, side / 40, (JOINTS, 3)) * [1, 1, 0]
                    found = {"keypoints": (np.reshape(own["keypoints"], (JOINTS, 3)) + noise).ravel().tolist()}
                score = float(rng.choice([0.2, 0.5, 0.8])) if tied else float(rng.random())
                records[image].append({"image_id": image, "category_id": category, "score": score, **found})
    return truth, records


def coco(kind: Kind, truth: dict[str, Any]) -> CocoMetric:
    return CocoMetric(kind=kind, parts=MetricParts(ground_truth=truth, category_ids=[1, 2]))


def repeated(
    truth: dict[str, Any], records: dict[int, list[Any]], weights: NDArray[Any]
) -> tuple[dict[str, Any], dict[int, list[Any]]]:
    """The data set in which image i is there ``weights[i]`` times, under ids of their own."""
    made: dict[str, Any] = {"images": [], "annotations": [], "categories": truth["categories"]}
    kept: dict[int, list[Any]] = {}
    for image, times in zip(truth["images"], weights, strict=True):
        for _ in range(times):
            number = len(made["images"]) + 1
            made["images"].append(image | {"id": number})
            kept[number] = [copy.deepcopy(result) | {"image_id": number} for result in records[image["id"]]]
            own = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
            made["annotations"] += [copy.deepcopy(a) | {"image_id": number} for a in own]
    return made, kept


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", NAMES)
def test_with_every_image_once_the_values_are_pycocotools(kind: Kind, tied: bool) -> None:
    truth, records = invented(kind, tied=tied)
    metric = coco(kind, truth)
    values = metric.summarize(records)
    assert 0.05 < (values["AP"] or 0) < 0.95, "a set that tells right from wrong"
    same(values, metric.tables(records).score(once(IMAGES)))


@pytest.mark.parametrize("kind", NAMES)
def test_an_image_drawn_twice_counts_twice(kind: Kind) -> None:
    truth, records = invented(kind, tied=False)
    scored = coco(kind, truth).tables(records).score(WEIGHTS)
    for row, weights in enumerate(WEIGHTS):
        made, kept = repeated(truth, records, weights)
        same(coco(kind, made).summarize(kept), scored, row)


def test_many_resamples_are_the_same_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, records = invented("bbox", tied=False)
    table = coco("bbox", truth).tables(records)
    monkeypatch.setattr("tasks.metrics.matches.CHUNK", 20)
    together = table.score(WEIGHTS, ["AP75", "AR10"])
    assert list(together) == ["AP75", "AR10"]
    for row in range(len(WEIGHTS)):
        alone = table.score(WEIGHTS[row : row + 1])
        assert all(together[name][row] == alone[name][0] for name in together)


def test_best_hundred_of_an_image_count() -> None:
    truth, records = invented("bbox", tied=False)
    poor = [result | {"score": result["score"] / 1e3} for result in records[1]]
    far = {"image_id": 1, "category_id": records[1][0]["category_id"], "bbox": [0.0, 0.0, 1.0, 1.0]}
    records[1] = poor + [far | {"score": 1 - n / 1e3} for n in range(100)]
    metric = coco("bbox", truth)
    same(metric.summarize(records), metric.tables(records).score(once(IMAGES)))


def test_nothing_found_and_nothing_to_find() -> None:
    truth, records = invented("bbox", tied=False)
    metric = coco("bbox", truth)
    blind: dict[int, list[Any]] = {image: [] for image in records}
    same(metric.summarize(blind), metric.tables(blind).score(once(IMAGES)))
    empty = metric.tables(records).score(np.eye(IMAGES, dtype=int)[3:4])
    assert all(np.isnan(column).all() for column in empty.values()), "image 4 has no object"


needs_java = pytest.mark.skipif(captions.java_version() is None, reason="needs Java")

REFERENCE_TEXTS = {
    1: ["a red ring on a table", "one red ring lies on a wooden table"],
    2: ["two blue boxes", "two boxes and a ball"],
    3: ["a man rides a horse", "a person on a horse in a field"],
    5: ["a dog"],
}
CAPTIONS = {1: "a red ring on a box", 2: "two blue boxes", 3: "a man on a horse in the field", 5: ""}


def caption_metric(references: dict[int, list[str]]) -> CaptionMetric:
    return CaptionMetric(parts=MetricParts(references=references, caption_tokenizer="python"))


def caption_records(texts: dict[int, str]) -> dict[int, dict[str, Any]]:
    return {image: {"caption": text} for image, text in texts.items()}


@needs_java
@pytest.mark.usefixtures("shared_meteor")
def test_meteor_adds_up_as_its_program_does() -> None:
    metric = caption_metric(REFERENCE_TEXTS)
    records = caption_records(CAPTIONS)
    values = {name: value for name, value in metric.summarize(records).items() if value is not None}
    assert "METEOR" in values
    same(values, metric.tables(records).score(once(4)))


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "java_version", lambda: None)


@pytest.mark.usefixtures("without_java")
def test_captions_drawn_twice_count_twice() -> None:
    metric = caption_metric(REFERENCE_TEXTS)
    records = caption_records(CAPTIONS)
    table, each = metric.tables(records), metric.per_image(records)
    scored = table.score(np.array([[2, 0, 1, 1]]))
    assert scored.keys() == {"BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"}
    # CIDEr's document frequencies are the whole set's, however often an image is drawn.
    cider = (2 * each[1]["CIDEr"] + each[3]["CIDEr"] + each[5]["CIDEr"]) / 4
    assert scored.pop("CIDEr")[0] == pytest.approx(cider)
    drawn = [1, 1, 3, 5]
    repeats = caption_metric({n: REFERENCE_TEXTS[image] for n, image in enumerate(drawn)})
    values = repeats.summarize(caption_records({n: CAPTIONS[image] for n, image in enumerate(drawn)}))
    same({name: values[name] for name in scored}, scored)


def test_meteors_formula_gives_what_its_program_printed() -> None:
    """Counts and scores printed by METEOR 1.5 for two captions, and for both together."""
    counted = [
        [11, 10, 5, 4, 4, 4, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 6, 6],
        [12, 15, 7, 7, 4, 4, 6, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 10, 10],
    ]
    printed = [0.30191310466422383, 0.3038254758873447]
    assert meteor(np.array(counted, dtype=float)).tolist() == pytest.approx(printed, rel=0, abs=1e-15)
    assert meteor(np.zeros((1, 23))) == [0.0]


def depth_record(value: float, pixels: int = 9) -> dict[str, Any]:
    names = ("delta1", "delta2", "delta3", "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog")
    return {**dict.fromkeys(names, value if pixels else None), "pixels": pixels, "cropped": True}


def test_depth_is_a_mean_over_images_with_valid_pixels() -> None:
    metric = DepthMetric(parts=MetricParts())
    records = {1: depth_record(0.1), 2: depth_record(0.5), 7: depth_record(0.0, pixels=0)}
    table = metric.tables(records)
    same(metric.summarize(records), table.score(once(3)))
    scored = table.score(np.array([[2, 1, 5], [0, 0, 8]]))["rmse"]
    assert scored[0] == pytest.approx(0.7 / 3)
    assert np.isnan(scored[1])
    assert "rmse" in table.lower and "delta1" not in table.lower


def some_tables() -> list[ScoreTable]:
    truth, records = invented("bbox", tied=True)
    return [
        coco("bbox", truth).tables(records),
        CaptionTable([1, 2], np.arange(20).reshape(2, 10), {"CIDEr": [0.4, 1.5]}, np.ones((2, 23)), ["CIDEr"]),
        MeanTable([4, 9], {"error": [0.5, float("nan")]}, frozenset(["error"])),
    ]


@pytest.mark.parametrize("table", some_tables(), ids=["matches", "captions", "means"])
def test_a_packed_table_scores_the_same(table: ScoreTable) -> None:
    again = unpack(json.loads(json.dumps(table.pack())))
    weights = np.random.default_rng(0).integers(0, 3, (5, len(table.images)))
    before, after = table.score(weights), again.score(weights)
    assert list(before) == list(after) == list(again.names)
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)
    assert (again.images, again.lower) == (table.images, table.lower)


@pytest.mark.parametrize("table", some_tables(), ids=["matches", "captions", "means"])
def test_a_broken_table_is_refused(table: ScoreTable) -> None:
    packed = json.loads(json.dumps(table.pack()))
    for broken in (
        {"kind": "pickle"},
        packed | {"images": packed["images"][:1]},
        {key: value for key, value in packed.items() if key != "images"},
    ):
        with pytest.raises(TaskError, match="broken"):
            unpack(broken)
    with pytest.raises(TaskError, match="weights are"):
        table.score(once(1))


def test_arrays_that_claim_to_be_huge_are_refused() -> None:
    packed = MeanTable([1], {"error": [0.5]}).pack()
    packed["values"]["error"]["shape"] = [2**40]
    with pytest.raises(TaskError, match="array of"):
        unpack(packed)
