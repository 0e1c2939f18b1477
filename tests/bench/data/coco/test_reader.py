"""COCO folders: what is joined, what is skipped, and that every bad record is refused on one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bench.data.coco.classes import COCO_CLASSES
from bench.data.coco.reader import Coco
from bench.data.coco.run_length import code_fault
from bench.errors import DataError, UserError
from tests.bench.data.folders import HEIGHT, WIDTH, edit, instance, keypoints, shared, tiny_coco

Change = Callable[[dict[str, Any]], Any]


def refusal(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        Coco(root, **options)
    message = str(caught.value)
    assert "\n" not in message and message.isprintable()
    assert ";" in message, "a remedy follows the problem"
    return message


def test_join(tmp_path: Path) -> None:
    coco = Coco(tiny_coco(tmp_path))
    assert coco.kinds == {"instances", "person_keypoints", "captions"}
    assert list(coco.images) == [3, 7]
    assert (coco.category_ids, coco.class_names, coco.person_class) == ([1, 17], ["person", "cat"], 0)
    targets = coco.targets(3)
    assert targets.size == (HEIGHT, WIDTH) and targets.has_keypoints and targets.depth is None
    assert targets.captions == ["A person on the left of a cat.", "Two beings."]
    found = targets.instances
    assert found is not None and list(found.ids) == [11, 12]  # the crowd is left out
    assert found.boxes.tolist() == [[4, 2, 14, 22], [20, 10, 32, 16]]  # clipped from 32.5
    assert found.classes.tolist() == [0, 1]
    assert found.keypoints.shape == (2, 17, 3)
    assert found.keypoints[0].reshape(-1).tolist() == keypoints() and not found.keypoints[1].any()
    assert coco.skipped == {"boxes of zero width or height": 1, "crowds": 1}
    assert coco.references() == {3: targets.captions, 7: ["A cat."]}


def test_ground_truth_keeps_crowds_and_is_safe_to_write_into(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)
    coco = Coco(root)
    first = coco.ground_truth("instances")
    assert first == json.loads((root / "annotations/instances_val2017.json").read_text())
    for record in first["annotations"]:
        record["segmentation"] = None  # as COCOeval does
    assert coco.ground_truth("instances") != first
    found = coco.targets(3).instances
    assert found is not None and found.segmentations[0]


@pytest.mark.parametrize("kind", ["instances", "person_keypoints", "captions"])
def test_absent_file(tmp_path: Path, kind: str) -> None:
    root = tiny_coco(tmp_path)
    (root / f"annotations/{kind}_val2017.json").unlink()
    coco = Coco(root)
    targets = coco.targets(3)
    assert kind not in coco.kinds
    assert targets.has_keypoints == (kind != "person_keypoints")
    assert (targets.captions is None) == (kind == "captions")
    assert targets.instances is not None
    assert list(targets.instances.ids) == ([11] if kind == "instances" else [11, 12])
    with pytest.raises(DataError, match="absent"):
        coco.ground_truth(kind)


def test_captions_alone(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)
    for kind in ("instances", "person_keypoints"):
        (root / f"annotations/{kind}_val2017.json").unlink()
    coco = Coco(root)
    assert coco.targets(7).instances is None and coco.person_class is None and coco.class_names == []


def test_image_of_one_file_only(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)
    edit(root, "person_keypoints", lambda c: c["images"].pop(0))
    assert not Coco(root).targets(7).has_keypoints

    def drop(content: dict[str, Any]) -> None:
        content["images"].pop(0)
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] == 3]

    edit(root, "instances", drop)
    targets = Coco(root).targets(7)
    assert targets.instances is None and targets.captions == ["A cat."]


def test_given_classes(tmp_path: Path) -> None:
    coco = Coco(tiny_coco(tmp_path), classes=COCO_CLASSES)
    assert len(coco.class_names) == 80 and coco.category_ids[-1] == 90
    found = coco.targets(3).instances
    assert found is not None and found.classes.tolist() == [0, 15]
    with pytest.raises(UserError, match="twice"):
        Coco(tmp_path, classes=[(1, "person"), (1, "cat")])


def test_links(tmp_path: Path) -> None:
    """Links are the user's own: a linked root, split folder or image is followed."""
    root = tiny_coco(tmp_path / "real")
    (tmp_path / "link").symlink_to(root)
    assert len(Coco(tmp_path / "link").images) == 2
    (root / "val2017").rename(tmp_path / "elsewhere")
    (root / "val2017").symlink_to(tmp_path / "elsewhere")
    assert len(Coco(root).images) == 2
    (tmp_path / "elsewhere/000000000007.jpg").rename(tmp_path / "outside.jpg")
    (tmp_path / "elsewhere/000000000007.jpg").symlink_to(tmp_path / "outside.jpg")
    assert len(Coco(root).images) == 2


