"""Stage 0: the encoder learns from dense labels of every cell, before and apart from any decoding strategy.

Training a backbone through a decoder takes a CPU about seven times as long. So the encoder of the embedded preset is
trained once on what the same training annotations say of each cell of its memory, the heads that read the cells are
thrown away, and every strategy's decoder is trained on the same frozen memory: only the strategy differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.data.coco_classes import COCO_FLIP_PAIRS, COCO_KEYPOINTS
from bench.data.packed import DEPTH_PIXELS, OWNER_PIXELS, normalised

BOX_UNIT = 16.0  # pixels that a distance is given in, so that predictions are of the order of 1
COLOURS = 3
WEIGHTS = {
    "class": 1.0,
    "box": 1.0,
    "overlap": 1.0,
    "colour": 2.0,
    "semantics": 1.0,
    "own": 1.0,
    "depth": 4.0,
    "keypoints": 1.0,
    "visibility": 0.5,
    "corners": 0.5,
    "joints": 0.3,
    "words": 8.0,
}  # loss weights, chosen so that no part is below a twentieth of the sum


@dataclass(frozen=True)
class Dense:
    """What each of the S = R x R memory cells of B images should know.

    Args:
        classes: (B, S) int64, class of the cell's object, or the number of classes where there is none.
        distances: (B, S, 4) float, from the cell's middle to left, top, right, bottom of the object's box, in units.
        colour: (B, S, 3) float, mean colour of the object.
        semantics: (B, S, A) int64, class of each of the A sub-cells, as ``classes``.
        own: (B, S, A) float, 1 where the sub-cell belongs to the cell's object.
        depth: (B, S, E) float, log metres of each depth sub-cell; 0 where unknown.
        known: (B, S, E) bool, where depth is known.
        offsets: (B, S, K, 2) float, from the cell's middle to each joint, in units.
        visible: (B, S, K) bool, joint is labelled.
        posed: (B, S) bool, the cell's object has labelled joints.
        corners: (B, S, 4) int64, bins of x0 y0 x1 y1 of the object's box in the image.
        joints: (B, S, K, 2) int64, bins of x and y of each joint in the image.
        words: (B, W) float, 1 for pieces that a caption of the image uses.
    """

    classes: Tensor
    distances: Tensor
    colour: Tensor
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


class DenseHeads(nn.Module):
    """Linear layers that read everything of a cell; thrown away after stage 0.

    Where an object is, is read as distances from the cell and, with ``places``, also as the bins that coordinates are
    quantised to. Positions enter the keys of attention only, so a decoder can find absolute places nowhere but in the
    states; without ``places`` a linear reading of a cell is 14 pixels off there, and 3 in the distances.

    Args:
        width: D of the memory.
        classes: number of object classes.
        bins: intervals that a coordinate in [0, 1] is cut into.
        stride: pixels per memory cell.
        keypoints: K.
        words: W.
        places: whether bins are read.
    """

    def __init__(
        self, *, width: int, classes: int, bins: int, stride: int, keypoints: int, words: int, places: bool
    ) -> None:
        super().__init__()
        cells, coarse = (stride // OWNER_PIXELS) ** 2, (stride // DEPTH_PIXELS) ** 2
        self.sizes = {
            "class": classes + 1,
            "box": 4,
            "colour": COLOURS,
            "semantics": cells * (classes + 1),
            "own": cells,
            "depth": coarse,
            "keypoints": keypoints * 2,
            "visibility": keypoints,
            "words": words,
        }
        self.bins = bins
        self.linear = nn.Linear(width, sum(self.sizes.values()))
        self.corners = nn.Linear(width, 4 * (bins + 1)) if places else None
        self.joints = nn.Linear(width, 2 * keypoints * (bins + 1)) if places else None

    def forward(self, states: Tensor) -> dict[str, Tensor]:
        """(B, S, D) memory to (B, S, size) float32 of each part."""
        parts = self.linear(states).float().split(list(self.sizes.values()), dim=-1)
        return dict(zip(self.sizes, parts, strict=True))

    def place_losses(self, states: Tensor, targets: Dense) -> dict[str, Tensor]:
        """Cross-entropy of the bins of boxes and joints, on the cells of (B, S, D) that have them.

        Empty without ``places``.
        """
        if self.corners is None or self.joints is None:
            return {}
        full, posed = targets.own.amax(-1) > 0, targets.posed
        shown = targets.visible[posed]  # (n, K)
        corners = self.corners(states[full]).float().view(-1, self.bins + 1)
        joints = self.joints(states[posed]).float().view(*shown.shape, 2, self.bins + 1)[shown]
        return {
            "corners": _mean(F.cross_entropy(corners, targets.corners[full].flatten(), reduction="none")),
            "joints": _mean(
                F.cross_entropy(joints.flatten(0, 1), targets.joints[posed][shown].flatten(), reduction="none")
            ),
        }


def mirrored(arrays: Mapping[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    """The arrays of ``Packed`` with the images where ``chosen`` (B,) is true mirrored left to right.

    Left and right joints change places. ``words`` stay, since only a bag of them is learned: left and right are both
    said of most scenes, and a cell cannot tell.
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
    order = list(range(keypoints.shape[2]))
    for left, right in COCO_FLIP_PAIRS if len(order) == COCO_KEYPOINTS else ():
        order[left], order[right] = right, left
    x, y, seen = keypoints[:, :, order].unbind(-1)
    return torch.stack([torch.where(seen > 0, side - x, x), y, seen], dim=-1)


