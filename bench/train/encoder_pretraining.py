"""Encoder pretraining: the encoder learns dense labels of every memory cell, without a decoding strategy.

Training a backbone through a decoder takes about seven times as long on a CPU. So the encoder of the embedded preset
is trained once on the same annotations, its heads are discarded, and every strategy's decoder is trained on the same
frozen memory: only the strategy differs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.data.packed import DEPTH_PIXELS, OWNER_PIXELS, normalized
from bench.train.encoder_targets import DenseTargets, dense_targets

COLORS = 3
WEIGHTS = {
    "class": 1.0,
    "box": 1.0,
    "overlap": 1.0,
    "colour": 2.0,  # spelled as in the learning curves of shipped weights
    "semantics": 1.0,
    "own": 1.0,
    "depth": 4.0,
    "keypoints": 1.0,
    "visibility": 0.5,
    "corners": 0.5,
    "joints": 0.3,
    "words": 8.0,
}  # loss weights, chosen so that no part is below a twentieth of the sum


class DenseHeads(nn.Module):
    """Linear layers that predict all labels of a cell; discarded after pretraining.

    A location is predicted as distances from the cell and, with ``places``, also as the bins of quantized coordinates.
    Positions enter the keys of attention only, so decoders find absolute coordinates in the states alone. Without
    ``places`` a linear layer reads them with an error of 14 pixels, and distances with 3.

    Args:
        width: D of the memory.
        classes: number of object classes.
        bins: intervals that a coordinate in [0, 1] is cut into.
        stride: pixels per memory cell.
        keypoints: K.
        words: W.
        places: whether bins are predicted.
    """

    def __init__(
        self, *, width: int, classes: int, bins: int, stride: int, keypoints: int, words: int, places: bool
    ) -> None:
        super().__init__()
        cells, coarse = (stride // OWNER_PIXELS) ** 2, (stride // DEPTH_PIXELS) ** 2
        self.sizes = {
            "class": classes + 1,
            "box": 4,
            "colour": COLORS,
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
        """Map (B, S, D) memory to (B, S, size) float32 of each part."""
        parts = self.linear(states).float().split(list(self.sizes.values()), dim=-1)
        return dict(zip(self.sizes, parts, strict=True))

    def coordinate_losses(self, states: Tensor, targets: DenseTargets) -> dict[str, Tensor]:
        """Return the cross-entropy of the bins of boxes and joints over the cells of (B, S, D) that have them.

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


def dense_losses(read: Mapping[str, Tensor], targets: DenseTargets) -> dict[str, Tensor]:
    """Return the parts of the loss, unweighted scalars."""
    full = targets.own.amax(-1) > 0  # (B, S) cells with an object
    classes = read["class"].shape[-1]
    semantics = read["semantics"].reshape(*targets.semantics.shape, classes)  # (B, S, A, classes)
    posed = targets.posed
    offsets = read["keypoints"][posed].reshape(*targets.offsets[posed].shape)  # (n, K, 2)
    pooled = read["words"].logsumexp(1) - 4.0  # (B, W): one cell that knows a word is enough
    losses = {
        "class": F.cross_entropy(read["class"].flatten(0, 1), targets.classes.flatten()),
        "box": _mean((read["box"].exp()[full] - targets.distances[full].clamp(min=0)).abs()),
        "overlap": _overlap_loss(read["box"][full].exp(), targets.distances[full].clamp(min=0)),
        "colour": _mean((read["colour"][full] - targets.color[full]).abs()),
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
        losses["words"] = F.binary_cross_entropy_with_logits(pooled, targets.words)
    return losses


def dense_loss(heads: DenseHeads, states: Tensor, targets: DenseTargets) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum for (B, S, D) memory, and its unweighted parts."""
    parts = dense_losses(heads(states), targets) | heads.coordinate_losses(states, targets)
    return torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum(), parts


def _mean(values: Tensor) -> Tensor:
    """Return the mean; 0 of an empty tensor."""
    return values.sum() / max(values.numel(), 1)


def _overlap_loss(predicted: Tensor, expected: Tensor) -> Tensor:
    """Return 1 - intersection over union of (n, 4) distances from the same points."""
    inner = torch.minimum(predicted, expected)
    both = (inner[:, 0] + inner[:, 2]) * (inner[:, 1] + inner[:, 3])
    areas = [(d[:, 0] + d[:, 2]) * (d[:, 1] + d[:, 3]) for d in (predicted, expected)]
    return _mean(1 - both / (areas[0] + areas[1] - both).clamp(min=1e-6))


class PretrainingLoss(nn.Module):
    """DenseTargets loss of encoder and heads on a batch of packed images.

    Args:
        network: the shared network, of which only the encoder is used.
        heads: predict labels from the memory.
        stride: pixels per memory cell.
    """

    def __init__(self, *, network: nn.Module, heads: DenseHeads, stride: int) -> None:
        super().__init__()
        self.network = network
        self.heads = heads
        self.stride = stride
        self.classes = heads.sizes["class"] - 1

    def on_device(self, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the arrays on the device of the heads."""
        device = next(self.heads.parameters()).device
        return {name: value.to(device) for name, value in arrays.items()}

    def states(self, arrays: Mapping[str, Tensor]) -> Tensor:
        """Return the (B, S, D) memory of packed images."""
        images = normalized(arrays["images"])
        return self.network.encode(self.network.backbone_features(images)).states  # type: ignore[no-any-return, operator]

    def targets(self, arrays: Mapping[str, Tensor]) -> DenseTargets:
        """Return the labels of their cells."""
        return dense_targets(arrays, stride=self.stride, classes=self.classes, bins=self.heads.bins)

    def forward(self, arrays: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        arrays = self.on_device(arrays)
        return dense_loss(self.heads, self.states(arrays), self.targets(arrays))


@torch.no_grad()
def dense_scores(objective: PretrainingLoss, batches: list[Mapping[str, Tensor]]) -> dict[str, float]:
    """Return mean losses and, over cells with an object, the share of correct classes and the overlap of boxes."""
    sums: dict[str, float] = {}
    for batch in batches:
        arrays = objective.on_device(batch)
        targets, states = objective.targets(arrays), objective.states(arrays)
        loss, parts = dense_loss(objective.heads, states, targets)
        full = targets.own.amax(-1) > 0
        right = (objective.heads(states)["class"].argmax(-1) == targets.classes)[full].float().mean()
        scores = {"loss": loss, **parts, "classes right": right, "box overlap": 1 - parts["overlap"]}
        for name, value in scores.items():
            sums[name] = sums.get(name, 0.0) + float(value) / len(batches)
    return sums
