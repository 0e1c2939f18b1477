"""One data set from COCO and NYUv2: an image that both list is one sample with the annotations of both."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from bench.data.coco.annotations import KINDS
from bench.data.coco.reader import Coco
from bench.data.images import read_rgb
from bench.data.nyu.reader import Nyu
from bench.data.orientation import Exif
from bench.errors import DataError, UserError
from tasks.targets import Targets

HASH_LETTERS = 16


@dataclass(frozen=True)
class DatasetSample:
    """One image.

    Args:
        image_id: COCO's id; minus the list's line number for an image that only NYUv2 lists.
        path: image file; None in NYUv2's labeled file.
        coco: whether COCO lists the image.
        nyu_index: index into ``Nyu.pairs``, or None.
    """

    image_id: int
    path: Path | None
    coco: bool
    nyu_index: int | None

    @property
    def file_name(self) -> str:
        """Name of the image file; a number in NYUv2's labeled file."""
        return self.path.name if self.path is not None else f"pair {-self.image_id}"


class Dataset:
    """Samples of a run: COCO's images in order of id, then the images that only NYUv2 lists, in order of the list.

    Args:
        coco: a COCO split, or None.
        nyu: an NYUv2 split, or None.
        limit: keep the first ``limit`` images of COCO and of those that only NYUv2 lists; None keeps all.
        exif: how an image of COCO lies that has an EXIF orientation.

    Attributes:
        samples: the images.

    Raises:
        UserError: if no data set is given or the limit is below 1.
        DataError: if there is no image.
    """

    def __init__(
        self, *, coco: Coco | None, nyu: Nyu | None, limit: int | None = None, exif: Exif = "annotated"
    ) -> None:
        if coco is None and nyu is None:
            raise UserError("no data set is given; name a COCO folder, an NYUv2 folder or both")
        if limit is not None and limit < 1:
            raise UserError(f"limit {limit}: nothing to evaluate; give at least 1, or leave it out for all images")
        self.coco = coco
        self.nyu = nyu
        self.limit = limit
        self.exif: Exif = exif
        self.samples: list[DatasetSample] = _join(coco, nyu, limit)
        if not self.samples:
            raise DataError("the data set is empty; give a folder whose annotation or list file names an image")

    def __len__(self) -> int:
        return len(self.samples)

    def image(self, sample: DatasetSample) -> Image.Image:
        """RGB image of a sample, fully decoded.

        Raises:
            DataError: if the file is broken or its size disagrees with the annotation.
        """
        if sample.path is None:
            nyu, index = self._nyu(sample)
            return nyu.image(index)
        size = self.annotated_size(sample)
        return read_rgb(sample.path, size=size, record=f"image {sample.image_id}", exif=self.exif)

    def annotated_size(self, sample: DatasetSample) -> tuple[int, int] | None:
        """Height and width that an annotation file gives; None for an image that only NYUv2 lists."""
        return self.coco.images[sample.image_id].size if sample.coco and self.coco else None

    def depth(self, sample: DatasetSample) -> Tensor | None:
        """(height, width) meters, 0 where unknown; None for an image without a depth map."""
        if sample.nyu_index is None:
            return None
        nyu, index = self._nyu(sample)
        return nyu.depth(index)

    def targets(self, sample: DatasetSample) -> Targets:
        """Everything annotated for a sample, in original pixels and meters.

        Raises:
            DataError: if the depth file is broken or its size disagrees with the image.
        """
        depth = self.depth(sample)
        if sample.coco and self.coco is not None:
            targets = self.coco.targets(sample.image_id)
            if depth is not None and tuple(depth.shape) != targets.size:
                self._refuse_depth(sample, tuple(depth.shape), targets.size)
            return replace(targets, depth=depth)
        if depth is None:
            raise DataError(f"image {sample.image_id} is of no data set; take samples from `Dataset.samples`")
        return Targets(size=(depth.shape[0], depth.shape[1]), depth=depth)

    def roomiest(self) -> list[DatasetSample]:
        """All samples, those first that make the largest batches: COCO's widest and tallest images alternate, since a
        batch is padded to both."""
        of_coco, coco = [sample for sample in self.samples if sample.coco], self.coco
        if coco is None or not of_coco:
            return list(self.samples)
        sizes = {sample.image_id: coco.images[sample.image_id].size for sample in of_coco}  # height, width
        wide = sorted(of_coco, key=lambda sample: sizes[sample.image_id][0] / sizes[sample.image_id][1])
        turns = [sample for pair in zip(wide, reversed(wide), strict=True) for sample in pair]
        return [*dict.fromkeys(turns), *(sample for sample in self.samples if not sample.coco)]

    @property
    def class_names(self) -> list[str]:
        """Names of the object classes in class order; empty without COCO."""
        return [] if self.coco is None else self.coco.class_names

    @cached_property
    def absent(self) -> dict[str, str]:
        """Kinds of annotation that the data does not have, and why; ``depth`` is one of them."""
        reasons: dict[str, str] = {}
        for kind in KINDS:
            if self.coco is None:
                reasons[kind] = "no COCO data given (--coco DIR)"
            elif kind not in self.coco.kinds:
                reasons[kind] = f"annotations/{kind}_{self.coco.split}.json is absent"
        if self.nyu is None:
            reasons["depth"] = "no NYUv2 data given (--nyu DIR)"
        elif not any(sample.nyu_index is not None for sample in self.samples):
            reasons["depth"] = "none of the first images has a depth map; raise --limit"
        return reasons

    @property
    def notes(self) -> list[str]:
        """What a reader of the results must know of annotations and lists."""
        return [*(self.coco.notes if self.coco else []), *(self.nyu.notes if self.nyu else [])]

    def summary(self) -> dict[str, Any]:
        """The data as a run's record describes it, as JSON data; folders by their last name only."""
        of_coco = [sample.image_id for sample in self.samples if sample.coco]
        counts = {
            "images": len(self.samples),
            "coco images": len(of_coco),
            "depth pairs": sum(sample.nyu_index is not None for sample in self.samples),
            **(self.coco.counts(of_coco) if self.coco else {}),
        }
        return {
            "coco": self._coco_summary(),
            "nyu": self._nyu_summary(),
            "limit": self.limit,
            "counts": counts,
            "hash": self.content_hash,
        }

    def _coco_summary(self) -> dict[str, Any] | None:
        if self.coco is None:
            return None
        coco = self.coco
        return {
            "root": coco.root.resolve().name,
            "split": coco.split,
            "files": sorted(coco.digests),
            "absent": [f"{kind}_{coco.split}.json" for kind in KINDS if kind not in coco.kinds],
            "classes": len(coco.class_names),
            "skipped_in_files": coco.skipped,
            "notes": coco.notes,
        }

    def _nyu_summary(self) -> dict[str, Any] | None:
        if self.nyu is None:
            return None
        return {
            "root": self.nyu.root.resolve().name,
            "split": self.nyu.split,
            "files": sorted(self.nyu.digests),
            "skipped_in_files": self.nyu.skipped,
            "notes": self.nyu.notes,
        }

    @cached_property
    def content_hash(self) -> str:
        """16 hexadecimal letters of SHA-256 over annotation and list files and the names and sizes of all files in use.

        Where the folders lie does not matter.
        """
        digest = hashlib.sha256()
        for name, data in (("coco", self.coco), ("nyu", self.nyu)):
            if data is not None:
                digest.update(json.dumps([name, data.split, sorted(data.digests.items())]).encode())
        reading = [*([] if self.exif == "annotated" else [self.exif]), *([self.nyu.reading] if self.nyu else [])]
        digest.update(" ".join(reading).encode())
        for sample in self.samples:
            names = [sample.image_id, *self._names_and_sizes(sample)]
            digest.update(json.dumps(names).encode())
        return digest.hexdigest()[:HASH_LETTERS]

    def files(self, sample: DatasetSample) -> list[Path]:
        """Image file and depth file of a sample, or the labeled file."""
        return [path for path, _ in self._files_and_bases(sample)]

    def contents(self, sample: DatasetSample) -> Iterator[bytes]:
        """Bytes of the files of a sample; of a labeled file, those of its image and depth."""
        if sample.path is None:
            yield self.image(sample).tobytes()
            if (meters := self.depth(sample)) is not None:
                yield meters.numpy().tobytes()
            return
        for path in self.files(sample):
            yield path.read_bytes()

    def _files_and_bases(self, sample: DatasetSample) -> list[tuple[Path, Path]]:
        """Files of a sample, each with the folder that its name starts from."""
        files: list[tuple[Path, Path]] = []
        if sample.coco and sample.path is not None and self.coco is not None:
            files.append((sample.path, self.coco.root))
        if sample.nyu_index is not None:
            nyu, index = self._nyu(sample)
            pair = nyu.pairs[index]
            files += [(path, nyu.base) for path in (pair.rgb, pair.depth, nyu.labeled_path) if path is not None]
        return files

    def _names_and_sizes(self, sample: DatasetSample) -> list[tuple[str, int]]:
        try:
            return [
                (path.relative_to(base).as_posix(), path.stat().st_size) for path, base in self._files_and_bases(sample)
            ]
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read ({error.strerror}); check the file") from None

    def _nyu(self, sample: DatasetSample) -> tuple[Nyu, int]:
        if self.nyu is None or sample.nyu_index is None:
            raise DataError(f"image {sample.image_id} has no depth map; take samples from `Dataset.samples`")
        return self.nyu, sample.nyu_index

    def _refuse_depth(self, sample: DatasetSample, size: tuple[int, ...], expected: tuple[int, int]) -> None:
        raise DataError(
            f"{sample.path}: image {sample.image_id}: its depth map has {size[1]}x{size[0]} pixels, "
            f"its annotation {expected[1]}x{expected[0]}; use the depth map that belongs to the image"
        )


def _join(coco: Coco | None, nyu: Nyu | None, limit: int | None) -> list[DatasetSample]:
    pairs = nyu.pairs if nyu is not None else []
    by_file = {os.path.realpath(pair.rgb): index for index, pair in enumerate(pairs) if pair.rgb is not None}
    names = {Path(path).name for path in by_file}
    taken: set[int] = set()
    samples: list[DatasetSample] = []
    for image_id, entry in (coco.images if coco is not None else {}).items():
        # Few names are in both; only those are worth asking the file system.
        index = by_file.get(os.path.realpath(entry.path)) if entry.path.name in names else None
        taken.update(() if index is None else (index,))
        samples.append(DatasetSample(image_id, entry.path, True, index))
    only_nyu = [
        DatasetSample(-pair.line, pair.rgb, False, index) for index, pair in enumerate(pairs) if index not in taken
    ]
    return samples[:limit] + only_nyu[:limit]
