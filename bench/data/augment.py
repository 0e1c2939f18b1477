"""Images as training sees them: mirrored, cropped and scaled at random, targets moved along (DETR; MAD's release)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

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
    resize_image,
    to_tensor,
)
from tasks.targets import Targets, with_area

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
        pixels = torch.as_tensor(to_tensor(image))
        if self.color:
            pixels = recolored(pixels, self.color, generator)
        if _draw(generator) < self.flip:
            pixels, targets = HorizontalFlip(drop_sided_captions=True)(pixels, targets)
        if _draw(generator) < self.crop:
            pixels, targets = _small(pixels, targets, CROP_SHORTS[_integer(generator, 0, len(CROP_SHORTS) - 1)])
            height, width = targets.size
            size = (_side(generator, height), _side(generator, width))
            pixels, targets = _random_crop(pixels, targets, size, generator)
        prepared = self._fitted(pixels, targets, generator)
        if prepared.targets is None or prepared.targets.instances is None:
            return prepared
        return replace(prepared, targets=_without_empty(prepared.targets))

    def _fitted(self, image: Tensor, targets: Targets, generator: torch.Generator) -> Prepared:
        """The transform's input, at a random size or place where that is asked for."""
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
        self, image: Tensor, targets: Targets, side: int, generator: torch.Generator
    ) -> tuple[Tensor, Targets]:
        """Scaled so that the longest side is ``side`` times a random factor, and cut where it is larger than that."""
        low, high = self.jitter or (1.0, 1.0)
        scale = (low + (high - low) * _draw(generator)) * side / max(targets.size)
        size = (max(1, round(targets.size[0] * scale)), max(1, round(targets.size[1] * scale)))
        image, targets = resize_image(image, size), resize_targets(targets, size)
        window = (min(side, size[0]), min(side, size[1]))
        return _random_crop(image, targets, window, generator)


def _without_empty(targets: Targets) -> Targets:
    """Targets without objects that scaling left without extent."""
    instances = targets.instances
    if instances is None:
        return targets
    rows = with_area(instances.boxes)
    return targets if len(rows) == len(instances) else replace(targets, instances=instances.rows(rows))


def _small(image: Tensor, targets: Targets, short: int) -> tuple[Tensor, Targets]:
    size = ShortestSide(short=short, longest=10 * short).size(targets.size)
    return resize_image(image, size), resize_targets(targets, size)


def _random_crop(image: Tensor, targets: Targets, size: Size, generator: torch.Generator) -> tuple[Tensor, Targets]:
    top = _integer(generator, 0, targets.size[0] - size[0])
    left = _integer(generator, 0, targets.size[1] - size[1])
    window = image[:, top : top + size[0], left : left + size[1]]
    return window, crop_targets(targets, top=top, left=left, size=size)


def _side(generator: torch.Generator, most: int) -> int:
    low, high = CROP_SIDES
    return _integer(generator, min(low, most), min(high, most))


def _integer(generator: torch.Generator, low: int, high: int) -> int:
    """A number from ``low`` to ``high``, both possible."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _draw(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
