"""What is usable but must be known: the same numbers, and a note that names count and annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.builders.open_suite import build_suite
from bench.config.parts import SuiteOptions
from bench.data.coco.reader import Coco
from bench.data.verify import verify
from bench.errors import UserError
from tasks.formats.vocabulary import Sizes
from tests.bench.data.folders import HEIGHT, WIDTH, edit, instance, tiny_coco


def warnings(root: Path) -> list[str]:
    return [finding.message for finding in verify(root, None) if finding.level == "warning"]


def change_first(root: Path, kind: str, **changes: Any) -> None:
    edit(root, kind, lambda content: content["annotations"][0].update(changes))


@pytest.mark.parametrize("box", [[-9, 3, 20, 9], [20, 3, 21, 9], [3, -9, 9, 20], [3, 9, 9, 24], [-5, -5, 50, 50]])
def test_boxes_over_any_edge_are_clipped(tmp_path: Path, box: list[float]) -> None:
    root = tiny_coco(tmp_path)
    for kind in ("instances", "person_keypoints"):
        change_first(root, kind, bbox=box)
    coco = Coco(root)
    x, y, width, height = box
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, WIDTH), min(y + height, HEIGHT)
    found = coco.targets(3).instances
    assert found is not None and found.boxes[0].tolist() == [left, top, right, bottom]
    assert coco.ground_truth("instances")["annotations"][0]["bbox"] == [left, top, right - left, bottom - top]
    note = "boxes that reach past their image, clipped: 1 (annotation 11)"
    assert coco.notes == [note] and note in warnings(root)


def test_far_polygon(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)
    change_first(root, "instances", segmentation=[[0, 0, 1e9, 0, 1e9, 1e9]])
    note = "polygons far outside of their image, cut near it: 1 (annotation 11)"
    assert Coco(root).notes == [note] and note in warnings(root)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"area": 0}, "area of at most 1"), ({"area": 1}, "area of at most 1"), ({"num_keypoints": 0}, "num_keypoints 0")],
)
def test_keypoints_that_are_scored_otherwise_than_meant(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    root = tiny_coco(tmp_path)
    change_first(root, "person_keypoints", **changes)
    (note,) = Coco(root).notes
    assert expected in note and note.endswith("1 (annotation 11)") and note in warnings(root)


def options(root: Path, tasks: str | None) -> SuiteOptions:
    return SuiteOptions(coco=root, tasks=tasks, sizes=Sizes(classes=2), caption_tokenizer="python")


@pytest.mark.parametrize("empty", [[], None])
def test_box_only_data(tmp_path: Path, empty: object) -> None:
    root = tiny_coco(tmp_path)

    def boxes_alone(content: dict[str, Any]) -> None:
        content["annotations"] = [instance(n, 3, 1, [4, 2, 8, 9], segmentation=empty) for n in (11, 12)]

    edit(root, "instances", boxes_alone)
    (root / "annotations/person_keypoints_val2017.json").unlink()
    suite = build_suite(options(root, "detection,segmentation"))
    assert suite.names == ["detection"] and "no object has an outline" in suite.off["segmentation"]
    assert "objects without an outline: 2 (annotation 11, 12)" in warnings(root)


def test_some_objects_without_an_outline(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)
    edit(root, "instances", lambda content: content["annotations"][1].pop("segmentation"))
    assert build_suite(options(root, "detection")).names == ["detection"]
    with pytest.raises(UserError, match=r"without an outline: 1 \(annotation 12\).*--tasks detection"):
        build_suite(options(root, "segmentation"))