def dense_targets(arrays: Mapping[str, Tensor], *, stride: int, classes: int, bins: int) -> Dense:
    """Targets of every cell from the arrays of ``Packed`` (as tensors, B images)."""
    owner = _blocks(arrays["owner"].long(), stride // OWNER_PIXELS)  # (B, S, A)
    depth = _blocks(arrays["depth"].float(), stride // DEPTH_PIXELS)  # (B, S, E)
    most = arrays["classes"].shape[1]
    shares = F.one_hot(owner, most + 1).sum(2)[..., 1:]  # (B, S, M) sub-cells of each object
    covered, cell = shares.max(-1)  # (B, S) each
    empty = covered == 0
    labels = torch.cat([torch.full_like(arrays["classes"][:, :1], classes), arrays["classes"]], dim=1)  # (B, 1 + M)
    semantics = labels.gather(1, owner.flatten(1)).reshape(owner.shape)
    side = arrays["images"].shape[1]
    centres = _centres(side, stride).to(owner.device)  # (S, 2)
    boxes = _of_object(arrays["boxes"], cell)  # (B, S, 4)
    distances = torch.cat([centres - boxes[..., :2], boxes[..., 2:] - centres], dim=-1) / BOX_UNIT
    joints = _of_object(arrays["keypoints"].flatten(2), cell).view(*boxes.shape[:2], -1, 3)  # (B, S, K, 3)
    visible = (joints[..., 2] > 0) & ~empty[..., None]
    return Dense(
        classes=torch.where(empty, classes, arrays["classes"].gather(1, cell)),
        distances=distances,
        colour=_of_object(arrays["colours"], cell),
        semantics=semantics,
        own=(owner == cell[..., None] + 1).float(),
        depth=depth.clamp(min=0.1).log() * (depth > 0),
        known=depth > 0,
        offsets=(joints[..., :2] - centres[:, None]) / BOX_UNIT,
        visible=visible,
        posed=visible.any(-1),
        corners=(boxes / side * bins).long().clamp(0, bins),
        joints=(joints[..., :2] / side * bins).long().clamp(0, bins),
        words=arrays["words"].float(),
    )


def _blocks(maps: Tensor, side: int) -> Tensor:
    """(B, R * side, R * side) to (B, R * R, side * side)."""
    batch, rows = maps.shape[0], maps.shape[1] // side
    return maps.reshape(batch, rows, side, rows, side).transpose(2, 3).reshape(batch, rows * rows, side * side)


def _centres(side: int, stride: int) -> Tensor:
    """(S, 2) x and y of the middles of the cells, row by row."""
    along = torch.arange(side // stride) * float(stride) + stride / 2
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def _of_object(values: Tensor, index: Tensor) -> Tensor:
    """(B, M, C) values of objects and (B, S) objects to (B, S, C)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def dense_losses(read: Mapping[str, Tensor], targets: Dense) -> dict[str, Tensor]:
    """The parts of the loss, unweighted scalars."""
    full = targets.own.amax(-1) > 0  # (B, S) cells with an object
    classes = read["class"].shape[-1]
    semantics = read["semantics"].reshape(*targets.semantics.shape, classes)  # (B, S, A, classes)
    posed = targets.posed
    offsets = read["keypoints"][posed].reshape(*targets.offsets[posed].shape)  # (n, K, 2)
    pooled = read["words"].logsumexp(1) - 4.0  # (B, W): one cell that knows a word is enough
    found = {
        "class": F.cross_entropy(read["class"].flatten(0, 1), targets.classes.flatten()),
        "box": _mean((read["box"].exp()[full] - targets.distances[full].clamp(min=0)).abs()),
        "overlap": _overlap_loss(read["box"][full].exp(), targets.distances[full].clamp(min=0)),
        "colour": _mean((read["colour"][full] - targets.colour[full]).abs()),
        "semantics": F.cross_entropy(semantics.flatten(0, 2), targets.semantics.flatten()),
        "own": _mean(F.binary_cross_entropy_with_logits(read["own"][full], targets.own[full], reduction="none")),
        "depth": _mean((read["depth"] - targets.depth).abs()[targets.known]),
        "keypoints": _mean((offsets - targets.offsets[posed]).abs()[targets.visible[posed]]),
        "visibility": _mean(
            F.binary_cross_entropy_with_logits(
                read["visibility"][posed], targets.visible[posed].float(), reduction="none"
            )
        ),
    }
    if pooled.shape[1]:
        found["words"] = F.binary_cross_entropy_with_logits(pooled, targets.words)
    return found


def dense_loss(heads: DenseHeads, states: Tensor, targets: Dense) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum for (B, S, D) memory, and its unweighted parts."""
    parts = dense_losses(heads(states), targets) | heads.place_losses(states, targets)
    return torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum(), parts


def _mean(values: Tensor) -> Tensor:
    """Mean, 0 for nothing."""
    return values.sum() / max(values.numel(), 1)


def _overlap_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - intersection over union of (n, 4) distances from the same points."""
    inner = torch.minimum(found, wanted)
    both = (inner[:, 0] + inner[:, 2]) * (inner[:, 1] + inner[:, 3])
    areas = [(d[:, 0] + d[:, 2]) * (d[:, 1] + d[:, 3]) for d in (found, wanted)]
    return _mean(1 - both / (areas[0] + areas[1] - both).clamp(min=1e-6))


class DenseObjective(nn.Module):
    """Encoder and heads: dense loss of a batch of packed images.

    Args:
        network: the shared network, of which only the encoder is used.
        heads: what reads the memory.
        stride: pixels per memory cell.
    """

    def __init__(self, *, network: nn.Module, heads: DenseHeads, stride: int) -> None:
        super().__init__()
        self.network = network
        self.heads = heads
        self.stride = stride
        self.classes = heads.sizes["class"] - 1

    def placed(self, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The arrays where the heads are."""
        device = next(self.heads.parameters()).device
        return {name: value.to(device) for name, value in arrays.items()}

    def states(self, arrays: Mapping[str, Tensor]) -> Tensor:
        """(B, S, D) memory of packed images."""
        images = normalised(arrays["images"])
        return self.network.encode(self.network.extract(images)).states  # type: ignore[no-any-return, operator]

    def targets(self, arrays: Mapping[str, Tensor]) -> Dense:
        """What their cells should know."""
        return dense_targets(arrays, stride=self.stride, classes=self.classes, bins=self.heads.bins)

    def forward(self, arrays: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its parts."""
        arrays = self.placed(arrays)
        return dense_loss(self.heads, self.states(arrays), self.targets(arrays))


@torch.no_grad()
def dense_scores(objective: DenseObjective, batches: list[Mapping[str, Tensor]]) -> dict[str, float]:
    """Mean losses, and on cells with an object: share of right classes, overlap of boxes."""
    sums: dict[str, float] = {}
    for given in batches:
        arrays = objective.placed(given)
        targets, states = objective.targets(arrays), objective.states(arrays)
        loss, parts = dense_loss(objective.heads, states, targets)
        full = targets.own.amax(-1) > 0
        right = (objective.heads(states)["class"].argmax(-1) == targets.classes)[full].float().mean()
        found = {"loss": loss, **parts, "classes right": right, "box overlap": 1 - parts["overlap"]}
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + float(value) / len(batches)
    return sums