def test_nested_file_name(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)
    (root / "val2017/deep").mkdir()
    (root / "val2017/000000000007.jpg").rename(root / "val2017/deep/7.jpg")
    for kind in ("instances", "person_keypoints", "captions"):
        edit(root, kind, lambda c: c["images"][0].update(file_name="deep/7.jpg"))
    assert Coco(root).images[7].path == root / "val2017/deep/7.jpg"


def test_missing_folders(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere")
    assert "holds none of instances_val2017.json" in refusal(tmp_path)
    root = tiny_coco(tmp_path / "coco")
    assert "holds none of instances_train2017.json" in refusal(root, split="train2017")
    assert "is a file" in refusal(root / "annotations/captions_val2017.json")
    with pytest.raises(UserError, match="not a folder name"):
        Coco(root, split="../val2017")
    (root / "val2017").rename(root / "images")
    assert "no such folder" in refusal(root)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda raw: raw[: len(raw) // 2], "is cut"),
        (lambda raw: raw[:1], "is cut"),
        (lambda raw: b"", "is cut"),
        (lambda raw: raw + b"x", "is not JSON"),
        (lambda raw: b"\x89PNG\r\n\x1a\n\x00", "is not JSON"),
        (lambda raw: b"[" * 100_000, "is not JSON"),
        (lambda raw: b"[]", "holds a list"),
        (lambda raw: b"null", "holds a NoneType"),
        (lambda raw: b"{}", "field 'images': is missing"),
        (lambda raw: b'{"images": {}}', "field 'images': is a dict"),
        (lambda raw: b'{"images": [], "annotations": []}', "field 'categories': is missing"),
        (lambda raw: b'{"images": [], "annotations": [], "categories": []}', "lists no image"),
    ],
)
def test_broken_json(tmp_path: Path, spoil: Callable[[bytes], bytes], expected: str) -> None:
    path = tiny_coco(tmp_path) / "annotations/instances_val2017.json"
    path.write_bytes(spoil(path.read_bytes()))
    message = refusal(tmp_path)
    assert message.startswith(f"{path}: ") and expected in message


def first(**changes: Any) -> Change:
    return lambda content: content["annotations"][0].update(changes)


def image(**changes: Any) -> Change:
    return lambda content: content["images"][0].update(changes)


