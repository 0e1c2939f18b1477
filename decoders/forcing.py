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


def teacher_forced(network: Any, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator) -> View:
    """The start token and the targets but the last go in, each predicts the next.

    Groups that are a set get an order: objects first, in random order, then the noise (Pix2Seq). Noise goes in as it is
    but its target is that of an unmatched group. Of alternatives each one is a sequence of its own. Where the task says
    what later positions see in place of the targets, that goes in.
    """
    tokens, targets, weights = batch.tokens, batch.tokens, batch.weights
    if format.matching == "groups":
        tokens, targets, weights = _objects_first(format, batch, generator)
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
    format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
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

    real = batch.real.gather(-1, order)[..., None].expand(*batch.real.shape, size[1]).flatten(2)  # (B, N, L)
    unmatched = torch.tensor(format.unmatched, device=real.device).repeat(format.groups)  # (L,)
    empty = torch.tensor(format.unmatched_weights, device=real.device).repeat(format.groups)
    present = batch.weights.any(dim=-1, keepdim=True)  # sequences that only pad an image train nothing
    tokens, weights = ordered(batch.tokens), ordered(batch.weights)
    return tokens, torch.where(real, tokens, unmatched), torch.where(real, weights, empty) * present
