"""Transforms: sizes and values of the pixels, and that targets stay on what they mark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from torchvision.tv_tensors import Image as ImageTensor

from bench.data.coco.classes import COCO_FLIP_PAIRS
from bench.data.geometry import crop_targets, mirror_targets, resize_targets
from bench.data.transforms import HorizontalFlip, Letterbox, Normalization, ShortestSide, Square, Windows
from tasks.targets import ObjectAnnotations, Segmentation, Targets
from tests.bench.data.folders import KEYPOINT_NAMES, picture

sides = st.integers(4, 40)


def rle(mask: NDArray[Any]) -> dict[str, Any]:
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


def bits(segmentation: Segmentation, size: tuple[int, int]) -> NDArray[Any]:
    if isinstance(segmentation, dict):
        return np.asarray(coco_mask.decode(segmentation), dtype=bool)
    return np.asarray(coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))), dtype=bool)


@st.composite
def some_targets(draw: st.DrawFn) -> Targets:
    """Up to three objects with polygons or codes inside their boxes, keypoints on pixels, depth with holes."""
    height, width = draw(sides), draw(sides)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    boxes, segmentations = [], []
    for number in range(draw(st.integers(0, 3))):
        x0, x1 = sorted(random.choice(width + 1, 2, replace=False).tolist())
        y0, y1 = sorted(random.choice(height + 1, 2, replace=False).tolist())
        boxes.append([x0, y0, x1, y1])
        mask = np.zeros((height, width), dtype=bool)
        mask[y0:y1, x0:x1] = random.random((y1 - y0, x1 - x0)) < 0.7
        segmentations.append(rle(mask) if number % 2 else [[x0, y0, x1, y0, x1, y1, x0, (y0 + y1) / 2]])
    count = len(boxes)
    visible = torch.from_numpy(random.integers(0, 3, (count, 17))).float()
    points = torch.from_numpy(random.integers(0, [width, height], (count, 17, 2))).float()
    depth = torch.from_numpy(random.uniform(0.5, 9, (height, width)).astype(np.float32))
    depth[random.random((height, width)) < 0.3] = 0
    instances = ObjectAnnotations(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        classes=torch.zeros(count, dtype=torch.int64),
        segmentations=segmentations,
        keypoints=torch.cat([points, visible[..., None]], dim=-1) * (visible > 0)[..., None],
        ids=list(range(count)),
    )
    return Targets(size=(height, width), instances=instances, has_keypoints=True, captions=["A cat."], depth=depth)


def assert_same(first: Targets, second: Targets) -> None:
    assert first.size == second.size and first.captions == second.captions
    assert first.depth is not None and second.depth is not None and torch.equal(first.depth, second.depth)
    a, b = first.instances, second.instances
    assert a is not None and b is not None
    assert torch.allclose(a.boxes, b.boxes, atol=1e-5) and torch.equal(a.keypoints, b.keypoints)
    for left, right in zip(a.segmentations, b.segmentations, strict=True):
        if isinstance(left, dict):
            assert left == right
        else:
            assert np.allclose(left, right)


@given(some_targets())
def test_mirrored_twice_is_the_same(targets: Targets) -> None:
    assert_same(mirror_targets(mirror_targets(targets)), targets)


@given(some_targets())
def test_mirror_follows_the_pixels(targets: Targets) -> None:
    """Everything is where a mirrored picture of it would be."""
    height, width = targets.size
    moved = mirror_targets(targets)
    before, after = targets.instances, moved.instances
    assert before is not None and after is not None and targets.depth is not None and moved.depth is not None
    assert torch.equal(moved.depth, targets.depth.flip(1))
    assert torch.equal(after.boxes[:, [0, 2]], width - before.boxes[:, [2, 0]])
    assert torch.equal(after.boxes[:, [1, 3]], before.boxes[:, [1, 3]])
    for old, new in zip(before.segmentations, after.segmentations, strict=True):
        if isinstance(old, dict):
            assert np.array_equal(bits(new, targets.size), bits(old, targets.size)[:, ::-1])
    canvas = torch.zeros(len(before), 17, height, width)
    for row, joint in (before.keypoints[..., 2] > 0).nonzero().tolist():
        x, y, _ = before.keypoints[row, joint].long().tolist()
        canvas[row, joint, y, x] = 1
    canvas = canvas.flip(-1)
    order = {**dict(COCO_FLIP_PAIRS), **{b: a for a, b in COCO_FLIP_PAIRS}}
    for row, joint in (after.keypoints[..., 2] > 0).nonzero().tolist():
        x, y, _ = after.keypoints[row, joint].long().tolist()
        assert canvas[row, order.get(joint, joint), y, x] == 1
    unlabeled = after.keypoints[..., 2] == 0
    assert not after.keypoints[unlabeled].any()


@given(some_targets())
def test_mask_stays_inside_its_box(targets: Targets) -> None:
    for moved in (mirror_targets(targets), crop_targets(targets, top=1, left=2, size=(3, 4))):
        assert moved.instances is not None
        for box, segmentation in zip(moved.instances.boxes.tolist(), moved.instances.segmentations, strict=True):
            rows, columns = np.nonzero(bits(segmentation, moved.size))
            if len(rows):
                slack = 0 if isinstance(segmentation, dict) else 1  # the COCO API rounds polygons to pixels
                assert columns.min() >= box[0] - slack and columns.max() + 1 <= box[2] + slack
                assert rows.min() >= box[1] - slack and rows.max() + 1 <= box[3] + slack


@given(some_targets(), sides, sides)
def test_resize_scales(targets: Targets, height: int, width: int) -> None:
    moved = resize_targets(targets, (height, width))
    before, after = targets.instances, moved.instances
    assert before is not None and after is not None
    scale = torch.tensor([width / targets.size[1], height / targets.size[0]])
    assert torch.allclose(after.boxes, before.boxes * scale.repeat(2), atol=1e-3)
    visible = before.keypoints[..., 2] > 0
    assert torch.equal(after.keypoints[..., 2], before.keypoints[..., 2])
    centers = ((before.keypoints[..., :2] + 0.5) * scale)[visible]
    assert ((after.keypoints[..., :2][visible] + 0.5 - centers).abs() <= 0.5 + 1e-3).all()
    assert (after.keypoints[..., :2] >= 0).all() and (after.keypoints[..., 0] <= width - 1).all()
    assert moved.depth is not None and moved.depth.shape == (height, width)
    assert targets.depth is not None and set(moved.depth.unique().tolist()) <= set(targets.depth.unique().tolist())
    for old, new in zip(before.segmentations, after.segmentations, strict=True):
        if isinstance(old, dict):
            assert bits(new, moved.size).shape == (height, width)
        else:
            assert np.allclose(new, np.asarray(old) * scale.repeat(4).numpy(), atol=1e-4)


@given(some_targets())
def test_mirror_and_resize_commute(targets: Targets) -> None:
    size = (targets.size[0] * 2, targets.size[1] * 3)
    first = resize_targets(mirror_targets(targets), size)
    second = mirror_targets(resize_targets(targets, size))
    assert first.instances is not None and second.instances is not None
    assert first.depth is not None and second.depth is not None
    assert torch.equal(first.depth, second.depth)
    assert torch.allclose(first.instances.boxes, second.instances.boxes, atol=1e-3)
    assert torch.allclose(first.instances.keypoints, second.instances.keypoints, atol=1e-3)
    for a, b in zip(first.instances.segmentations, second.instances.segmentations, strict=True):
        assert a == b if isinstance(a, dict) else np.allclose(a, b)


@settings(max_examples=30)
@given(some_targets(), st.integers(1, 20), st.integers(1, 20))
def test_crop(targets: Targets, height: int, width: int) -> None:
    top, left = targets.size[0] // 2, targets.size[1] // 3
    moved = crop_targets(targets, top=top, left=left, size=(height, width))
    assert moved.size == (height, width) and moved.depth is not None and targets.depth is not None
    inside = targets.depth[top : top + height, left : left + width]
    assert torch.equal(moved.depth[: inside.shape[0], : inside.shape[1]], inside)
    assert moved.instances is not None and targets.instances is not None
    for row, identity in enumerate(moved.instances.ids):
        old = targets.instances.segmentations[identity]
        if isinstance(old, dict):
            expected = bits(old, targets.size)[top : top + height, left : left + width]
            found = bits(moved.instances.segmentations[row], moved.size)
            assert np.array_equal(found[: inside.shape[0], : inside.shape[1]], expected)
    boxes = moved.instances.boxes
    assert (boxes[:, 2] > boxes[:, 0]).all() and (boxes >= 0).all() and (boxes[:, 2] <= width).all()


def test_a_box_that_is_cut_becomes_tight() -> None:
    """A triangle whose tip points right: its left part is higher than its right one."""
    triangle = [0.0, 0.0, 20.0, 10.0, 0.0, 20.0]
    low = np.zeros((20, 20), dtype=bool)
    low[15:, :10] = low[2:4, 12:14] = True
    instances = ObjectAnnotations(
        boxes=torch.tensor([[0.0, 0.0, 20.0, 20.0], [0.0, 2.0, 14.0, 20.0], [1.0, 1.0, 20.0, 20.0]]),
        classes=torch.zeros(3, dtype=torch.int64),
        segmentations=[[triangle], rle(low), [[1.0, 1.0, 3.0, 1.0, 1.0, 20.0, 20.0, 20.0, 1.0, 20.0]]],
        keypoints=torch.zeros(3, 0, 3),
        ids=[0, 1, 2],
    )
    moved = crop_targets(Targets(size=(20, 20), instances=instances), top=0, left=10, size=(10, 10)).instances
    assert moved is not None
    assert moved.ids == [0, 1], "nothing of the third lies in the window"
    assert torch.allclose(moved.boxes, torch.tensor([[0.0, 5.0, 10.0, 10.0], [2.0, 2.0, 4.0, 4.0]]))
    (points,) = moved.segmentations[0]
    assert set(zip(points[::2], points[1::2], strict=True)) == {(0, 5), (10, 10), (0, 10)}


def test_flip_swaps_left_and_right() -> None:
    parts = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    names = ["nose", *(part for part in parts for _ in range(2))]
    assert len(names) == len(KEYPOINT_NAMES) == 17
    assert all(names[a] == names[b] for a, b in COCO_FLIP_PAIRS) and len(COCO_FLIP_PAIRS) == 8


def people(joints: int) -> Targets:
    points = torch.stack([torch.arange(joints), torch.arange(joints), torch.full((joints,), 2)], dim=-1)[None].float()
    found = ObjectAnnotations(
        torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([0]), [[[0, 0, 20, 0, 20, 20]]], points, [1]
    )
    return Targets((20, 20), found, True, ["Man LEFT of a car.", "A bright day.", "On the right."])


def test_flip_pairs_and_captions() -> None:
    image = picture(1, 20, 20)
    mirrored, moved = HorizontalFlip()(image, people(5))
    assert isinstance(mirrored, Image.Image)
    assert np.array_equal(np.asarray(mirrored), np.asarray(image)[:, ::-1])
    assert moved.instances is not None
    assert moved.instances.keypoints[0, :, 0].tolist() == [19, 18, 17, 16, 15], "five joints: none change places"
    assert moved.captions is not None and len(moved.captions) == 3
    flip = HorizontalFlip(drop_sided_captions=True, pairs=((0, 4),))
    _, moved = flip(image, people(5))
    assert moved.instances is not None
    assert moved.instances.keypoints[0, :, 0].tolist() == [15, 18, 17, 16, 19]
    assert moved.captions == ["A bright day."]
    _, moved = flip(image, Targets((20, 20), captions=["Left."]))
    assert moved.captions is None


@pytest.mark.parametrize(
    ("before", "expected"),
    [((480, 640), (800, 1067)), ((640, 480), (1067, 800)), ((427, 1000), (569, 1333)), ((100, 2000), (67, 1333))],
)
def test_shortest_side(before: tuple[int, int], expected: tuple[int, int]) -> None:
    assert ShortestSide().size(before) == expected


def test_pixels_are_normalized() -> None:
    image = Image.new("RGB", (40, 20), (124, 116, 104))
    prepared = ShortestSide(10, 100)(image)
    assert prepared.pixels.shape == (3, 10, 20) and prepared.size == (10, 20) and prepared.targets is None
    assert prepared.pixels.dtype == torch.float32 and prepared.pixels.abs().max() < 0.02
    plain = ShortestSide(10, 100, normalise=None)(image).pixels
    assert torch.allclose(plain[:, 0, 0], torch.tensor([124, 116, 104]) / 255)
    own = Square(10, normalise=Normalization((0.5,) * 3, (0.5,) * 3))(image).pixels
    assert torch.allclose(own[:, 0, 0], torch.tensor([124, 116, 104]) / 127.5 - 1)
    assert type(own) is torch.Tensor


def test_resizing_is_pillow_s() -> None:
    """MAD resizes with Pillow's bilinear filter; torchvision's is the same up to rounding."""
    image = picture(4, 90, 120)
    expected = np.asarray(image.resize((40, 30), Image.Resampling.BILINEAR), dtype=np.float32)
    found = ShortestSide(30, 100, normalise=None)(image).pixels.permute(1, 2, 0).numpy() * 255
    assert np.abs(found - expected).max() <= 1.01


@pytest.mark.parametrize("size", [(20, 40), (40, 20), (64, 64), (200, 30)])
def test_letterbox(size: tuple[int, int]) -> None:
    prepared = Letterbox(64)(picture(2, *size), Targets(size, depth=torch.ones(size)))
    assert prepared.pixels.shape == (3, 64, 64) and max(prepared.size) == 64
    height, width = prepared.size
    assert abs(height / width - size[0] / size[1]) < 0.12 * size[0] / size[1]
    assert not prepared.pixels[:, height:].any() and not prepared.pixels[:, :, width:].any()
    assert prepared.targets is not None and prepared.targets.size == prepared.size
    assert prepared.targets.depth is not None and prepared.targets.depth.shape == prepared.size


def test_windows_of_nyu() -> None:
    image = picture(3, 480, 640)
    windows = Windows(480, normalise=None)
    first, second = windows(image, Targets((480, 640), depth=torch.arange(480.0 * 640).reshape(480, 640)))
    assert (first.left, second.left) == (0, 160) and first.size == second.size == (480, 480)
    whole = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    assert torch.allclose(first.pixels, whole[:, :, :480]) and torch.allclose(second.pixels, whole[:, :, 160:])
    assert second.targets is not None and second.targets.depth is not None and second.targets.depth[0, 0] == 160
    merged = windows.merge([torch.ones(480, 480), torch.full((480, 480), 3.0)], (480, 640))
    assert merged.shape == (480, 640)
    assert (merged[:, :160] == 1).all() and (merged[:, 160:480] == 2).all() and (merged[:, 480:] == 3).all()


@given(sides, sides, st.integers(1, 16))
def test_windows_cover_the_image(height: int, width: int, side: int) -> None:
    windows = Windows(side, normalise=None)
    inputs = windows(picture(0, height, width))
    assert all(one.pixels.shape == (3, side, side) for one in inputs)
    assert len({one.left for one in inputs}) == len(inputs)
    size = windows.size((height, width))
    merged = windows.merge([one.pixels[0] for one in inputs], (height, width))
    assert merged.shape == size and torch.isfinite(merged).all()
    expected = windows.merge([torch.ones(side, side)] * len(inputs), (height, width))
    assert (expected == 1).all()
    with pytest.raises(ValueError, match="zip"):
        windows.merge([torch.ones(side, side)] * (len(inputs) + 1), (height, width))


def test_tensor_images_and_wrong_targets() -> None:
    image = picture(5, 20, 30)
    tensor = ImageTensor(torch.from_numpy(np.array(image)).permute(2, 0, 1))
    assert torch.equal(Square(16)(image).pixels, Square(16)(tensor).pixels)
    with pytest.raises(ValueError, match="targets are of an image"):
        Square(16)(image, Targets((30, 20)))
