"""Teacher forcing: the training view of causal strategies (object order as in Pix2Seq).

Shapes: B images, N sequences, P prompt, L targets, G groups, S slots of a group.
"""

from __future__ import annotations

import torch
from torch import Tensor

from decoders.base import SharedNetwork, View
from decoders.causal.generation import start_token
from decoders.causal.options import Order
from tasks.formats.sequence import SequenceFormat, TrainingBatch


def teacher_forced(
    network: SharedNetwork, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator, *, order: Order
) -> View:
    """Return the view whose inputs are the start token and all targets but the last; each predicts the next.

    Groups that are a set get an order: objects first, then noise in random order (Pix2Seq). Noise tokens are inputs,
    but their targets are those of an unmatched group. Each alternative is a sequence. Where a task gives
    ``TrainingBatch.inputs``, those replace the targets as inputs.

    Args:
        network: whose start token opens the sequences.
        format: format of the sequences.
        batch: targets.
        generator: draws the order.
        order: of the objects: ``ascending`` by their tokens, the first slot first, so that boxes go from left to right;
            or ``random``, drawn for every sequence (Pix2Seq).
    """
    tokens, targets, weights = batch.tokens, batch.tokens, batch.weights
    if format.matching == "groups":
        tokens, targets, weights = _objects_first(format, batch, generator, order)
    if batch.inputs is not None:
        tokens = batch.inputs
    start = tokens.new_full((*tokens.shape[:2], 1), start_token(network, format))
    return View(
        inputs=torch.cat([batch.prompts, start, tokens[..., :-1]], dim=-1),
        attention="causal",
        tokens=targets,
        weights=weights,
        counted=torch.ones_like(targets, dtype=torch.bool),
        matching="fixed",
    )


def _objects_first(
    format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator, order: Order
) -> tuple[Tensor, Tensor, Tensor]:
    """Return input tokens, target tokens and weights, (B, N, L) each."""
    if batch.real is None:
        raise ValueError(f"{format.task}: ordering groups needs TrainingBatch.real, the groups that hold an object")
    size = (format.groups, len(format.slots))
    draws = torch.rand(batch.real.shape, generator=generator, device=generator.device).to(batch.real.device)
    if order == "ascending":
        rank = _ascending(batch.tokens.view(*batch.tokens.shape[:2], *size)).argsort(dim=-1)
        draws = torch.where(batch.real, rank / format.groups, draws)
    places = (draws + (~batch.real)).argsort(dim=-1)  # (B, N, G)

    def ordered(part: Tensor) -> Tensor:
        grouped = part.view(*part.shape[:2], *size)  # (B, N, G, S)
        return grouped.gather(2, places[..., None].expand_as(grouped)).flatten(2)

    objects = batch.real.gather(-1, places)  # (B, N, G)
    real = objects[..., None].expand(*objects.shape, size[1]).flatten(2)  # (B, N, L)
    unmatched = torch.tensor(format.unmatched, device=real.device).repeat(format.groups)  # (L,)
    empty = torch.tensor(format.unmatched_weights, device=real.device).repeat(format.groups)
    present = batch.weights.any(dim=-1, keepdim=True)  # sequences that only pad an image train nothing
    tokens, weights = ordered(batch.tokens), ordered(batch.weights)
    return tokens, torch.where(real, tokens, unmatched), torch.where(real, weights, empty) * present


def _ascending(tokens: Tensor) -> Tensor:
    """Return the order (B, N, G) of groups (B, N, G, S) by their first token, then the second, and so on."""
    order = torch.arange(tokens.shape[2], device=tokens.device).expand(tokens.shape[:3])
    for slot in reversed(range(tokens.shape[3])):
        order = order.gather(-1, tokens[..., slot].gather(-1, order).argsort(dim=-1, stable=True))
    return order
