"""An image to the network's input: four ways to fit it, and the mirror; targets follow if given (training).

torchvision is imported where an image is fitted: the import takes seconds, and packed images do not need it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch
from PIL import Image
from torch import Tensor

from bench.data.geometry import Size, crop_targets, mirror_targets, resize_targets
from tasks.targets import Targets

AnyImage = Image.Image | Tensor  # a tensor: torchvision's tv_tensors.Image, (3, height, width) uint8
ImageT = TypeVar("ImageT", Image.Image, Tensor)
SIDES = re.compile(r"\b(left|right)", re.IGNORECASE)


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation per channel of an RGB image in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What pretrained backbones expect (MAD's 123.675, 116.28, 103.53 and 58.395, 57.12, 57.375, divided by 255)."""


@dataclass(frozen=True)
class Prepared:
    """An image as the network gets it.

    Args:
        pixels: (3, height, width) float32, padding 0 after normalizing.
        size: height and width of the content, which is in the top left corner; the rest is padding.
        targets: targets in pixels of the content, or None if none were given.
        left: column of the resized image that the first column of ``pixels`` is.
    """

    pixels: Tensor
    size: Size
    targets: Targets | None = None
    left: int = 0


class Transform(Protocol):
    """A way to make one input of an image; ``Windows`` make several."""

    def __call__(self, image: AnyImage, targets: Targets | None = None) -> Prepared:
        """The network's input; ``targets``, in pixels of ``image``, are moved along."""
        ...


@dataclass(frozen=True)
class ShortestSide:
    """Scale so that the shortest side has ``short`` pixels, or fewer where the longest would pass ``longest`` (MAD).

    Args:
        short: pixels of the shortest side.
        longest: most pixels of the longest side.
        normalise: mean and deviation, or None to keep values in [0, 1] (AiT's depth).
    """

    short: int = 800
    longest: int = 1333
    normalise: Normalization | None = IMAGENET

    def size(self, before: Size) -> Size:
        """Height and width after scaling; halves round up, as in detectron2."""
        scale = min(self.short / min(before), self.longest / max(before))
        return _scaled(before, scale)

    def __call__(self, image: AnyImage, targets: Targets | None = None) -> Prepared:
        """(3, height, width) pixels without padding."""
        return _fit(image, targets, self.size(_size_of(image)), self.normalise)


@dataclass(frozen=True)
class Letterbox:
    """Scale so that the longest side has ``side`` pixels and pad right and bottom to a square (MAD's ViT, AiT).

    Args:
        side: pixels of the square's side.
        normalise: mean and deviation, or None to keep values in [0, 1].
    """

    side: int = 1024
    normalise: Normalization | None = IMAGENET

    def size(self, before: Size) -> Size:
        """Height and width of the content."""
        return _scaled(before, self.side / max(before))

    def __call__(self, image: AnyImage, targets: Targets | None = None) -> Prepared:
        """(3, side, side) pixels; ``size`` is that of the content."""
        return self.place(image, targets, self.size(_size_of(image)))

    def place(self, image: AnyImage, targets: Targets | None, size: Size) -> Prepared:
        """(3, side, side) pixels with the image scaled to ``size`` in the top left corner."""
        fitted = _fit(image, targets, size, self.normalise)
        return replace(fitted, pixels=_pad(fitted.pixels, (self.side, self.side)))


@dataclass(frozen=True)
class Square:
    """Stretch to a square, whatever the aspect ratio.

    Args:
        side: pixels of the square's side.
        normalise: mean and deviation, or None to keep values in [0, 1].
    """

    side: int
    normalise: Normalization | None = IMAGENET

    def __call__(self, image: AnyImage, targets: Targets | None = None) -> Prepared:
        """(3, side, side) pixels without padding."""
        return _fit(image, targets, (self.side, self.side), self.normalise)


