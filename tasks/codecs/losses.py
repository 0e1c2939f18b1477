"""Losses of whole maps that AiT adds to the cross-entropy of their codes (section 3.3; formulas from the release)."""

from __future__ import annotations

import torch
from torch import Tensor

NEAREST = 1e-3  # meters; a prediction that is nearer counts as this near
VARIANCE = 0.5  # share of the mean error that is forgiven (Eigen et al. 2014, Eq. 4)


def silog(prediction: Tensor, truth: Tensor) -> Tensor:
    """Scale-invariant logarithmic error of depths, a scalar; 0 where no depth is known.

    Args:
        prediction: meters, any shape.
        truth: meters, same shape, 0 where unknown.
    """
    known = truth > 0
    if not bool(known.any()):
        return prediction.sum() * 0.0
    difference = truth[known].log() - prediction[known].clamp(min=NEAREST).log()
    # Rounding can leave a tiny negative number where all differences are 0, and the root's slope is infinite there.
    return (difference.square().mean() - VARIANCE * difference.mean().square()).clamp(min=1e-12).sqrt()


def dice(prediction: Tensor, truth: Tensor) -> Tensor:
    """One minus the soft overlap of masks, mean over R of them: (R, M, M) float, cut to [0, 1], and 0 or 1."""
    predicted, true = prediction.clamp(0, 1).flatten(1), truth.flatten(1)
    shared = (predicted * true).sum(1)
    return (1 - (2 * shared + 1) / (predicted.sum(1) + true.sum(1) + 1)).mean()


def mask_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """``dice`` plus the squared error: (R, M, M) float, not cut, and 0 or 1, to a scalar."""
    return dice(prediction, truth) + torch.nn.functional.mse_loss(prediction, truth)
