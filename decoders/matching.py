"""Matching of targets: groups paired with objects, or the nearest of several alternatives (MAD section 3.3).

Pure functions of log-probabilities. Shapes: R rows (layers, images and sequences together), Q groups of a sequence, S
slots of a group, n objects, A alternatives, L = Q * S positions, V columns of the task's vocabulary.
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

KNOWN_LOGIT = 20.0  # MAD's release writes +20 for a token that was given and -20 for all others
WORST = 1e9  # replaces costs that are not finite
PADDING_COST = 100.0  # added to the cost of an alternative that only pads


def fix_known(log_probabilities: Tensor, columns: Tensor, predicted: Tensor) -> Tensor:
    """Return log-probabilities (..., L, V) in which known positions are certain of their token.

    Args:
        log_probabilities: (..., L, V).
        columns: (..., L) int64 columns of the input tokens; read only where ``predicted`` is False.
        predicted: (..., L) bool, False where a token is known.
    """
    chosen = torch.arange(log_probabilities.shape[-1], device=columns.device) == columns[..., None]  # (..., L, V)
    certain = torch.where(chosen, 0.0, -2 * KNOWN_LOGIT).to(log_probabilities)
    return torch.where(predicted[..., None], log_probabilities, certain)


def group_costs(log_probabilities: Tensor, objects: Tensor) -> Tensor:
    """Return (R, Q, n): mean cross-entropy of every object in every group (MAD section 3.3; no box terms).

    Args:
        log_probabilities: (R, Q, S, V).
        objects: (R, n, S) int64 columns of the objects' tokens.
    """
    groups = log_probabilities.shape[1]
    columns = objects.transpose(1, 2)[:, None].expand(-1, groups, -1, -1)  # (R, Q, S, n)
    return -log_probabilities.gather(-1, columns).mean(dim=2)


def assign(costs: Tensor, counts: Tensor) -> Tensor:
    """Return (R, Q) int64: the object paired with each group at the lowest total cost, -1 for none.

    Args:
        costs: (R, Q, n).
        counts: (R,) int64, a row's number of objects; they come first.
    """
    finite = costs.detach().float().nan_to_num(nan=WORST, posinf=WORST)  # a diverged loss is reported later
    rows = finite.cpu().numpy()  # one transfer for all layers, copies and images
    pairs = torch.full(costs.shape[:2], -1, dtype=torch.int64)
    for row, count in enumerate(counts.tolist()):
        groups, objects = linear_sum_assignment(rows[row, :, :count])
        pairs[row, torch.from_numpy(groups)] = torch.from_numpy(objects)
    return pairs.to(costs.device)


def match_groups(
    log_probabilities: Tensor,
    columns: Tensor,
    weights: Tensor,
    real: Tensor,
    *,
    unmatched: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Return target columns (R, L) and weights (R, L) of sequences whose groups are a set.

    Args:
        log_probabilities: (R, L, V).
        columns: (R, L) int64 columns of the target tokens, objects in some of the groups.
        weights: (R, L) float.
        real: (R, Q) bool, groups of ``columns`` that are objects.
        unmatched: (S,) int64 columns and (S,) float weights of a group without an object.
    """
    groups = real.shape[-1]
    counts = real.sum(dim=1)  # (R,)
    first = (~real).long().argsort(dim=1, stable=True)[:, : int(counts.max()) if len(counts) else 0]  # (R, n)
    size = (len(columns), groups, columns.shape[1] // groups)
    by_group = columns.reshape(size), weights.reshape(size)  # (R, Q, S) each
    index = first[..., None].expand(-1, -1, size[2])  # (R, n, S)
    objects = [part.gather(1, index) for part in by_group]
    costs = group_costs(log_probabilities.reshape(*size, -1), objects[0])
    pairs = assign(costs, counts)  # (R, Q)
    resolved = []
    for matched, empty in zip(objects, unmatched, strict=True):
        choices = torch.cat([matched, empty.to(matched).expand(len(matched), 1, -1)], dim=1)  # (R, n + 1, S)
        at = torch.where(pairs < 0, matched.shape[1], pairs)[..., None].expand(-1, -1, size[2])
        resolved.append(choices.gather(1, at).flatten(1))  # (R, L)
    return resolved[0], resolved[1]


def nearest_alternative(log_probabilities: Tensor, columns: Tensor, weights: Tensor) -> Tensor:
    """Return (R,) int64: the alternative with the lowest mean cross-entropy (MAD section 3.3, best of five references).

    Args:
        log_probabilities: (R, L, V).
        columns: (R, A, L) int64 columns of the alternatives' tokens.
        weights: (R, A, L) float; an alternative without any weight is padding and never the nearest.
    """
    likelihood = log_probabilities.gather(-1, columns.transpose(1, 2))  # (R, L, A)
    padding = weights.sum(dim=-1) == 0  # (R, A)
    return (-likelihood.mean(dim=1) + PADDING_COST * padding).argmin(dim=1)
