"""Rendered scenes as the records of COCO's three annotation files and of NYUv2's depth lists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as run_lengths

from bench.data.scenes.elements import CLASSES, Scene, SceneObject
from bench.data.scenes.person import KEYPOINTS, SKELETON

ANNOTATIONS = ("instances", "person_keypoints", "captions")
LISTS = {"val2017": "test_files_with_gt.txt", "train2017": "train_files_with_gt.txt", "test2017": "test2017.txt"}
PERSON = 1 + CLASSES.index("person")


@dataclass(frozen=True, slots=True)
class Records:
    """One image's annotations without their ids, which number all annotations of the split."""

    image_id: int
    height: int
    width: int
    objects: tuple[dict[str, Any], ...]
    captions: tuple[str, ...]


def image_name(image_id: int) -> str:
    """COCO's file name without its ending: twelve digits."""
    return f"{image_id:012d}"


def split_parts(split: str) -> tuple[str, ...]:
    """Paths of a split relative to the root: three annotation files, two folders, one list."""
    return (*(f"annotations/{kind}_{split}.json" for kind in ANNOTATIONS), split, f"depth_{split}", LISTS[split])


def records(scene: Scene, image_id: int) -> Records:
    """The annotations of one scene."""
    height, width = scene.depth.shape
    objects = tuple(_object(each, image_id) for each in scene.objects)
    return Records(image_id, height, width, objects, tuple(caption.text for caption in scene.captions))


def documents(split: str, all_records: Sequence[Records], *, description: str) -> dict[str, str]:
    """File name below the root → text, for the annotation files and the list of image and depth pairs.

    The same records always give the same bytes.
    """
    head: dict[str, Any] = {
        "info": {
            "description": description,
            "url": "",
            "version": "1.0",
            "year": 2017,
            "contributor": "decoder-bench",
            "date_created": "2017/09/01",
        },
        # The old spelling stays: the content hash of the scenes covers it.
        "licenses": [{"id": 1, "name": "Same licence as decoder-bench", "url": ""}],
        "images": [_image(each) for each in all_records],
    }
    flat = [dict(each) for record in all_records for each in record.objects]
    for number, each in enumerate(flat, start=1):
        each["id"] = number
    plain = [{key: value for key, value in each.items() if "keypoints" not in key} for each in flat]
    persons = [each for each in flat if each["category_id"] == PERSON]
    spoken = [(record.image_id, text) for record in all_records for text in record.captions]
    captions = [{"image_id": image, "id": n, "caption": text} for n, (image, text) in enumerate(spoken, start=1)]
    instances, person_keypoints, caption_file, _, _, pairs = split_parts(split)
    return {
        instances: _text(head | {"annotations": plain, "categories": _categories(CLASSES)}),
        person_keypoints: _text(head | {"annotations": persons, "categories": [_person_category()]}),
        caption_file: _text(head | {"annotations": captions}),
        pairs: "".join(f"{split}/{name}.jpg depth_{split}/{name}.png\n" for name in _names(all_records)),
    }


def _names(all_records: Iterable[Records]) -> list[str]:
    return [image_name(each.image_id) for each in all_records]


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True)


def _image(record: Records) -> dict[str, Any]:
    return {
        "license": 1,
        "file_name": f"{image_name(record.image_id)}.jpg",
        "height": record.height,
        "width": record.width,
        "id": record.image_id,
    }


def _object(each: SceneObject, image_id: int) -> dict[str, Any]:
    encoded = run_lengths.encode(np.asfortranarray(each.mask.astype(np.uint8)))
    annotation: dict[str, Any] = {
        "segmentation": {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")},
        "area": float(np.count_nonzero(each.mask)),
        "iscrowd": 0,
        "image_id": image_id,
        "bbox": [float(side) for side in each.box],
        "category_id": each.category_id,
    }
    if each.keypoints is not None:
        annotation["num_keypoints"] = int(np.count_nonzero(each.keypoints[:, 2] > 0))
        flat = []
        for x, y, v in each.keypoints.tolist():  # COCO counts keypoints in pixels: the middle of the first one is 0
            flat += [round(x - 0.5, 2), round(y - 0.5, 2), int(v)] if v > 0 else [0, 0, 0]
        annotation["keypoints"] = flat
    return annotation


def _categories(names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"supercategory": "person" if name == "person" else "shape", "id": number, "name": name}
        for number, name in enumerate(names, start=1)
    ]


def _person_category() -> dict[str, Any]:
    category = _categories(CLASSES)[PERSON - 1]
    return category | {"keypoints": list(KEYPOINTS), "skeleton": [list(limb) for limb in SKELETON]}
