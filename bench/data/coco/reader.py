"""COCO 2017: up to three annotation files joined by image id; crowds stay for the evaluator and are no targets."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.data.coco import checks
from bench.data.coco.annotations import AnnotationFile, read_annotations
from bench.data.coco.checks import Checked, Record
from bench.data.coco.classes import COCO_KEYPOINTS
from bench.data.coco.remarks import ImageEntry, corners, note, overhangs
from bench.data.folders import Folder, existing_folder
from bench.data.problems import Fault, Problem, Reporter, quote, refuse
from bench.errors import DataError, UserError
from tasks.targets import ObjectAnnotations, Targets

NO_RECORDS = Checked({}, {}, {})


@dataclass(frozen=True)
class CocoTables:
    """A COCO folder as read and checked; the members of ``Coco`` explain the fields."""

    files: Mapping[str, AnnotationFile]
    images: Mapping[int, ImageEntry]
    listed: Mapping[str, frozenset[int]]
    categories: Mapping[int, str]
    person_id: int | None
    keypoints: int
    instances: Checked
    persons: Mapping[int, Record]
    captions: Checked
    skipped: Mapping[str, int]
    remarks: Mapping[str, list[int]]
    folder: Folder


class Coco:
    """A COCO folder: ``annotations/{instances,person_keypoints,captions}_<split>.json`` and the images in ``<split>/``.

    Each annotation file may be absent. Without ``instances`` the persons of ``person_keypoints`` are the instances.

    Args:
        root: the folder.
        split: name of the image folder and end of the annotation files' names.
        classes: category id and name of all classes; None takes them from the file. A file that uses a category outside
            of them, or calls one by another name, is refused.

    Attributes:
        kinds: annotation files that are there.
        images: image id to file and size, in order of id; all images of all files.
        category_ids: COCO category id of every class.
        class_names: name of every class.
        person_class: class index of the category that has keypoints, or None.
        keypoints: K, keypoints of a person.
        skipped: number of records left out of the targets, by reason.
        remarks: ids of annotations that a reader of the results must know of, by what is special about them.
        digests: annotation file name to SHA-256 of its bytes.

    Raises:
        DataError: at the first record that cannot be used.
    """

    def __init__(self, root: Path, *, split: str = "val2017", classes: Sequence[tuple[int, str]] | None = None) -> None:
        tables = read_coco(root, split, classes, refuse)
        if tables is None:  # cannot be: refuse raises
            raise DataError(f"{root}: not a COCO folder; give the folder that holds annotations/ and {split}/")
        self.root = root
        self.split = split
        self._tables = tables
        self.kinds: frozenset[str] = frozenset(tables.files)
        self.images: dict[int, ImageEntry] = dict(tables.images)
        self.category_ids: list[int] = list(tables.categories)
        self.class_names: list[str] = list(tables.categories.values())
        self._class_of = {category: index for index, category in enumerate(tables.categories)}
        self.person_class: int | None = None if tables.person_id is None else self._class_of[tables.person_id]
        self.keypoints = tables.keypoints
        self.skipped: dict[str, int] = dict(tables.skipped)
        self.remarks: Mapping[str, list[int]] = tables.remarks
        self.digests: dict[str, str] = {file.path.name: file.digest for file in tables.files.values()}

    def targets(self, image_id: int) -> Targets:
        """What is annotated for an image, in original pixels; boxes are clipped to the image.

        Kinds whose file does not list the image are None. ``size`` is what the annotation file says.
        """
        if image_id not in self.images:
            raise DataError(f"{self.root}: {self.split} has no image {image_id}; `Coco.images` lists the ids")
        entry, listed = self.images[image_id], self._tables.listed
        captions = [str(record["caption"]) for record in self._tables.captions.usable.get(image_id, ())]
        boxes_kind = "instances" if "instances" in self.kinds else "person_keypoints"
        return Targets(
            size=entry.size,
            instances=self._instances(image_id, entry) if image_id in listed.get(boxes_kind, ()) else None,
            has_keypoints=image_id in listed.get("person_keypoints", ()) and image_id in listed.get(boxes_kind, ()),
            captions=captions if image_id in listed.get("captions", ()) else None,
        )

    def _instances(self, image_id: int, entry: ImageEntry) -> ObjectAnnotations:
        records = self._tables.instances.usable.get(image_id, [])
        boxes = [corners(record["bbox"], entry) for record in records]
        points = torch.zeros(len(records), self.keypoints, 3)  # (N, K, 3)
        for row, record in enumerate(records):
            person = self._tables.persons.get(record["id"])
            if person is not None:
                points[row] = torch.tensor(person["keypoints"], dtype=torch.float32).reshape(-1, 3)
        return ObjectAnnotations(
            boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            classes=torch.tensor([self._class_of[r["category_id"]] for r in records], dtype=torch.int64),
            segmentations=[r.get("segmentation") or [] for r in records],
            keypoints=points * (points[:, :, 2:] > 0),  # what stands at an unlabeled keypoint means nothing
            ids=[r["id"] for r in records],
        )

    @property
    def notes(self) -> list[str]:
        """What a reader of the results must know of the annotations; ids of the first ones."""
        return [note(remark, ids) for remark, ids in self.remarks.items()]

    @property
    def boxes_alone(self) -> bool:
        """Whether there are objects and none of them has an outline."""
        objects = [record for records in self._tables.instances.usable.values() for record in records]
        return bool(objects) and not any(record.get("segmentation") for record in objects)

    def ground_truth(self, kind: str) -> dict[str, Any]:
        """An annotation file as it was read, crowds included, but boxes that reach past their image are clipped.

        Records are copies, since COCOeval writes into them.
        """
        if kind not in self._tables.files:
            raise DataError(f"{self.root}: {kind}_{self.split}.json is absent; it is needed to score its tasks")
        content = self._tables.files[kind].content
        return {**content, "annotations": [self._clipped(record) for record in content["annotations"]]}

    def _clipped(self, record: Record) -> Record:
        entry = self.images[record["image_id"]]
        if "bbox" not in record or not overhangs(record["bbox"], entry):
            return dict(record)
        left, top, right, bottom = corners(record["bbox"], entry)
        return dict(record, bbox=[left, top, right - left, bottom - top])

    def references(self) -> dict[int, list[str]]:
        """Image id to its reference captions in file order; images without a caption are left out."""
        usable = self._tables.captions.usable
        return {image_id: [str(record["caption"]) for record in usable[image_id]] for image_id in sorted(usable)}

    def counts(self, image_ids: Sequence[int]) -> dict[str, int]:
        """Number of instances, crowds, persons with keypoints and captions on the given images."""
        usable, persons = self._tables.instances.usable, self._tables.persons
        instances = [record for image_id in image_ids for record in usable.get(image_id, ())]
        return {
            "instances": len(instances),
            "crowds": sum(self._tables.instances.crowds.get(image_id, 0) for image_id in image_ids),
            "persons with keypoints": sum(record["id"] in persons for record in instances),
            "captions": sum(len(self._tables.captions.usable.get(image_id, ())) for image_id in image_ids),
        }


@contextmanager
def _collector_off() -> Iterator[None]:
    """No garbage collection: walking the train set's millions of records again and again doubles the loading time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_collector_off()
