"""Tiny COCO and NYUv2 folders that tests may spoil."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 24, 32
PERSON, CAT = 1, 17
KEYPOINT_NAMES = [f"joint {number}" for number in range(17)]
CATEGORIES = [{"id": PERSON, "name": "person"}, {"id": CAT, "name": "cat"}]


def picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    """An RGB image of noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def depth_picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    """A 16-bit depth map in millimeters, its first pixel without a value."""
    values = np.random.default_rng(seed).integers(500, 9000, (height, width)).astype(np.uint16)
    values[0, 0] = 0
    return Image.fromarray(values)


def crowd_code() -> dict[str, Any]:
    """An uncompressed run-length code of the whole image but its first column, as COCO has it for crowds."""
    return {"size": [HEIGHT, WIDTH], "counts": [HEIGHT, HEIGHT * (WIDTH - 1)]}


def text_code() -> dict[str, Any]:
    """A compressed run-length code with its counts as text."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    mask[2:9, 4:12] = 1
    code = coco_mask.encode(mask)
    return {"size": [HEIGHT, WIDTH], "counts": code["counts"].decode()}


def instance(identity: int, image: int, category: int, box: list[float], **changes: Any) -> dict[str, Any]:
    """An instance record whose mask fills its box."""
    x, y, width, height = box
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    record = {
        "id": identity,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": width * height,
        "iscrowd": 0,
        "segmentation": [corners],
    }
    return {**record, **changes}


def keypoints(visible: int = 3) -> list[int]:
    """51 numbers; the first ``visible`` keypoints are labeled."""
    return [n for k in range(17) for n in ((4 + k, 5, 2) if k < visible else (0, 0, 0))]


def write_json(path: Path, content: Any) -> None:
    """Write an annotation file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def tiny_coco(root: Path, split: str = "val2017") -> Path:
    """Image 3 has a person with keypoints, a cat, a crowd; image 7 a cat with a compressed code. Three captions."""
    images = [
        {"id": 7, "file_name": "000000000007.jpg", "height": HEIGHT, "width": WIDTH},
        {"id": 3, "file_name": "000000000003.jpg", "height": HEIGHT, "width": WIDTH},
    ]
    (root / split).mkdir(parents=True)
    for record in images:
        picture(record["id"]).save(root / split / record["file_name"])
    person = instance(11, 3, PERSON, [4.0, 2.0, 10.0, 20.0])
    instances = [
        person,
        instance(12, 3, CAT, [20.0, 10.0, 12.5, 6.0]),
        instance(13, 3, PERSON, [1.0, 0.0, 31.0, 24.0], iscrowd=1, segmentation=crowd_code()),
        instance(14, 7, CAT, [4.0, 2.0, 8.0, 7.0], segmentation=text_code()),
        instance(15, 7, CAT, [5.0, 5.0, 0.0, 4.0]),
    ]
    annotations = root / "annotations"
    write_json(
        annotations / f"instances_{split}.json",
        {"info": {"year": 2017}, "images": images, "annotations": instances, "categories": CATEGORIES},
    )
    persons = [{"id": PERSON, "name": "person", "keypoints": KEYPOINT_NAMES, "skeleton": []}]
    joints = {**person, "keypoints": keypoints(), "num_keypoints": 3}
    write_json(
        annotations / f"person_keypoints_{split}.json",
        {"images": images, "annotations": [joints], "categories": persons},
    )
    captions = [
        {"id": 21, "image_id": 3, "caption": "A person on the left of a cat."},
        {"id": 22, "image_id": 7, "caption": "A cat."},
        {"id": 23, "image_id": 3, "caption": "Two beings."},
    ]
    write_json(annotations / f"captions_{split}.json", {"images": images, "annotations": captions})
    return root


def edit(root: Path, kind: str, change: Callable[[dict[str, Any]], Any], split: str = "val2017") -> Path:
    """Change the content of an annotation file in place; gives its path."""
    path = root / "annotations" / f"{kind}_{split}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def tiny_nyu(root: Path, base: str = "", *, slash: bool = False, focal: bool = True, split: str = "test") -> Path:
    """Three pairs and their list file in ``root``, images below ``root / base``."""
    lines = []
    for number in range(3):
        folder = root / base / "kitchen"
        folder.mkdir(parents=True, exist_ok=True)
        picture(100 + number).save(folder / f"rgb_{number:05}.jpg")
        depth_picture(200 + number).save(folder / f"sync_depth_{number:05}.png")
        start = "/" if slash else ""
        names = f"{start}kitchen/rgb_{number:05}.jpg {start}kitchen/sync_depth_{number:05}.png"
        lines.append(names + (" 518.8579" if focal else ""))
    (root / f"{split}_files_with_gt.txt").write_text("\n".join(lines))  # the official list ends without a line break
    return root


def write_lines(root: Path, *lines: str) -> Path:
    """Replace the test list; gives its path."""
    path = root / "test_files_with_gt.txt"
    path.write_text("\n".join(lines))
    return path


def shared() -> Path:
    """Folder with real data; skips the test where there is none."""
    folder = os.environ.get("DECODER_BENCH_SHARED")
    if not folder or not (Path(folder) / "data").is_dir():
        pytest.skip("real data needs DECODER_BENCH_SHARED")
    return Path(folder) / "data"
