"""COCO and NYUv2 as one data set: the join by file, limits, the summary, and files that break while reading."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bench.data.coco.reader import Coco
from bench.data.dataset import Dataset
from bench.data.file_checks import check_files
from bench.data.nyu.reader import Nyu
from bench.errors import DataError, UserError
from tests.bench.data.folders import HEIGHT, WIDTH, depth_picture, edit, picture, shared, tiny_coco, write_lines


def both(root: Path) -> Path:
    """One folder that is a COCO and an NYUv2 root: image 7 is in both, another only in NYUv2."""
    tiny_coco(root)
    (root / "depth").mkdir()
    depth_picture(7).save(root / "depth/7.png")
    depth_picture(8).save(root / "depth/8.png")
    picture(8).save(root / "only_nyu.jpg")
    write_lines(root, "only_nyu.jpg depth/8.png", "val2017/000000000007.jpg depth/7.png")
    return root


def test_join_by_file(tmp_path: Path) -> None:
    root = both(tmp_path)
    data = Dataset(coco=Coco(root), nyu=Nyu(root))
    assert [(s.image_id, s.coco, s.nyu_index) for s in data.samples] == [(3, True, None), (7, True, 1), (-1, False, 0)]
    first, shared_image, only_nyu = (data.targets(sample) for sample in data.samples)
    assert first.depth is None and first.instances is not None
    assert shared_image.depth is not None and shared_image.captions == ["A cat."]
    assert only_nyu.depth is not None and only_nyu.instances is None and only_nyu.captions is None
    assert only_nyu.size == (HEIGHT, WIDTH) and len(data) == 3
    assert all(data.image(sample).size == (WIDTH, HEIGHT) for sample in data.samples)


def test_limit(tmp_path: Path) -> None:
    root = both(tmp_path)
    data = Dataset(coco=Coco(root), nyu=Nyu(root), limit=1)
    assert [s.image_id for s in data.samples] == [3, -1]
    assert data.summary()["counts"]["instances"] == 2
    with pytest.raises(UserError, match="limit 0"):
        Dataset(coco=Coco(root), nyu=None, limit=0)
    with pytest.raises(UserError, match="no data set"):
        Dataset(coco=None, nyu=None)


def test_batches_of_the_roomiest_images_are_padded_most(tmp_path: Path) -> None:
    root = both(tmp_path)
    data = Dataset(coco=Coco(root), nyu=Nyu(root))
    assert data.coco is not None
    tall, wide = data.coco.images[3], data.coco.images[7]
    data.coco.images = {3: replace(tall, height=20, width=10), 7: replace(wide, height=10, width=40)}
    assert [sample.image_id for sample in data.roomiest()] == [7, 3, -1]
    assert [sample.image_id for sample in Dataset(coco=None, nyu=Nyu(root)).roomiest()] == [-1, -2]


def test_summary(tmp_path: Path) -> None:
    root = both(tmp_path / "house")
    (root / "annotations/captions_val2017.json").unlink()
    summary = Dataset(coco=Coco(root), nyu=None).summary()
    assert str(tmp_path) not in json.dumps(summary)
    assert summary["coco"]["root"] == "house" and summary["nyu"] is None
    assert summary["coco"]["absent"] == ["captions_val2017.json"]
    assert summary["counts"] == {
        "images": 2,
        "coco images": 2,
        "depth pairs": 0,
        "instances": 3,
        "crowds": 1,
        "persons with keypoints": 1,
        "captions": 0,
    }


def test_absent_annotations_are_named(tmp_path: Path) -> None:
    root = both(tmp_path)
    (root / "annotations/captions_val2017.json").unlink()
    assert Dataset(coco=Coco(root), nyu=None).absent == {
        "captions": "annotations/captions_val2017.json is absent",
        "depth": "no NYUv2 data given (--nyu DIR)",
    }
    assert sorted(Dataset(coco=None, nyu=Nyu(root)).absent) == ["captions", "instances", "person_keypoints"]


@pytest.mark.parametrize("broken", ["jpeg", "png"])
def test_cut_files_are_found_before_the_work(tmp_path: Path, broken: str) -> None:
    root = both(tmp_path)
    data = Dataset(coco=Coco(root), nyu=Nyu(root))
    check_files(data)
    path = data.samples[0].path if broken == "jpeg" else Nyu(root).pairs[0].depth
    assert path is not None
    path.write_bytes(path.read_bytes()[:-90])
    with pytest.raises(DataError, match=path.name):
        check_files(data)


def test_content_hash(tmp_path: Path) -> None:
    def hash_of(root: Path, limit: int | None = None) -> str:
        return Dataset(coco=Coco(root), nyu=Nyu(root), limit=limit).content_hash

    first = both(tmp_path / "first")
    shutil.copytree(first, tmp_path / "second")
    second = tmp_path / "second"
    assert hash_of(first) == hash_of(second) and len(hash_of(first)) == 16
    assert hash_of(first) != hash_of(first, limit=1)
    (second / "depth/8.png").write_bytes((second / "depth/8.png").read_bytes() + b"x")
    assert hash_of(first) != hash_of(second)
    edit(first, "captions", lambda c: c["annotations"][0].update(caption="Another."))
    third = tmp_path / "third"
    shutil.copytree(first, third)
    assert hash_of(third) == hash_of(first)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_cut_jpeg(tmp_path: Path, part: float) -> None:
    data = Dataset(coco=Coco(tiny_coco(tmp_path)), nyu=None)
    path = tmp_path / "val2017/000000000003.jpg"
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * part)])
    with pytest.raises(DataError) as caught:
        data.image(data.samples[0])
    assert f"{path}: image 3: broken or cut image" in str(caught.value)


def test_file_that_disagrees(tmp_path: Path) -> None:
    data = Dataset(coco=Coco(tiny_coco(tmp_path)), nyu=None)
    path = tmp_path / "val2017/000000000003.jpg"
    picture(0, HEIGHT, WIDTH + 1).save(path)
    with pytest.raises(DataError, match="is 33x24 pixels, expected 32x24"):
        data.image(data.samples[0])
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        data.image(data.samples[0])
    with pytest.raises(DataError, match="cannot be read"):
        _ = data.content_hash
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n")  # Pillow would start Ghostscript
    with pytest.raises(DataError, match="broken or cut image"):
        data.image(data.samples[0])


def test_depth_that_disagrees_with_the_annotation(tmp_path: Path) -> None:
    root = both(tmp_path)
    edit(root, "instances", lambda c: c["annotations"].pop(3))  # its run-length code has the old height
    for kind in ("instances", "person_keypoints", "captions"):
        edit(root, kind, lambda c: c["images"][0].update(height=HEIGHT + 1))
    data = Dataset(coco=Coco(root), nyu=Nyu(root))
    with pytest.raises(DataError, match="its depth map has 32x24 pixels, its annotation 32x25"):
        data.targets(data.samples[1])


def test_gray_image(tmp_path: Path) -> None:
    """COCO holds some gray images."""
    data = Dataset(coco=Coco(tiny_coco(tmp_path)), nyu=None)
    picture(3).convert("L").save(tmp_path / "val2017/000000000003.jpg")
    assert data.image(data.samples[0]).mode == "RGB"


def test_real_data() -> None:
    data = Dataset(coco=Coco(shared() / "coco_mini"), nyu=Nyu(shared() / "nyu_mini"), limit=5)
    assert len(data) == 10
    for sample in data.samples:
        image, targets = data.image(sample), data.targets(sample)
        assert (image.height, image.width) == targets.size
