"""Dense labels of the encoder's memory cells, for its pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.data.packed import DEPTH_PIXELS, OWNER_PIXELS

BOX_UNIT = 16.0  # pixels that a distance is given in, so that predictions are of the order of 1


@dataclass(frozen=True)
class DenseTargets:
    """Labels of the S = R x R memory cells of B images.

    Args:
        classes: (B, S) int64, class of the cell's object, or the number of classes where there is none.
        distances: (B, S, 4) float, from the cell's middle to left, top, right, bottom of the object's box, in units.
        color: (B, S, 3) float, mean color of the object.
        semantics: (B, S, A) int64, class of each of the A sub-cells, as ``classes``.
        own: (B, S, A) float, 1 where the sub-cell belongs to the cell's object.
        depth: (B, S, E) float, log meters of each depth sub-cell; 0 where unknown.
        known: (B, S, E) bool, where depth is known.
        offsets: (B, S, K, 2) float, from the cell's middle to each joint, in units.
        visible: (B, S, K) bool, joint is labeled.
        posed: (B, S) bool, the cell's object has labeled joints.
        corners: (B, S, 4) int64, bins of x0 y0 x1 y1 of the object's box in the image.
        joints: (B, S, K, 2) int64, bins of x and y of each joint in the image.
        words: (B, W) float, 1 for pieces that a caption of the image uses.
    """

    classes: Tensor
    distances: Tensor
    color: Tensor
    semantics: Tensor
    own: Tensor
    depth: Tensor
    known: Tensor
    offsets: Tensor
    visible: Tensor
    posed: Tensor
    corners: Tensor
    joints: Tensor
    words: Tensor


def dense_targets(arrays: Mapping[str, Tensor], *, stride: int, classes: int, bins: int) -> DenseTargets:
    """Return the labels of every cell, from the arrays of ``Packed`` as tensors of B images."""
    owner = _blocks(arrays["owner"].long(), stride // OWNER_PIXELS)  # (B, S, A)
    depth = _blocks(arrays["depth"].float(), stride // DEPTH_PIXELS)  # (B, S, E)
    most = arrays["classes"].shape[1]
    shares = F.one_hot(owner, most + 1).sum(2)[..., 1:]  # (B, S, M) sub-cells of each object
    covered, cell = shares.max(-1)  # (B, S) each
    empty = covered == 0
    labels = torch.cat([torch.full_like(arrays["classes"][:, :1], classes), arrays["classes"]], dim=1)  # (B, 1 + M)
    semantics = labels.gather(1, owner.flatten(1)).reshape(owner.shape)
    side = arrays["images"].shape[1]
    centers = _centers(side, stride).to(owner.device)  # (S, 2)
    boxes = _of_object(arrays["boxes"], cell)  # (B, S, 4)
    distances = torch.cat([centers - boxes[..., :2], boxes[..., 2:] - centers], dim=-1) / BOX_UNIT
    joints = _of_object(arrays["keypoints"].flatten(2), cell).view(*boxes.shape[:2], -1, 3)  # (B, S, K, 3)
    visible = (joints[..., 2] > 0) & ~empty[..., None]
    return DenseTargets(
        classes=torch.where(empty, classes, arrays["classes"].gather(1, cell)),
        distances=distances,
        color=_of_object(arrays["colors"], cell),
        semantics=semantics,
        own=(owner == cell[..., None] + 1).float(),
        depth=depth.clamp(min=0.1).log() * (depth > 0),
        known=depth > 0,
        offsets=(joints[..., :2] - centers[:, None]) / BOX_UNIT,
        visible=visible,
        posed=visible.any(-1),
        corners=(boxes / side * bins).long().clamp(0, bins),
        joints=(joints[..., :2] / side * bins).long().clamp(0, bins),
        words=arrays["words"].float(),
    )


def _blocks(maps: Tensor, side: int) -> Tensor:
    """Reshape (B, R * side, R * side) to (B, R * R, side * side)."""
    batch, rows = maps.shape[0], maps.shape[1] // side
    return maps.reshape(batch, rows, side, rows, side).transpose(2, 3).reshape(batch, rows * rows, side * side)


def _centers(side: int, stride: int) -> Tensor:
    """Return the (S, 2) x and y of the middles of the cells, row by row."""
    along = torch.arange(side // stride) * float(stride) + stride / 2
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def _of_object(values: Tensor, index: Tensor) -> Tensor:
    """Gather (B, M, C) values of objects by (B, S) objects, to (B, S, C)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
