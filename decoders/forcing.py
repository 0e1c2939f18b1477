"""Teacher forcing: how causal strategies are trained.

Shapes: B images, N sequences, P prompt, L targets, G groups, S slots of a group.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from decoders.base import View
from decoders.stepping import start_token
from tasks.sequence import SequenceFormat, TrainingBatch


def teacher_forced(
    network: Any, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator, *, copies: float = 0.0
) -> View:
    """The start token and the targets but the last go in, each predicts the next.

    Groups that are a set get an order: objects first, in random order, then the noise (Pix2Seq). Noise goes in as it is
    but its target is that of an unmatched group. Of alternatives each one is a sequence of its own. Where the task says
    what later positions see in place of the targets, that goes in.

    Args:
        network: whose start token opens the sequences.
        format: of the sequences.
        batch: what is learned.
        generator: draws the order and the copies.
        copies: share of the noise groups that are copies of objects. Pix2Seq makes a part of its noise from objects,
            so that a decoder learns that what it told before is none a second time.
    """
    tokens, targets, weights = batch.tokens, batch.tokens, batch.weights
    if format.matching == "groups":
        tokens, targets, weights = _objects_first(format, batch, generator, copies)
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
    format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator, copies: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Input tokens, target tokens and weights, (B, N, L) each."""
    if batch.real is None:
        raise ValueError(f"{format.task}: ordering groups needs TrainingBatch.real, the groups that hold an object")
    draws = torch.rand(batch.real.shape, generator=generator, device=generator.device).to(batch.real.device)
    order = (draws + (~batch.real)).argsort(dim=-1)  # (B, N, G)
    size = (format.groups, len(format.slots))

    def ordered(part: Tensor) -> Tensor:
        grouped = part.view(*part.shape[:2], *size)  # (B, N, G, S)
        return grouped.gather(2, order[..., None].expand_as(grouped)).flatten(2)

    objects = batch.real.gather(-1, order)  # (B, N, G)
    real = objects[..., None].expand(*objects.shape, size[1]).flatten(2)  # (B, N, L)
    unmatched = torch.tensor(format.unmatched, device=real.device).repeat(format.groups)  # (L,)
    empty = torch.tensor(format.unmatched_weights, device=real.device).repeat(format.groups)
    present = batch.weights.any(dim=-1, keepdim=True)  # sequences that only pad an image train nothing
    tokens, weights = ordered(batch.tokens), ordered(batch.weights)
    if copies:
        grouped = tokens.view(*tokens.shape[:2], *size)
        tokens = _with_copies(grouped, objects, generator, copies).flatten(2)
    return tokens, torch.where(real, tokens, unmatched), torch.where(real, weights, empty) * present


def _with_copies(tokens: Tensor, objects: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """(B, N, G, S) tokens of which a share of the noise groups became copies of objects.

    Args:
        tokens: (B, N, G, S), objects first.
        objects: (B, N, G) bool, groups that hold an object.
        generator: draws which groups become copies, and of what.
        share: of the noise groups.
    """
    count = objects.sum(dim=-1, keepdim=True)  # (B, N, 1)
    which, chance = (
        torch.rand(objects.shape, generator=generator, device=generator.device).to(tokens.device) for _ in range(2)
    )
    source = (which * count).long()[..., None].expand_as(tokens)
    copied = (chance < share) & ~objects & (count > 0)
    return torch.where(copied[..., None], tokens.gather(2, source), tokens)
