"""Augmented images: targets stay with their pixels, nothing empty is left, and a seed decides every choice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torch import Tensor

from bench.data.augment import Augment
from bench.data.transforms import Letterbox, Prepared, ShortestSide, Windows
from tasks.targets import ObjectAnnotations, Targets

SIZE = (90, 120)  # height, width


def scene() -> tuple[Image.Image, Targets]:
    """A white and a gray rectangle on black, with boxes, masks, a joint each and depth where they are."""
    pixels = np.zeros((*SIZE, 3), np.uint8)
    boxes = torch.tensor([[10.0, 20.0, 50.0, 60.0], [80.0, 30.0, 110.0, 80.0]])
    codes: list[Any] = []
    for level, (x0, y0, x1, y1) in zip((255, 128), boxes.int().tolist(), strict=True):
        pixels[y0:y1, x0:x1] = level
        codes.append(coco_mask.encode(np.asfortranarray((pixels[..., 0] == level).astype(np.uint8))))
    joints = torch.zeros(2, 17, 3)
    joints[:, 0] = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, torch.full((2, 1), 2.0)], dim=1)
    instances = ObjectAnnotations(boxes, torch.tensor([0, 1]), codes, joints, ids=[1, 2])
    depth = torch.from_numpy(pixels[..., 0] / 100.0).float()
    return Image.fromarray(pixels), Targets(SIZE, instances, True, ["something"], depth)


def drawn(augment: Augment, seed: int) -> Prepared:
    return augment(*scene(), torch.Generator().manual_seed(seed))


def found(prepared: Prepared) -> tuple[ObjectAnnotations, Tensor]:
    assert prepared.targets is not None
    assert prepared.targets.instances is not None
    assert prepared.targets.size == prepared.size
    return prepared.targets.instances, prepared.pixels[0, : prepared.size[0], : prepared.size[1]]


AUGMENTS = [
    Augment(ShortestSide(short=90, longest=200, normalise=None), shorts=(60, 90, 120)),
    Augment(ShortestSide(short=90, longest=2000, normalise=None), crop=1.0),
    Augment(Letterbox(side=128, normalise=None), jitter=(0.3, 2.0)),
    Augment(Windows(side=90, normalise=None)),
    Augment(Windows(side=90, normalise=None), anywhere=False),
]


@pytest.mark.parametrize("augment", AUGMENTS)
@pytest.mark.parametrize("seed", range(6))
def test_boxes_and_masks_stay_with_their_pixels(augment: Augment, seed: int) -> None:
    instances, pixels = found(drawn(augment, seed))
    for box, label, code in zip(instances.boxes, instances.classes, instances.segmentations, strict=True):
        x0, y0, x1, y1 = box.tolist()
        assert x1 > x0
        assert y1 > y0
        inner = pixels[int(y0 + 2) : int(y1 - 2), int(x0 + 2) : int(x1 - 2)]
        if inner.numel():
            assert float((inner - (1.0, 0.5)[int(label)]).abs().max()) < 0.1
            mask = torch.from_numpy(coco_mask.decode(code))  # type: ignore[arg-type]
            assert mask.shape == pixels.shape
            assert bool(mask[int(y0 + 2) : int(y1 - 2), int(x0 + 2) : int(x1 - 2)].all())


@pytest.mark.parametrize("augment", AUGMENTS)
def test_a_seed_decides(augment: Augment) -> None:
    first, again, other = drawn(augment, 1), drawn(augment, 1), [drawn(augment, seed) for seed in range(2, 8)]
    assert torch.equal(first.pixels, again.pixels)
    assert any(one.pixels.shape != first.pixels.shape or not torch.equal(one.pixels, first.pixels) for one in other)


def test_sizes_are_those_asked_for() -> None:
    shorts = {min(drawn(AUGMENTS[0], seed).size) for seed in range(20)}
    assert shorts == {60, 90, 120}
    assert {tuple(drawn(AUGMENTS[2], seed).pixels.shape) for seed in range(5)} == {(3, 128, 128)}


def test_jitter_changes_how_large_things_are() -> None:
    prepared = [drawn(AUGMENTS[2], seed) for seed in range(20)]
    longest = [max(one.size) for one in prepared]
    assert min(longest) < 64 and longest.count(128) > 5, "small images stay small"
    assert all(not one.pixels[:, one.size[0] :].any() and not one.pixels[:, :, one.size[1] :].any() for one in prepared)


def test_a_window_is_anywhere() -> None:
    lefts = {drawn(AUGMENTS[3], seed).left for seed in range(60)}
    assert 0 <= min(lefts) < 8 and 22 < max(lefts) <= 30 and len(lefts) > 10
    assert {tuple(drawn(AUGMENTS[3], seed).pixels.shape) for seed in range(5)} == {(3, 90, 90)}


def test_colors_change_and_places_do_not() -> None:
    plain = Augment(ShortestSide(short=90, longest=200, normalise=None), flip=0.0)
    colored = replace(plain, color=1.0)
    changed = [drawn(colored, seed).pixels for seed in range(6)]
    before = drawn(plain, 0).pixels
    for pixels in changed:
        assert float(pixels.min()) >= 0 and float(pixels.max()) <= 1
        assert 0.003 < float((pixels - before).abs().mean()) < 0.3
        white, gray, black = (float(pixels[:, y, x].mean()) for y, x in ((40, 30), (50, 95), (5, 5)))
        assert white > gray > black - 1e-6
    assert not torch.equal(changed[0], changed[1])


def test_the_mirror_is_used_as_often_as_asked() -> None:
    def mirrored(flip: float, seed: int) -> bool:
        plain = Augment(ShortestSide(short=90, longest=200, normalise=None), flip=flip)
        instances, _ = found(drawn(plain, seed))
        return float(instances.boxes[0, 0]) == 70.0

    assert not any(mirrored(0.0, seed) for seed in range(10))
    assert all(mirrored(1.0, seed) for seed in range(10))
    assert 0 < sum(mirrored(0.5, seed) for seed in range(30)) < 30


def test_an_image_without_objects_passes() -> None:
    image, targets = scene()
    for augment in AUGMENTS:
        prepared = augment(image, replace(targets, instances=None), torch.Generator().manual_seed(0))
        assert prepared.targets is not None
        assert prepared.targets.instances is None
