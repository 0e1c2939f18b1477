"""Images as training sees them: mirrored, cropped and scaled at random, targets moved along (DETR; MAD's release)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torchvision.transforms.v2 import functional as v2

from bench.data.color_jitter import recolored
from bench.data.geometry import Size, crop_targets, resize_targets
from bench.data.transforms import (
    AnyImage,
    HorizontalFlip,
    Letterbox,
    Prepared,
    ShortestSide,
    Transform,
    Windows,
)
from tasks.targets import Targets

CROP_SHORTS = (400, 500, 600)  # shortest sides before a crop
CROP_SIDES = (384, 600)  # least and most pixels of a crop's sides


@dataclass(frozen=True)
class Augment:
    """Random changes, then the transform of a run.

    Args:
        transform: how a run fits images; what it does to a whole image is done last. Of windows there is one, anywhere.
        flip: share of the images that are mirrored.
        shorts: shortest sides drawn from in place of the transform's own (MAD-R50: 480 to 800), or none.
        crop: share of the images that are scaled to one of three small sizes and cropped before.
        jitter: least and most scale of a square that a crop is then taken from (MAD-ViT: 0.3 to 2), or None. What is
            smaller than the square stays so, with padding around it.
        color: share of the images whose brightness, contrast, gamma and hues are changed, each on its own.
        anywhere: whether windows lie anywhere, as in AiT's training, or where a run's windows do.
    """

    transform: Transform | Windows
    flip: float = 0.5
    shorts: tuple[int, ...] = ()
    crop: float = 0.0
    jitter: tuple[float, float] | None = None
    color: float = 0.0
    anywhere: bool = True

    def __call__(self, image: AnyImage, targets: Targets, generator: torch.Generator) -> Prepared:
        """Pixels and targets; every choice is drawn from ``generator``."""
        image = v2.to_image(image)
        if self.color:
            image = v2.to_image(recolored(torch.as_tensor(image), self.color, generator))
        if _draw(generator) < self.flip:
            image, targets = HorizontalFlip(drop_sided_captions=True)(image, targets)
        if _draw(generator) < self.crop:
            image, targets = _small(image, targets, CROP_SHORTS[_integer(generator, 0, len(CROP_SHORTS) - 1)])
            height, width = targets.size
            size = (_side(generator, height), _side(generator, width))
            image, targets = _random_crop(image, targets, size, generator)
        prepared = self._fitted(image, targets, generator)
        if prepared.targets is None or prepared.targets.instances is None:
            return prepared
        return replace(prepared, targets=_without_empty(prepared.targets))

    def _fitted(self, image: AnyImage, targets: Targets, generator: torch.Generator) -> Prepared:
        """What the transform makes of it, at a random size or place where that is asked for."""
        transform = self.transform
        if isinstance(transform, Windows):
            return transform.one(image, targets, _draw(generator), anywhere=self.anywhere)
        if self.jitter is not None and isinstance(transform, Letterbox):
            image, targets = self._jittered(image, targets, transform.side, generator)
            return transform.place(image, targets, targets.size)
        if self.shorts and isinstance(transform, ShortestSide):
            transform = replace(transform, short=self.shorts[_integer(generator, 0, len(self.shorts) - 1)])
        return transform(image, targets)

    def _jittered(
        self, image: AnyImage, targets: Targets, side: int, generator: torch.Generator
    ) -> tuple[AnyImage, Targets]:
        """Scaled so that the longest side is ``side`` times a random factor, and cut where it is larger than that."""
        low, high = self.jitter or (1.0, 1.0)
        scale = (low + (high - low) * _draw(generator)) * side / max(targets.size)
        size = (max(1, round(targets.size[0] * scale)), max(1, round(targets.size[1] * scale)))
        image, targets = v2.resize(image, list(size), antialias=True), resize_targets(targets, size)
        window = (min(side, size[0]), min(side, size[1]))
        return _random_crop(image, targets, window, generator)


def _without_empty(targets: Targets) -> Targets:
    """Targets without objects that scaling left without extent."""
    found = targets.instances
    if found is None:
        return targets
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    kept = (sides > 0).all(dim=1).nonzero()[:, 0].tolist()
    if len(kept) == len(found):
        return targets
    rest = replace(
        found,
        boxes=found.boxes[kept],
        classes=found.classes[kept],
        segmentations=[found.segmentations[row] for row in kept],
        keypoints=found.keypoints[kept],
        ids=[found.ids[row] for row in kept],
    )
    return replace(targets, instances=rest)


def _small(image: AnyImage, targets: Targets, short: int) -> tuple[AnyImage, Targets]:
    size = ShortestSide(short=short, longest=10 * short).size(targets.size)
    return v2.resize(image, list(size), antialias=True), resize_targets(targets, size)


def _random_crop(image: AnyImage, targets: Targets, size: Size, generator: torch.Generator) -> tuple[AnyImage, Targets]:
    top = _integer(generator, 0, targets.size[0] - size[0])
    left = _integer(generator, 0, targets.size[1] - size[1])
    return v2.crop(image, top, left, *size), crop_targets(targets, top=top, left=left, size=size)


def _side(generator: torch.Generator, most: int) -> int:
    low, high = CROP_SIDES
    return _integer(generator, min(low, most), min(high, most))


def _integer(generator: torch.Generator, low: int, high: int) -> int:
    """A number from ``low`` to ``high``, both possible."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _draw(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
