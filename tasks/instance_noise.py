"""Noise objects that fill a training sequence up: boxes of nothing, and jittered copies of objects (Pix2Seq; AiT)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

JITTER = 0.1  # of a box's side, two deviations of the shift of an edge
LIMIT = 2.0  # deviations at which normal draws are cut
NOTHING = -1


@dataclass(frozen=True)
class Noise:
    """Noise objects of an image, in random order.

    Args:
        boxes: (M, 4) float32, x0 y0 x1 y1 in pixels, inside the image.
        copies: (M,) int64, row of the object that a box is a jittered copy of, ``NOTHING`` for a box of nothing.
    """

    boxes: Tensor
    copies: Tensor


def noise_objects(boxes: Tensor, size: tuple[int, int], count: int, generator: torch.Generator) -> Noise:
    """``count`` noise objects beside objects with ``boxes`` (N, 4).

    How many are copies is uniform from none to all. The boxes of nothing are drawn from as many random ones (center
    anywhere, half sides |t| / 4 of the image, t normal within two deviations) and as many objects' boxes moved away.
    Objects take turns: none is copied twice before all are copied once.

    Args:
        boxes: of the objects, in pixels.
        size: height and width of the image in pixels.
        count: M.
        generator: source of every draw.
    """
    copied = int(torch.randint(count + 1, (), generator=generator)) if len(boxes) else 0
    rows = _turns(len(boxes), count, generator)[:copied]
    empty = _nothing(boxes, size, count - copied, generator)
    height, width = size
    noise = torch.cat([_jittered(boxes[rows], generator), empty]).clamp(min=0)
    noise = torch.minimum(noise, noise.new_tensor([width, height, width, height]))
    order = torch.randperm(count, generator=generator)
    return Noise(noise[order], torch.cat([rows, torch.full((count - copied,), NOTHING)])[order])


def _nothing(boxes: Tensor, size: tuple[int, int], count: int, generator: torch.Generator) -> Tensor:
    """(count, 4) boxes that lie on objects by chance only."""
    height, width = size
    extent = torch.tensor([width, height], dtype=torch.float32)
    moved = _turns(len(boxes), count, generator)[:count]
    halves = torch.cat(
        [_normal((count, 2), generator).abs() / 4 * extent, (boxes[moved, 2:] - boxes[moved, :2]) / 2]
    )  # (up to 2 * count, 2)
    centers = torch.rand(len(halves), 2, generator=generator) * extent
    chosen = torch.randperm(len(halves), generator=generator)[:count]
    return torch.cat([centers - halves, centers + halves], dim=1)[chosen]


def _jittered(boxes: Tensor, generator: torch.Generator) -> Tensor:
    """Boxes (M, 4) with every edge moved a little."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + _normal(boxes.shape, generator) / LIMIT * JITTER * sides


def _turns(objects: int, count: int, generator: torch.Generator) -> Tensor:
    """At least ``count`` rows of objects, all of them as often as one another but for one time; none of no objects."""
    times = -(-count // objects) if objects else 0
    rounds = [torch.randperm(objects, generator=generator) for _ in range(times)]
    return torch.cat([torch.zeros(0, dtype=torch.int64), *rounds])


def _normal(shape: tuple[int, ...] | torch.Size, generator: torch.Generator) -> Tensor:
    return torch.nn.init.trunc_normal_(torch.empty(shape), a=-LIMIT, b=LIMIT, generator=generator)