def read_coco(root: Path, split: str, classes: Sequence[tuple[int, str]] | None, report: Reporter) -> CocoTables | None:
    """Read and check a COCO folder; None if a problem was reported that leaves nothing to read.

    Args:
        root: the folder.
        split: name of the split, e.g. ``val2017``.
        classes: as for ``Coco``.
        report: takes each problem; see ``problems.refuse``.
    """
    if Path(split).name != split:
        raise UserError(f"split {quote(split)} is not a folder name; give for example val2017")
    if not existing_folder(root, f"annotations/ and {split}/", report):
        return None
    files = read_annotations(root, split, report)
    if not files or not existing_folder(root / split, "the images", report):
        return None
    folder = Folder(root / split)
    entries = {kind: checks.check_images(f.path, f.content["images"], folder, report) for kind, f in files.items()}
    categories = _categories(files, classes, report)
    person_id, keypoints = _person(files.get("person_keypoints"), categories, report)
    checked = {
        kind: checks.check_instances(f.path, f.content["annotations"], entries[kind], categories, report)
        for kind, f in files.items()
        if kind != "captions"
    }
    instances = checked.get("instances", checked.get("person_keypoints", NO_RECORDS))
    remarks = dict(instances.remarks)
    persons: Mapping[int, Record] = {}
    unmatched = 0
    if "person_keypoints" in checked:
        path = files["person_keypoints"].path
        persons, special = checks.check_keypoints(path, checked["person_keypoints"].usable, keypoints, report)
        remarks |= special
        persons, unmatched = _join(path, instances, persons, report)
    captions = NO_RECORDS
    if "captions" in files:
        file = files["captions"]
        captions = checks.check_captions(file.path, file.content["annotations"], entries["captions"], report)
    skipped = {**instances.skipped, **({checks.UNMATCHED: unmatched} if unmatched else {}), **captions.skipped}
    listed = {kind: frozenset(ids) for kind, ids in entries.items()}
    images = _union(files, entries, report)
    return CocoTables(
        files, images, listed, categories, person_id, keypoints, instances, persons, captions, skipped, remarks, folder
    )


