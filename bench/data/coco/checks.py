"""What every record of a COCO annotation file must satisfy; one plain pass: the train set has 860,001."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from bench.data.coco.remarks import OVERHANG, ROUNDING, ImageEntry, corners, instance_remarks, keypoint_remarks
from bench.data.coco.run_length import code_fault
from bench.data.folders import Folder
from bench.data.problems import Fault, Problem, Reporter, quote

Record = dict[str, Any]

EMPTY = "boxes of zero width or height"
CROWDS = "crowds"
CORNERS = 6  # fewest numbers of a polygon: three points
BLANK = "blank captions"
UNMATCHED = "keypoints without an instance of the same id"
MOST_PIXELS = 178_956_970  # of an image; Pillow opens none that is larger

INSTANCE_FIELDS = frozenset(("id", "image_id", "category_id", "bbox", "area", "iscrowd"))
FIELDS_REMEDY = "write the record as COCO's format has it"
VISIBILITIES = frozenset((0, 1, 2))


@dataclass(frozen=True)
class Checked:
    """What is left of an annotation list once faulty records are reported.

    Args:
        usable: image id to its records in file order; instances less crowds and empty boxes, captions less blank ones.
        crowds: image id to its number of crowds.
        skipped: how many records were left out, by reason.
        remarks: ids of records by remark (``bench/data/coco/remarks.py``).
    """

    usable: Mapping[int, list[Record]]
    crowds: Mapping[int, int]
    skipped: Mapping[str, int]
    remarks: Mapping[str, list[int]] = field(default_factory=dict)


def check_images(file: Path, listed: list[Any], folder: Folder, report: Reporter) -> dict[int, ImageEntry]:
    """Images of one file by id, in order of id."""
    if not listed:
        report(Problem(file, "", Fault("empty data set", "lists no image", "give a file with at least one image")))
    entries: dict[int, ImageEntry] = {}
    owners: dict[str, int] = {}
    for position, record in enumerate(listed):
        fault = _image_fault(record, entries, owners, folder)
        if fault is not None:
            report(Problem(file, _name("image", position, record), fault))
            continue
        entries[record["id"]] = ImageEntry(folder.path / record["file_name"], record["height"], record["width"])
        owners[record["file_name"]] = record["id"]
    return dict(sorted(entries.items()))


def _image_fault(record: Any, entries: Collection[int], owners: Mapping[str, int], folder: Folder) -> Fault | None:
    if not isinstance(record, dict):
        return Fault("wrong fields", f"is {quote(record)}, not an object", FIELDS_REMEDY)
    for name, sort in (("id", int), ("file_name", str), ("height", int), ("width", int)):
        if type(record.get(name)) is not sort:
            message = f"{name} is {quote(record.get(name))}, expected {'an integer' if sort is int else 'text'}"
            return Fault("wrong fields", message, FIELDS_REMEDY)
    height, width, identity = record["height"], record["width"], record["id"]
    if min(height, width) < 1 or height * width > MOST_PIXELS or identity < 0:
        message = f"has {width}x{height} pixels and id {identity}"
        remedy = f"give width and height of the image file, at most {MOST_PIXELS:,} pixels, and an id of at least 0"
        return Fault("wrong fields", message, remedy)
    if record["id"] in entries:
        return Fault("id used twice", "another image has the same id", "give every image its own id")
    fault = folder.fault(record["file_name"])
    if fault is None and record["file_name"] in owners:
        message = f"shares the file {quote(record['file_name'])} with image {owners[record['file_name']]}"
        return Fault("file used twice", message, "list every file once")
    return fault


def check_categories(file: Path, listed: list[Any], report: Reporter) -> dict[int, str]:
    """Category id to name, in order of id."""
    categories: dict[int, str] = {}
    for position, record in enumerate(listed):
        fault = None
        if not isinstance(record, dict) or type(record.get("id")) is not int or type(record.get("name")) is not str:
            fault = Fault("wrong fields", f"is {quote(record)}, expected an integer id and a name", FIELDS_REMEDY)
        elif record["id"] in categories:
            fault = Fault("id used twice", "another category has the same id", "give every category its own id")
        if fault is None:
            categories[record["id"]] = record["name"]
        else:
            report(Problem(file, _name("category", position, record), fault))
    return dict(sorted(categories.items()))


def check_instances(
    file: Path, listed: list[Any], images: Mapping[int, ImageEntry], categories: Mapping[int, str], report: Reporter
) -> Checked:
    """Instances of ``images``; crowds and boxes without extent are counted and left out."""
    seen: set[int] = set()
    usable: dict[int, list[Record]] = {}
    remarks: dict[str, list[int]] = {}
    crowds: Counter[int] = Counter()
    skipped: Counter[str] = Counter({EMPTY: 0, CROWDS: 0})
    for position, record in enumerate(listed):
        fault = _instance_fault(record, images, categories, seen)
        if fault is not None:
            report(Problem(file, _name("annotation", position, record), fault))
            continue
        seen.add(record["id"])
        image_id = record["image_id"]
        image = images[image_id]
        left, top, right, bottom = corners(record["bbox"], image)
        for remark in instance_remarks(record, image):
            remarks.setdefault(remark, []).append(record["id"])
        if record["iscrowd"]:
            crowds[image_id] += 1
            skipped[CROWDS] += 1
        elif right <= left or bottom <= top:
            skipped[EMPTY] += 1
        else:
            usable.setdefault(image_id, []).append(record)
    if OVERHANG in remarks:
        skipped[OVERHANG] = len(remarks[OVERHANG])
    return Checked(usable, dict(crowds), dict(skipped), remarks)


def _instance_fault(
    record: Any, images: Mapping[int, ImageEntry], categories: Collection[int], seen: Collection[int]
) -> Fault | None:
    if not isinstance(record, dict) or not record.keys() >= INSTANCE_FIELDS:
        return _missing_fields(record, INSTANCE_FIELDS)
    fault = _identity_fault(record, images, seen)
    if fault is not None:
        return fault
    if type(record["category_id"]) is not int or record["category_id"] not in categories:
        message = f"category {quote(record['category_id'])} is not among the {len(categories)} known ones"
        return Fault("unknown category", message, "correct category_id or remove the annotation")
    if record["iscrowd"] not in (0, 1):
        return Fault("wrong fields", f"iscrowd is {quote(record['iscrowd'])}", "give 0 or 1")
    if type(record["area"]) not in (int, float) or not 0 <= record["area"] < float("inf"):
        return Fault("wrong fields", f"area is {quote(record['area'])}", "give the area in pixels")
    image = images[record["image_id"]]
    return _box_fault(record["bbox"], image) or _segmentation_fault(record.get("segmentation"), image)


def _identity_fault(record: Record, images: Mapping[int, ImageEntry], seen: Collection[int]) -> Fault | None:
    if type(record["id"]) is not int or type(record["image_id"]) is not int:
        return Fault("wrong fields", "id and image_id are not both integers", FIELDS_REMEDY)
    if record["id"] in seen:
        return Fault("id used twice", "another annotation has the same id", "give every annotation its own id")
    if record["image_id"] not in images:
        message = f"belongs to image {record['image_id']}, which the file does not list"
        return Fault("annotation without image", message, "list the image or remove the annotation")
    return None


def _box_fault(box: Any, image: ImageEntry) -> Fault | None:
    remedy = "give x, y, width and height in pixels, or remove the annotation"
    if type(box) is not list or len(box) != 4 or any(type(v) is not float and type(v) is not int for v in box):
        return Fault("bad box", f"bbox is {quote(box)}, expected four numbers", remedy)
    x, y, width, height = box
    if not _finite(box):
        return Fault("bad box", f"bbox {quote(box)} has a value that is not finite", remedy)
    if width < 0 or height < 0:
        return Fault("bad box", f"bbox {quote(box)} has a negative width or height", remedy)
    past = max(-x - width, -y - height, x - image.width, y - image.height)
    if past > ROUNDING:
        return Fault("bad box", f"bbox {quote(box)} lies outside of its {image.width}x{image.height} image", remedy)
    return None


def _segmentation_fault(segmentation: Any, image: ImageEntry) -> Fault | None:
    if segmentation is None or segmentation == []:
        return None  # a data set of boxes alone; ``NO_OUTLINE`` counts them
    if type(segmentation) is dict:
        return code_fault(segmentation, image.height, image.width)
    whole = type(segmentation) is list and bool(segmentation)
    if whole and all(type(p) is list and len(p) >= CORNERS and not len(p) % 2 and _finite(p) for p in segmentation):
        return None
    message = f"segmentation is {quote(segmentation)}, expected polygons of at least three points or a run-length code"
    return Fault("bad segmentation", message, "give [[x0, y0, x1, y1, ...], ...] or {size, counts}")


def check_keypoints(
    file: Path, persons: Mapping[int, list[Record]], keypoints: int, report: Reporter
) -> tuple[dict[int, Record], dict[str, list[int]]]:
    """Annotation id to the record of every person with at least one labeled keypoint, and remarks as in ``Checked``.

    Args:
        file: the file that the records are from.
        persons: image id to records that ``check_instances`` found usable.
        keypoints: K, keypoints of the category.
        report: takes each problem.
    """
    labeled: dict[int, Record] = {}
    remarks: dict[str, list[int]] = {}
    for records in persons.values():
        for record in records:
            fault = _keypoints_fault(record, 3 * keypoints)
            if fault is not None:
                report(Problem(file, f"annotation {record['id']}", fault))
            elif any(record["keypoints"][2::3]):
                labeled[record["id"]] = record
                for remark in keypoint_remarks(record):
                    remarks.setdefault(remark, []).append(record["id"])
    return labeled, remarks


def _keypoints_fault(record: Record, length: int) -> Fault | None:
    points = record.get("keypoints")
    if type(points) is not list or len(points) != length:
        message = f"keypoints hold {len(points) if type(points) is list else quote(points)} numbers, expected {length}"
        return Fault("bad keypoints", message, "give x, y and visibility of every keypoint of the category")
    try:
        if _finite(points) and VISIBILITIES.issuperset(points[2::3]):
            return None
    except TypeError:  # a visibility that is a list
        pass
    message = f"keypoints {quote(points)} are not numbers with a visibility of 0, 1 or 2"
    return Fault("bad keypoints", message, "give x, y in pixels and visibility 0, 1 or 2 of every keypoint")


def check_captions(file: Path, listed: list[Any], images: Mapping[int, ImageEntry], report: Reporter) -> Checked:
    """Captions of ``images`` in file order; blank ones are counted and left out."""
    seen: set[int] = set()
    usable: dict[int, list[Record]] = {}
    blank = 0
    for position, record in enumerate(listed):
        fault = _caption_fault(record, images, seen)
        if fault is not None:
            report(Problem(file, _name("annotation", position, record), fault))
            continue
        seen.add(record["id"])
        if record["caption"].strip():
            usable.setdefault(record["image_id"], []).append(record)
        else:
            blank += 1
    return Checked(usable, {}, {BLANK: blank} if blank else {})


def _caption_fault(record: Any, images: Mapping[int, ImageEntry], seen: Collection[int]) -> Fault | None:
    fields = frozenset(("id", "image_id", "caption"))
    if not isinstance(record, dict) or not record.keys() >= fields:
        return _missing_fields(record, fields)
    if type(record["caption"]) is not str:
        return Fault("wrong fields", f"caption is {quote(record['caption'])}, expected text", FIELDS_REMEDY)
    if any("\ud800" <= letter <= "\udfff" for letter in record["caption"]):
        return Fault("broken text", f"caption is {quote(record['caption'])}, which is not text", "correct the caption")
    return _identity_fault(record, images, seen)


def _finite(values: list[Any]) -> bool:
    """Whether all values are finite numbers: a sum runs at the speed of C and keeps what is not finite."""
    try:
        return isfinite(sum(values))
    except (TypeError, OverflowError):
        return False


def _missing_fields(record: Any, fields: frozenset[str]) -> Fault:
    if not isinstance(record, dict):
        return Fault("wrong fields", f"is {quote(record)}, not an object", FIELDS_REMEDY)
    missing = ", ".join(sorted(fields - record.keys()))
    return Fault("wrong fields", f"has no {missing}", FIELDS_REMEDY)


def _name(sort: str, position: int, record: Any) -> str:
    """Name of a record in messages: its id if it has one, else its place in the list."""
    identity = record.get("id") if isinstance(record, dict) else None
    return f"{sort} {identity}" if type(identity) is int else f"{sort} at place {position} of its list"
