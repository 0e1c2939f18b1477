"""The training loss of every strategy: cross-entropy of views, with targets matched per decoder layer and view.

Shapes: Y decoder layers, B images, N sequences, M target sequences or alternatives, P prompt, L targets, G groups, V
columns of the task's vocabulary, D width. A loss is a pair of sums, weighted cross-entropy and weight, so that its mean
can be taken over all layers, copies, images and processes (MAD's release; Eq. 1 of the paper for one layer and copy).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from decoders.base import View
from decoders.matching import fix_known, match_groups, nearest_alternative
from tasks.formats.sequence import SequenceFormat

Head = Callable[[Tensor], Tensor]  # hidden states (..., D) to logits (..., V) over SequenceFormat.ids


def task_loss(network: Any, memory: Any, format: SequenceFormat, views: Sequence[View]) -> tuple[Tensor, Tensor]:
    """Return weighted cross-entropy and weight, two scalars, of all views of one task; ``mean`` divides them.

    Views with the same attention share one call of the network, side by side on the sequence axis.

    Args:
        network: the shared network.
        memory: its encoding of the B images.
        format: format of the task.
        views: of ``Trainable.training_views``, on the network's device.
    """
    head, trained = task_head(network, format), trained_head(network, format)
    sums: list[tuple[Tensor, Tensor]] = []
    for attention in sorted({view.attention for view in views}):
        group = [view for view in views if view.attention == attention]
        inputs = torch.cat([view.inputs for view in group], dim=1)
        hidden = network.decode(memory, inputs, attention=attention, every_layer=True)  # (Y, B, all N, P + L, D)
        parts = hidden.split([view.inputs.shape[1] for view in group], dim=2)
        sums += [view_loss(format, view, part, head, trained) for view, part in zip(group, parts, strict=True)]
    return torch.stack([total for total, _ in sums]).sum(), torch.stack([weight for _, weight in sums]).sum()


def mean(total: Tensor, weight: Tensor) -> Tensor:
    """Divide the two sums of ``task_loss``; a weight below one position counts as one."""
    return total / weight.clamp(min=1)


def task_head(network: Any, format: SequenceFormat) -> Head:
    """Return the network's head over the task's vocabulary."""
    return lambda hidden: network.logits(hidden, format.ids)


def trained_head(network: Any, format: SequenceFormat) -> Head | None:
    """Return the head over all ids that share the softmax in training; None if those are the task's vocabulary."""
    return (lambda hidden: network.logits(hidden, format.trained[0])) if format.rivals else None


def view_loss(
    format: SequenceFormat, view: View, hidden: Tensor, head: Head, trained: Head | None = None
) -> tuple[Tensor, Tensor]:
    """Return weighted cross-entropy and weight of one view.

    Targets are resolved without gradient. Logits with gradient are computed only where a target has weight: after
    matching, a class per empty slot instead of five tokens, and no position outside the loss.

    Args:
        format: format of the sequences.
        view: inputs, targets and positions in the loss.
        hidden: (Y, B, N, P + L, D) of every decoder layer.
        head: hidden states to logits.
        trained: hidden states to logits over ``format.trained``, where that exceeds the task's vocabulary.
    """
    outputs = hidden[:, :, :, format.prompt_length :]  # (Y, B, N, L, D)
    columns, weights = resolve(format, view, outputs, head)
    counting = weights > 0
    logits = (trained or head)(outputs[counting]).float()  # (positions, V)
    targets = columns[counting] if trained is None else format.trained[1].to(columns.device)[columns[counting]]
    losses = cross_entropy(logits, targets, reduction="none")
    counted = weights[counting]
    total = (losses * counted).sum()
    if view.dense_weight:
        # AiT's release adds the loss once for every dense token.
        dense = (weights * format.dense.to(weights.device)).sum()
        total = total + view.dense_weight * _dense(format, view, outputs[-1], head) * dense
    return total, counting.sum().to(counted.dtype) if format.counts_positions else counted.sum()


def _dense(format: SequenceFormat, view: View, outputs: Tensor, head: Head) -> Tensor:
    """Return the loss of the last layer's soft predictions (B, N, L, D) as a whole (AiT section 3.3)."""
    if format.dense_loss is None or view.originals is None:
        return outputs.new_zeros(())
    present = view.weights.any(dim=-1)  # (B, N): padding is not trained on
    if not bool(present.any()):
        return outputs.new_zeros(())
    return format.dense_loss(head(outputs[present]), view.originals[present])


@torch.no_grad()
def resolve(format: SequenceFormat, view: View, outputs: Tensor, head: Head) -> tuple[Tensor, Tensor]:
    """Return target columns (Y, B, N, L) int64 and weights (Y, B, N, L), 0 where a position is not in the loss.

    Args:
        format: format of the sequences.
        view: inputs, targets and positions in the loss.
        outputs: (Y, B, N, L, D) hidden states of the target positions; read only if targets are matched.
        head: hidden states to logits.
    """
    layers = len(outputs)
    columns = format.columns_of(view.tokens)  # (B, M, L)
    if view.matching == "groups":
        targets, weights = _match(format, view, columns, outputs, head)
    elif view.matching == "alternatives" and view.tokens.shape[1]:
        targets, weights = _choose(view, columns, outputs, head)
    else:
        targets, weights = (part.expand(layers, *part.shape) for part in (columns, view.weights))
    return targets, weights * view.counted


def _match(format: SequenceFormat, view: View, columns: Tensor, outputs: Tensor, head: Head) -> tuple[Tensor, Tensor]:
    """Match groups per layer, image and sequence; M is N."""
    if view.real is None:
        raise ValueError(f"{format.task}: matching groups needs View.real, the groups that hold an object")
    log_probabilities = head(outputs).float().log_softmax(dim=-1)  # (Y, B, N, L, V)
    if not bool(view.counted.all()):
        inputs = view.inputs[..., format.prompt_length :]
        known = format.columns_of(torch.where(view.counted, view.tokens, inputs))
        log_probabilities = fix_known(log_probabilities, known, view.counted)
    layers, shape = len(outputs), columns.shape
    objects, weights, real = (
        part.expand(layers, *part.shape).flatten(0, 2) for part in (columns, view.weights, view.real)
    )
    empty = format.columns_of(torch.tensor(format.unmatched)), torch.tensor(format.unmatched_weights)
    targets, weights = match_groups(log_probabilities.flatten(0, 2), objects, weights, real, unmatched=empty)
    present = view.weights.any(dim=-1, keepdim=True)  # (B, N, 1): padding is not trained on
    return targets.view(layers, *shape), weights.view(layers, *shape) * present


def _choose(view: View, columns: Tensor, outputs: Tensor, head: Head) -> tuple[Tensor, Tensor]:
    """Choose the nearest of A alternatives per layer and image; N is 1."""
    layers, (images, _, length) = len(outputs), columns.shape
    log_probabilities = head(outputs[:, :, 0]).float().log_softmax(dim=-1)  # (Y, B, L, V)
    spread = [part.expand(layers, *part.shape).flatten(0, 1) for part in (columns, view.weights)]  # (Y * B, A, L)
    chosen = nearest_alternative(log_probabilities.flatten(0, 1), *spread)  # (Y * B,)
    index = chosen[:, None, None].expand(-1, 1, length)
    targets, weights = (part.gather(1, index).view(layers, images, 1, length) for part in spread)
    return targets, weights