def _categories(
    files: Mapping[str, AnnotationFile], classes: Sequence[tuple[int, str]] | None, report: Reporter
) -> dict[int, str]:
    """Category id to name: the given classes in their order, or those of the first file that has categories."""
    expected = None if classes is None else dict(classes)
    if classes is not None and len(dict(classes)) != len(classes):
        raise UserError("classes give a category id twice; give every class its own id")
    for kind in ("instances", "person_keypoints"):
        if kind not in files:
            continue
        path = files[kind].path
        categories = checks.check_categories(path, files[kind].content["categories"], report)
        expected = categories if expected is None else expected
        for category, name in categories.items():
            if expected.get(category, name) != name:
                message = f"is called {quote(name)}, expected {quote(expected[category])}"
                remedy = "use the same categories everywhere, or another --preset"
                report(Problem(path, f"category {category}", Fault("category name disagrees", message, remedy)))
    return expected or {}


def _person(file: AnnotationFile | None, categories: Mapping[int, str], report: Reporter) -> tuple[int | None, int]:
    """Id of the category that has keypoints, and K."""
    by_name: int | None = next((category for category, name in categories.items() if name == "person"), None)
    records = [] if file is None else [r for r in file.content["categories"] if isinstance(r, dict)]
    for record in records:
        names = record.get("keypoints")
        if record.get("id") in categories and isinstance(names, list) and names:
            return record["id"], len(names)
    if file is not None:
        fault = Fault("no keypoints", "no known category has keypoints", "list them in the person category")
        report(Problem(file.path, "field 'categories'", fault))
    return by_name, COCO_KEYPOINTS


def _join(
    path: Path, instances: Checked, persons: Mapping[int, Record], report: Reporter
) -> tuple[dict[int, Record], int]:
    """Persons that belong to an instance by annotation id, and how many do not."""
    belongs = {r["id"]: (r["image_id"], r["category_id"]) for rows in instances.usable.values() for r in rows}
    matched = {}
    unmatched = 0
    for identity, record in persons.items():
        if identity not in belongs:
            unmatched += 1
        elif belongs[identity] != (record["image_id"], record["category_id"]):
            message = "has the id of an instance with another image or category"
            fault = Fault("keypoints disagree", message, "take both annotation files from the same release")
            report(Problem(path, f"annotation {identity}", fault))
        else:
            matched[identity] = record
    return matched, unmatched


def _union(
    files: Mapping[str, AnnotationFile], listed_images: Mapping[str, Mapping[int, ImageEntry]], report: Reporter
) -> dict[int, ImageEntry]:
    """Images of all files; where several list an image, ``instances`` comes first and the others must agree."""
    images: dict[int, ImageEntry] = {}
    for kind, entries in listed_images.items():
        for image_id, entry in entries.items():
            first = images.setdefault(image_id, entry)
            if first != entry:
                message = f"is {quote(entry.path.name)} of {entry.width}x{entry.height} pixels here, but "
                message += f"{quote(first.path.name)} of {first.width}x{first.height} in another annotation file"
                fault = Fault("annotation files disagree", message, "take all annotation files from the same release")
                report(Problem(files[kind].path, f"image {image_id}", fault))
    return dict(sorted(images.items()))
