"""Training data of codecs: squares cut from depth maps, and the masks of all objects, packed into one file of bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from bench.data.array_cache import cached_array
from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.train.batch_stream import Indices
from tasks.metrics.depth import CROPPED_SIZE, EIGEN_CROP
from tasks.pasting import crop

PACKED_VERSION = 1

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MapBatch:
    """B maps.

    Args:
        inputs: (B, side, side) float32 masks or meters, as the encoder sees them.
        targets: (B, side, side) float32, what is to be reconstructed; depths of 0 are unknown.
    """

    inputs: Tensor
    targets: Tensor


class DepthMaps:
    """Depth maps, read on demand.

    Maps of NYUv2's size lose the rows' white border first (columns 41 to 601), as in AiT's release.

    Args:
        dataset: images with depth.
        side: pixels along each side of the square that is cut at a random position.
        flip: share of the maps that are mirrored.
        hidden: share of the patches that the encoder does not see.
        patch: pixels of a patch along each side.
    """

    def __init__(self, dataset: Dataset, *, side: int, flip: float, hidden: float, patch: int) -> None:
        if dataset.nyu is None:
            raise UserError("a codec of depth needs depth maps; give --nyu DIR")
        self._nyu = dataset.nyu
        self._pairs = [sample.nyu_index for sample in dataset.samples if sample.nyu_index is not None]
        self._side, self._flip, self._hidden, self._patch = side, flip, hidden, patch

    def __len__(self) -> int:
        return len(self._pairs)

    def batch(self, indices: Indices, generator: torch.Generator) -> MapBatch:
        """Return maps cut, mirrored and partly hidden; every choice is drawn from ``generator``."""
        targets = torch.stack([self._square(int(index), generator) for index in indices])
        targets = mirrored(targets, self._flip, generator)
        return MapBatch(hide_patches(targets, self._hidden, self._patch, generator), targets)

    def _square(self, index: int, generator: torch.Generator) -> Tensor:
        depth = self._nyu.depth(self._pairs[index])
        if tuple(depth.shape) == CROPPED_SIZE:
            depth = depth[:, EIGEN_CROP[1]]
        height, width = depth.shape
        if min(height, width) < self._side:
            raise UserError(
                f"{self._nyu.root.name}: pair {self._pairs[index] + 1} has a depth map of {height}x{width} pixels, the "
                f"codec learns from squares of {self._side}; give a smaller --codecs.depth.shape.side"
            )
        top, left = (
            int(torch.randint(0, length - self._side + 1, (), generator=generator)) for length in (height, width)
        )
        return depth[top : top + self._side, left : left + self._side]


class MaskCrops:
    """The masks of all objects of a data set, each cropped to its box.

    Args:
        dataset: images with objects.
        side: pixels of a mask along each side.
        flip: share of the masks that are mirrored.
        folder: where packed masks are kept; ``side`` * ``side`` / 8 bytes each.
        progress: called with images done and images in all while they are packed.
    """

    def __init__(
        self, dataset: Dataset, *, side: int, flip: float, folder: Path, progress: Callable[[int, int], None]
    ) -> None:
        self._side, self._flip = side, flip
        path = folder / f"masks-v{PACKED_VERSION}-{side}-{dataset.content_hash}.npy"

        def write(part: Path) -> None:
            with part.open("wb") as stream:
                np.save(stream, _packed(dataset, side, progress))

        self._masks: Bits = cached_array(path, write)

    def __len__(self) -> int:
        return len(self._masks)

    def batch(self, indices: Indices, generator: torch.Generator) -> MapBatch:
        """Return masks, some of them mirrored."""
        bits = np.unpackbits(self._masks[indices], axis=1, count=self._side**2)
        masks = torch.from_numpy(bits).view(len(indices), self._side, self._side).float()
        masks = mirrored(masks, self._flip, generator)
        return MapBatch(masks, masks)


def _packed(dataset: Dataset, side: int, progress: Callable[[int, int], None]) -> Bits:
    """Return the masks of all objects as (objects, bytes of a mask) uint8."""
    if dataset.coco is None:
        raise UserError("a codec of masks needs objects; give --coco DIR")
    masks: list[Bits] = []
    images = [sample.image_id for sample in dataset.samples if sample.coco]
    for done, image_id in enumerate(images, start=1):
        instances = dataset.coco.targets(image_id).instances
        for outline, box in () if instances is None else zip(instances.segmentations, instances.boxes, strict=True):
            masks.append(np.packbits(crop(outline, box, side).numpy()))
        progress(done, len(images))
    if not masks:
        raise UserError(f"{dataset.coco.root.name}: has no object to learn a codec of masks from")
    return np.stack(masks)


def mirrored(maps: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Mirror each of (B, H, W) maps left to right with probability ``share``."""
    chosen = torch.rand(len(maps), generator=generator) < share
    return torch.where(chosen[:, None, None], maps.flip(2), maps)


def hide_patches(maps: Tensor, share: float, patch: int, generator: torch.Generator) -> Tensor:
    """Set exactly ``ceil(share * patches)`` patches of each map to 0, chosen at random (AiT section 3.2).

    Args:
        maps: (B, H, W); ``patch`` divides H and W.
        share: of the patches.
        patch: pixels of a patch along each side.
        generator: draws which.
    """
    count, height, width = maps.shape
    rows, columns = height // patch, width // patch
    hidden = math.ceil(share * rows * columns)
    if not hidden:
        return maps
    order = torch.rand(count, rows * columns, generator=generator).argsort(dim=1)
    visible = torch.ones(count, rows * columns).scatter(1, order[:, :hidden], 0.0)
    pixels = interpolate(visible.view(count, 1, rows, columns), scale_factor=float(patch), mode="nearest")[:, 0]
    return maps * pixels