BAD_RECORDS: list[tuple[str, Change, str, str]] = [
    ("instances", image(file_name="../../etc/passwd"), "image 7", "leads out of"),
    ("instances", image(file_name="/etc/passwd"), "image 7", "leads out of"),
    ("instances", image(file_name="gone.jpg"), "image 7", "is not in"),
    ("instances", image(file_name="two\nlines\x1b[31m.jpg"), "image 7", r"two\nlines\x1b"),
    ("instances", image(file_name=""), "image 7", "not a file name"),
    ("instances", image(file_name="a\0b"), "image 7", "not a file name"),
    ("instances", image(file_name=5), "image 7", "file_name is 5, expected text"),
    ("instances", image(id="7"), "image at place 0", "id is '7', expected an integer"),
    ("instances", image(id=True), "image at place 0", "id is True"),
    ("instances", image(id=3), "image 3", "same id"),
    ("instances", image(id=-7), "image -7", "id -7"),
    ("instances", image(height=0), "image 7", "32x0"),
    ("instances", image(width=None), "image 7", "width is None"),
    ("instances", image(file_name="000000000003.jpg"), "image 3", "shares the file"),
    ("instances", lambda c: c["images"].insert(0, "text"), "image at place 0", "not an object"),
    ("captions", image(height=HEIGHT + 1), "image 7", "in another annotation file"),
    ("instances", first(image_id=99), "annotation 11", "belongs to image 99"),
    ("captions", first(image_id=99), "annotation 21", "belongs to image 99"),
    ("person_keypoints", first(image_id=99), "annotation 11", "belongs to image 99"),
    ("instances", first(category_id=91), "annotation 11", "category 91"),
    ("instances", first(category_id=[1]), "annotation 11", "category [1]"),
    ("instances", first(bbox=[float("nan"), 1, 2, 3]), "annotation 11", "not finite"),
    ("instances", first(bbox=[1, 1, float("inf"), 3]), "annotation 11", "not finite"),
    ("instances", first(bbox=[1, 1, 10**400, 3]), "annotation 11", "not finite"),
    ("instances", first(bbox=[1, 1, -2, 3]), "annotation 11", "negative"),
    ("instances", first(bbox=[-5, 1, 2, 3]), "annotation 11", "lies outside"),
    ("instances", first(bbox=[50, 1, 2, 3]), "annotation 11", "outside of its 32x24 image"),
    ("instances", first(bbox=[1, 1, 2]), "annotation 11", "expected four numbers"),
    ("instances", first(bbox=["1", 1, 2, 3]), "annotation 11", "expected four numbers"),
    ("instances", first(bbox=None), "annotation 11", "expected four numbers"),
    ("instances", first(id=12), "annotation 12", "same id"),
    ("instances", first(id=None), "annotation at place 0", "not both integers"),
    ("instances", first(iscrowd="no"), "annotation 11", "iscrowd is 'no'"),
    ("instances", first(area=float("nan")), "annotation 11", "area is nan"),
    ("instances", lambda c: c["annotations"][0].pop("area"), "annotation 11", "has no area"),
    ("instances", lambda c: c["annotations"].insert(0, 5), "annotation at place 0", "not an object"),
    ("instances", first(segmentation=[[1, 2, 3]]), "annotation 11", "expected polygons"),
    ("instances", first(segmentation=[[1, "2"]]), "annotation 11", "expected polygons"),
    ("instances", first(segmentation=[[1, float("nan")]]), "annotation 11", "expected polygons"),
    ("instances", first(segmentation={"size": [WIDTH, HEIGHT], "counts": [1]}), "annotation 11", "has size [32, 24]"),
    ("instances", first(segmentation={"size": [HEIGHT, WIDTH], "counts": [5, 6]}), "annotation 11", "cover 11 pixels"),
    ("instances", first(segmentation={"size": [HEIGHT, WIDTH], "counts": "abc"}), "annotation 11", "run-length"),
    ("instances", first(segmentation={"size": [HEIGHT, WIDTH], "counts": [-1]}), "annotation 11", "cannot be read"),
    ("instances", first(segmentation={"size": [HEIGHT, WIDTH]}), "annotation 11", "cannot be read"),
    ("instances", first(segmentation={}), "annotation 11", "has size None"),
    ("instances", lambda c: c["categories"].append({"id": 1, "name": "x"}), "category 1", "same id"),
    ("instances", lambda c: c["categories"].append({"id": "2"}), "category at place 2", "expected an integer id"),
    ("person_keypoints", first(keypoints=[1, 2, 3]), "annotation 11", "hold 3 numbers, expected 51"),
    ("person_keypoints", first(keypoints=None), "annotation 11", "expected 51"),
    ("person_keypoints", first(keypoints=[5] * 51), "annotation 11", "visibility"),
    ("person_keypoints", first(keypoints=["1"] * 51), "annotation 11", "visibility"),
    ("person_keypoints", first(keypoints=[float("nan"), 1, 2] + [0] * 48), "annotation 11", "not numbers"),
    ("person_keypoints", first(image_id=7), "annotation 11", "another image or category"),
    ("person_keypoints", lambda c: c["categories"][0].update(name="cat"), "category 1", "is called 'cat'"),
    ("captions", first(caption=5), "annotation 21", "caption is 5"),
    ("captions", first(id=22), "annotation 22", "same id"),
    ("captions", lambda c: c["annotations"][0].pop("caption"), "annotation 21", "has no caption"),
]


