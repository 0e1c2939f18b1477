"""A data set packed once into memory-mapped arrays, so that a training step on a CPU decodes no file.

Everything is in pixels of a square of ``side`` pixels that images are stretched to, as the transform ``square`` does.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.dataset import Dataset, DatasetSample
from bench.data.geometry import mirrored_order, resize_targets
from bench.data.part_folder import part_folder
from bench.data.sources import combined, digest, stamp
from bench.data.transforms import IMAGENET, resize_image, to_tensor
from bench.errors import DataError
from results.store import StoreError, write_atomically
from tasks.pasting import decode_mask
from tasks.targets import Targets

VERSION = 3
OWNER_PIXELS = 2  # side of a cell of ``Packed.owner``
DEPTH_PIXELS = 4  # side of a cell of ``Packed.depth``
MOST_OBJECTS = 100  # of an image; further ones are left out, smallest first
MARKER = "packed.json"

Progress = Callable[[int, int], None]
Words = Callable[[Targets], NDArray[np.bool_]]


@dataclass(frozen=True)
class Packed:
    """N images of S pixels and their annotations; M is the largest number of objects of an image.

    Args:
        images: (N, S, S, 3) uint8 RGB.
        owner: (N, S / 2, S / 2) uint8, 1 + index of the object that covers at least half of the cell, or 0.
        depth: (N, S / 4, S / 4) float16, mean meters of the valid pixels of the cell, 0 where there are none.
        counts: (N,) int64, objects of an image.
        boxes: (N, M, 4) float32, x0 y0 x1 y1 in pixels.
        classes: (N, M) int64 class indices.
        colors: (N, M, 3) float32, mean RGB in [0, 1] of the object's pixels.
        keypoints: (N, M, K, 3) float32, x and y in pixels (the middle of the first is 0.5), visibility 0, 1 or 2.
        words: (N, W) bool, pieces that occur in a caption of the image.
    """

    images: NDArray[Any]
    owner: NDArray[Any]
    depth: NDArray[Any]
    counts: NDArray[Any]
    boxes: NDArray[Any]
    classes: NDArray[Any]
    colors: NDArray[Any]
    keypoints: NDArray[Any]
    words: NDArray[Any]

    def __len__(self) -> int:
        return len(self.images)


def packed(
    dataset: Dataset, folder: Path, *, side: int, words: Words | None, pieces: str, progress: Progress
) -> Packed:
    """The packed arrays of a data set below ``folder``, made if they are not there.

    Args:
        dataset: images with objects; captions and depth may be absent.
        folder: where packed data sets are kept; about 50 kB an image at 128 pixels.
        side: S, a multiple of four.
        words: which of W pieces the captions of an image use; None packs none (W = 0).
        pieces: name of those W pieces, under which the arrays are kept beside those of other ones.
        progress: called with images done and images in all.
    """
    root = folder / f"packed-v{VERSION}-{side}-{dataset.content_hash}-{pieces}"
    arrays = _opened(root, dataset)
    if arrays is None:
        with part_folder(root) as part:
            _write(dataset, part, side, words, progress)
            digests = combined(digest(dataset, sample) for sample in dataset.samples)
            (part / MARKER).write_text(json.dumps({"stamps": _stamps(dataset), "digests": digests}) + "\n")
            _publish(part, root, dataset)
        arrays = _opened(root, dataset)
    if arrays is None:
        raise DataError(f"{root}: cannot be read back, or its images change; check the disk, or remove the folder")
    return arrays


def _opened(root: Path, dataset: Dataset) -> Packed | None:
    """The packed arrays of these very images; None if they are absent, damaged or of other bytes."""
    try:
        marker = json.loads((root / MARKER).read_bytes())
        arrays = Packed(**{f.name: np.load(root / f"{f.name}.npy", mmap_mode="r") for f in fields(Packed)})
        if any(len(getattr(arrays, f.name)) != len(dataset) for f in fields(Packed)):
            return None
        if marker["stamps"] != _stamps(dataset):  # copied, or changed: only the bytes can tell
            if marker["digests"] != combined(digest(dataset, sample) for sample in dataset.samples):
                return None
            with suppress(StoreError):  # a cache that may not be written: compared again next time
                write_atomically(root / MARKER, json.dumps({**marker, "stamps": _stamps(dataset)}).encode())
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None
    return arrays


def _stamps(dataset: Dataset) -> str:
    return combined(stamp(dataset, sample) for sample in dataset.samples)


def _publish(part: Path, root: Path, dataset: Dataset) -> None:
    """Give a finished folder its name, unless another process, which wrote the same, was faster."""
    try:
        part.rename(root)
    except OSError:
        if _opened(root, dataset) is None:  # damaged, or of images that have changed
            shutil.rmtree(root)
            part.rename(root)


def _write(dataset: Dataset, root: Path, side: int, words: Words | None, progress: Progress) -> None:
    count, cells, coarse = len(dataset), side // OWNER_PIXELS, side // DEPTH_PIXELS
    images = np.lib.format.open_memmap(root / "images.npy", mode="w+", dtype=np.uint8, shape=(count, side, side, 3))
    owner = np.zeros((count, cells, cells), dtype=np.uint8)
    depth = np.zeros((count, coarse, coarse), dtype=np.float16)
    rows: list[dict[str, NDArray[Any]]] = []
    spoken: list[NDArray[Any]] = []
    for index, sample in enumerate(dataset.samples):
        images[index] = _pixels(dataset, sample, side)
        targets = dataset.targets(sample)
        spoken.append(np.zeros(0, dtype=np.bool_) if words is None else words(targets))
        targets = resize_targets(targets, (side, side))
        row, owner[index] = _objects(targets, images[index])
        rows.append(row)
        if targets.depth is not None:
            depth[index] = _coarse_depth(targets.depth.numpy())
        progress(index + 1, count)
    images.flush()
    np.save(root / "owner.npy", owner)
    np.save(root / "depth.npy", depth)
    np.save(root / "words.npy", np.stack(spoken))
    np.save(root / "counts.npy", np.array([len(row["classes"]) for row in rows]))
    for name in ("boxes", "classes", "colors", "keypoints"):
        np.save(root / f"{name}.npy", _padded([row[name] for row in rows]))


def _pixels(dataset: Dataset, sample: DatasetSample, side: int) -> NDArray[Any]:
    image = dataset.image(sample)
    if image.size != (side, side):
        # As the transform of a run does, so that training and running see the same pixels.
        return np.asarray(resize_image(to_tensor(image), (side, side)).permute(1, 2, 0).numpy())
    return np.asarray(image)


def _objects(targets: Targets, image: NDArray[Any]) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """The objects of one image, and its (S / 2, S / 2) owners."""
    side, instances = targets.size[0], targets.instances
    owner = np.zeros((side // OWNER_PIXELS,) * 2, dtype=np.uint8)
    if instances is None or not len(instances):
        joints = 0 if instances is None else instances.keypoints.shape[1]
        empty: dict[str, NDArray[Any]] = {"boxes": np.zeros((0, 4), np.float32), "classes": np.zeros(0, np.int64)}
        empty |= {"colors": np.zeros((0, 3), np.float32), "keypoints": np.zeros((0, joints, 3), np.float32)}
        return empty, owner
    masks = np.stack([decode_mask(s, (side, side)) for s in instances.segmentations])  # (n, S, S)
    rows = np.sort(np.argsort(-masks.sum((1, 2)), kind="stable")[:MOST_OBJECTS])
    masks = masks[rows]
    cells = masks.reshape(len(masks), *(side // OWNER_PIXELS, OWNER_PIXELS) * 2).sum((2, 4))  # (n, S / 2, S / 2)
    owner[:] = np.where(cells.max(0) * 2 >= OWNER_PIXELS**2, cells.argmax(0) + 1, 0)
    pixels = masks.reshape(len(masks), -1).astype(np.float32)
    colors = pixels @ (image.reshape(-1, 3) / np.float32(255)) / np.maximum(pixels.sum(1, keepdims=True), 1)
    keypoints = instances.keypoints.numpy()[rows].copy()
    keypoints[..., :2] += 0.5 * (keypoints[..., 2:] > 0)
    row: dict[str, NDArray[Any]] = {
        "boxes": instances.boxes.numpy()[rows],
        "classes": instances.classes.numpy()[rows],
    }
    return row | {"colors": colors.astype(np.float32), "keypoints": keypoints}, owner


def _coarse_depth(depth: NDArray[Any]) -> NDArray[Any]:
    side = depth.shape[0]
    blocks = depth.reshape(*(side // DEPTH_PIXELS, DEPTH_PIXELS) * 2)
    valid = (blocks > 0).sum((1, 3))
    means: NDArray[Any] = blocks.sum((1, 3)) / np.maximum(valid, 1)  # invalid pixels are 0 and add nothing
    return means.astype(np.float16)


def _padded(rows: list[NDArray[Any]]) -> NDArray[Any]:
    """Ragged (n, ...) arrays as one (N, M, ...) array, 0 behind the last."""
    trailing = max((row.shape[1:] for row in rows), default=())  # an image without objects may know no joints
    out = np.zeros((len(rows), max(1, *map(len, rows)), *trailing), dtype=rows[0].dtype)
    for index, row in enumerate(rows):
        if len(row):
            out[index, : len(row)] = row
    return out


def as_tensors(arrays: Packed, index: NDArray[np.int64]) -> dict[str, torch.Tensor]:
    """Copies of the images at ``index`` with everything known of them, as tensors; members as in ``Packed``."""
    return {f.name: torch.from_numpy(np.ascontiguousarray(getattr(arrays, f.name)[index])) for f in fields(Packed)}


def normalized(images: torch.Tensor) -> torch.Tensor:
    """(B, S, S, 3) uint8 RGB to (B, 3, S, S) float32 as the network expects it, channels last in memory."""
    scale, shift = torch.tensor(IMAGENET.std) * 255, torch.tensor(IMAGENET.mean) / torch.tensor(IMAGENET.std)
    return (images.float() / scale.to(images.device) - shift.to(images.device)).permute(0, 3, 1, 2)


def mirrored(arrays: Mapping[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    """The arrays of ``Packed`` with the images where ``chosen`` (B,) is true mirrored left to right.

    Left and right joints change places. ``words`` stay: only a bag of them is learned, and captions of most scenes hold
    both "left" and "right".
    """
    side = arrays["images"].shape[2]
    out = dict(arrays)
    for name in ("images", "owner", "depth"):
        turned = chosen.reshape(-1, *[1] * (arrays[name].dim() - 1))
        out[name] = torch.where(turned, arrays[name].flip(2), arrays[name])
    left, top, right, bottom = arrays["boxes"].unbind(-1)
    boxes = torch.stack([side - right, top, side - left, bottom], dim=-1)
    out["boxes"] = torch.where(chosen[:, None, None], boxes, arrays["boxes"])
    out["keypoints"] = torch.where(
        chosen[:, None, None, None], _mirrored_joints(arrays["keypoints"], side), arrays["keypoints"]
    )
    return out


def _mirrored_joints(keypoints: Tensor, side: int) -> Tensor:
    x, y, seen = keypoints[:, :, mirrored_order(keypoints.shape[2])].unbind(-1)
    return torch.stack([torch.where(seen > 0, side - x, x), y, seen], dim=-1)