@dataclass(frozen=True)
class Windows:
    """Square windows side by side over an image scaled to their height; the last is flush with the right edge.

    An NYUv2 image of 480 x 640 gives two windows of 480 x 480 at columns 0 and 160, as AiT evaluates depth.

    Args:
        side: pixels of a window's side.
        normalise: mean and deviation, or None to keep values in [0, 1] (AiT's depth).
        mirrored: whether every window is followed by its mirror image, as AiT does.
    """

    side: int = 480
    normalise: Normalization | None = IMAGENET
    mirrored: bool = False

    def size(self, before: Size) -> Size:
        """Height and width of the scaled image."""
        return self.side, _scaled(before, self.side / before[0])[1]

    def starts(self, before: Size) -> list[int]:
        """First column of every window, in pixels of the scaled image."""
        width = self.size(before)[1]
        last = max(width - self.side, 0)
        return [*range(0, last, self.side), last]

    def __call__(self, image: AnyImage, targets: Targets | None = None) -> list[Prepared]:
        """Inputs (3, side, side) from left to right; a scaled image narrower than a window is padded on the right."""
        before = _size_of(image)
        whole = _fit(image, targets, self.size(before), self.normalise)
        windows = []
        for left in self.starts(before):
            windows.append(self._window(whole, left))
            if self.mirrored:
                windows.append(_mirrored(windows[-1]))
        return windows

    def one(self, image: AnyImage, targets: Targets | None, place: float, *, anywhere: bool = True) -> Prepared:
        """One input (3, side, side) for training.

        Args:
            image: whole image.
            targets: its annotations.
            place: in [0, 1), where from the left edge to the right.
            anywhere: whether any column may be the first; else one of ``starts``.
        """
        before = _size_of(image)
        whole = _fit(image, targets, self.size(before), self.normalise)
        lefts = range(max(whole.size[1] - self.side, 0) + 1) if anywhere else self.starts(before)
        return self._window(whole, lefts[int(place * len(lefts))])

    def _window(self, whole: Prepared, left: int) -> Prepared:
        pixels = whole.pixels[:, :, left : left + self.side]
        size = (self.side, pixels.shape[2])
        moved = None
        if whole.targets is not None:
            moved = crop_targets(whole.targets, top=0, left=left, size=size)
        return Prepared(_pad(pixels.contiguous(), (self.side, self.side)), size, moved, left)

    def merge(self, maps: Sequence[Tensor], before: Size) -> Tensor:
        """(side, width) map of the scaled image from one (side, side) map per input.

        A window's map and its mirror image's, turned back, are averaged, and then what overlaps.

        Args:
            maps: values of each input, e.g. depth, in order of the inputs.
            before: height and width of the original image.

        Raises:
            ValueError: if there is not one map per input.
        """
        height, width = self.size(before)
        if self.mirrored:
            maps = [(plain + turned.flip(-1)) / 2 for plain, turned in zip(maps[::2], maps[1::2], strict=True)]
        total = maps[0].new_zeros(height, width) if maps else torch.zeros(height, width)
        times = torch.zeros_like(total)
        for left, values in zip(self.starts(before), maps, strict=True):
            right = min(left + self.side, width)
            total[:, left:right] += values[:, : right - left]
            times[:, left:right] += 1
        return total / times


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirror every image left to right.

    Boxes, masks, depth and keypoints follow, and keypoints change sides (a left eye is a right one in the mirror). The
    words "left" and "right" in captions are not exchanged, so such captions no longer fit.

    Args:
        drop_sided_captions: leave out captions that say left or right. An image whose captions are all left out counts
            as one without captions.
        pairs: keypoints that change places; default: COCO's when there are 17 keypoints, none otherwise.
    """

    drop_sided_captions: bool = False
    pairs: tuple[tuple[int, int], ...] | None = None

    def __call__(self, image: ImageT, targets: Targets) -> tuple[ImageT, Targets]:
        """The mirrored image and its targets."""
        moved = mirror_targets(targets, self.pairs)
        if self.drop_sided_captions:
            moved = _without_sides(moved)
        mirrored = image.flip(-1) if isinstance(image, Tensor) else image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return mirrored, moved


def mirror_annotations(targets: Targets) -> Targets:
    """The targets of a mirrored image, without captions that say left or right."""
    return _without_sides(mirror_targets(targets))


def _without_sides(targets: Targets) -> Targets:
    captions = [caption for caption in targets.captions or () if not SIDES.search(caption)]
    return replace(targets, captions=captions or None)


def to_tensor(image: AnyImage) -> Tensor:
    """The image as (3, height, width) uint8."""
    from torchvision.transforms.v2 import functional as v2

    tensor: Tensor = v2.to_image(image)
    return tensor


def resize_image(image: Tensor, size: Size) -> Tensor:
    """An image (3, height, width) uint8 scaled to ``size``, bilinear and antialiased as Pillow does."""
    from torchvision.transforms.v2 import functional as v2

    resized: Tensor = v2.resize(image, list(size), antialias=True)
    return resized


def _scaled(size: Size, scale: float) -> Size:
    return max(int(size[0] * scale + 0.5), 1), max(int(size[1] * scale + 0.5), 1)


def _size_of(image: AnyImage) -> Size:
    if isinstance(image, Image.Image):
        return image.height, image.width
    return image.shape[-2], image.shape[-1]


def _fit(image: AnyImage, targets: Targets | None, size: Size, normalise: Normalization | None) -> Prepared:
    if targets is not None and targets.size != _size_of(image):
        raise ValueError(f"targets are of an image of {targets.size} pixels, the image has {_size_of(image)}")
    from torchvision.transforms.v2 import functional as v2

    pixels = v2.to_dtype(resize_image(to_tensor(image), size), torch.float32, scale=True)  # (3, height, width)
    if normalise is not None:
        pixels = v2.normalize(pixels, mean=list(normalise.mean), std=list(normalise.std))
    moved = None if targets is None else resize_targets(targets, size)
    return Prepared(pixels.as_subclass(Tensor), size, moved)


def _mirrored(window: Prepared) -> Prepared:
    """The mirror image of a whole input, padding included, so that maps of it turn back column by column."""
    moved = None
    if window.targets is not None:
        if window.pixels.shape[2] != window.size[1]:
            raise ValueError("a window that is padded has no mirrored targets; scale the image to fill it")
        moved = mirror_targets(window.targets, None)
    return replace(window, pixels=window.pixels.flip(-1), targets=moved)


def _pad(pixels: Tensor, size: Size) -> Tensor:
    height, width = size
    return torch.nn.functional.pad(pixels, (0, width - pixels.shape[2], 0, height - pixels.shape[1]))


def stack_images(images: Sequence[Prepared]) -> tuple[Tensor, Tensor | None]:
    """Pad images with 0 to (B, 3, height, width); also the pad mask (B, height, width), True = padding.

    The mask is None where nothing is padded (MAD pads to the batch's maximum, without rounding).
    """
    height, width = (max(image.pixels.shape[side] for image in images) for side in (1, 2))
    stacked = torch.zeros(len(images), 3, height, width)
    pad = torch.ones(len(images), height, width, dtype=torch.bool)
    for row, image in enumerate(images):
        stacked[row, :, : image.pixels.shape[1], : image.pixels.shape[2]] = image.pixels
        pad[row, : image.size[0], : image.size[1]] = False
    return stacked, pad if bool(pad.any()) else None