@pytest.mark.parametrize(("kind", "change", "record", "expected"), BAD_RECORDS)
def test_bad_record(tmp_path: Path, kind: str, change: Change, record: str, expected: str) -> None:
    path = edit(tiny_coco(tmp_path), kind, change)
    message = refusal(tmp_path)
    assert message.startswith(f"{path}: {record}"), message
    assert expected in message


def test_category_outside_of_given_classes(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["categories"].append({"id": 91, "name": "hair brush"})
        content["annotations"][0]["category_id"] = 91

    edit(tiny_coco(tmp_path), "instances", change)
    assert "category 91 is not among the 80 known ones" in refusal(tmp_path, classes=COCO_CLASSES)


def test_skipped(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)
    at_the_edge = instance(31, 7, 1, [float(WIDTH), 3.0, 0.5, 4.0])  # clipping leaves nothing
    too_far = instance(32, 7, 1, [20.0, 3.0, 20.0, 4.0])
    edit(root, "instances", lambda c: c["annotations"].extend([at_the_edge, too_far]))
    edit(root, "person_keypoints", lambda c: c["annotations"][0].update(id=77))
    edit(root, "captions", lambda c: c["annotations"][0].update(caption=" \n"))
    coco = Coco(root)
    assert coco.skipped == {
        "boxes of zero width or height": 2,
        "crowds": 1,
        "boxes that reach past their image, clipped": 1,
        "keypoints without an instance of the same id": 1,
        "blank captions": 1,
    }
    found = coco.targets(7).instances
    assert found is not None and found.boxes.tolist() == [[4, 2, 12, 9], [20, 3, 32, 7]]


def test_unknown_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image 99"):
        Coco(tiny_coco(tmp_path)).targets(99)


@given(st.integers(1, 12), st.integers(1, 12), st.randoms(use_true_random=False))
def test_run_length_codes_of_the_reference(height: int, width: int, random: Any) -> None:
    """Whatever pycocotools encodes is accepted, and with a letter missing it is not."""
    mask = np.asfortranarray([[random.random() < 0.4 for _ in range(width)] for _ in range(height)], dtype=np.uint8)
    counts = coco_mask.encode(mask)["counts"].decode()
    assert code_fault({"size": [height, width], "counts": counts}, height, width) is None
    assert code_fault({"size": [height, width], "counts": counts[:-1]}, height, width) is not None


@pytest.mark.parametrize(
    ("split", "expected"), [("val2017", (100, 759, 6, 71, 500)), ("train2017", (80, 731, 8, 86, 400))]
)
def test_real_data(split: str, expected: tuple[int, ...]) -> None:
    coco = Coco(shared() / "coco_mini", split=split, classes=COCO_CLASSES)
    counts = coco.counts(list(coco.images))
    assert (len(coco.images), *counts.values()) == expected
    assert coco.class_names == [name for _, name in COCO_CLASSES]
    assert Coco(shared() / "coco_mini", split=split).category_ids == coco.category_ids
