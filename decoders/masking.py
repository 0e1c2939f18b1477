"""Which positions are masked: a fixed share of each sequence, at random or where the network was least sure.

Shapes: B images, N sequences, L target positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from decoders.base import View
from tasks.formats.sequence import SequenceFormat, TrainingBatch


def masked_count(length: int, ratio: float) -> int:
    """How many of ``length`` positions a ratio masks: rounded down, as MAD's release does (350 of 500, 35 of 51)."""
    return int(length * ratio)


def lowest(scores: Tensor, count: int | Tensor) -> Tensor:
    """(..., L) bool, True at the ``count`` lowest scores of each row; of equal scores the first ones.

    Args:
        scores: (..., L).
        count: one number, or (...) one per row.
    """
    ranks = scores.argsort(dim=-1, stable=True).argsort(dim=-1)  # (..., L)
    return ranks < (count if isinstance(count, int) else count[..., None])


def random_mask(shape: Sequence[int], ratios: float | tuple[float, float], generator: torch.Generator) -> Tensor:
    """(..., L) bool: in each row its own random positions, exactly ``int(L * ratio)`` of them (MAD section 3.3).

    Args:
        shape: (..., L).
        ratios: one ratio, or lowest and highest of a ratio that every row draws for itself.
        generator: source of the draws.
    """
    draws = torch.rand(*shape, generator=generator, device=generator.device)
    if not isinstance(ratios, tuple):
        return lowest(draws, masked_count(shape[-1], ratios))
    low, high = ratios
    own = low + (high - low) * torch.rand(*shape[:-1], generator=generator, device=generator.device)
    return lowest(draws, (own * shape[-1]).long())


def image_draws(valid: Tensor, length: int, passes: int, generators: Sequence[torch.Generator]) -> Tensor:
    """(passes, B, N, L) uniform draws, those of an image from its own generator.

    Rows that pad the batch get no draws (they hold 0), so an image draws the same numbers in any batch.

    Args:
        valid: (B, N) bool; the valid rows of an image come first.
        length: L.
        passes: how often every position is drawn.
        generators: one per image.
    """
    draws = torch.zeros(passes, *valid.shape, length)
    for image, (generator, count) in enumerate(zip(generators, valid.sum(dim=1).tolist(), strict=True)):
        own = torch.rand(passes, count, length, generator=generator, device=generator.device)
        draws[:, image, :count] = own.to(draws.device)
    return draws.to(valid.device)


def ranked_by_last_slot(scores: Tensor, format: SequenceFormat) -> Tensor:
    """Scores by which MAD's release re-masks groups whose last slot says how much the others are worth.

    Its keypoints are such groups: x and y take the score of their visibility token, which itself scores 1 and so is
    masked last. Generically: groups that are not matched to anything and whose last slot has other ids than the first.
    Other formats keep their scores.

    Args:
        scores: (B, N, L) probability of the token chosen at each position.
        format: format of the sequences.
    """
    if format.matching != "fixed" or format.slots[0].ranges == format.slots[-1].ranges:
        return scores
    grouped = scores.reshape(*scores.shape[:2], format.groups, len(format.slots))  # (B, N, G, S)
    ranked = grouped[..., -1:].expand_as(grouped).clone()
    ranked[..., -1] = 1
    return ranked.flatten(2)


def with_random_word(format: SequenceFormat, inputs: Tensor, candidates: Tensor, generator: torch.Generator) -> Tensor:
    """One token of every sequence replaced by a random word: MAD's augmentation of captions (section 3.3).

    Args:
        format: format of the sequences, in which every id is legal everywhere.
        inputs: (B, N, P + L) int64.
        candidates: (B, N, L) bool, positions of which one is overwritten; a sequence without any stays as it is.
        generator: source of place and word.
    """
    draws = torch.rand(candidates.shape, generator=generator, device=generator.device).to(inputs.device)
    place = draws.masked_fill(~candidates, -1.0).argmax(dim=-1, keepdim=True) + format.prompt_length  # (B, N, 1)
    words = torch.randint(len(format.ids), place.shape, generator=generator, device=generator.device)
    chosen = format.ids[words.cpu()].to(inputs.device)
    return inputs.scatter(-1, place, torch.where(candidates.any(-1, keepdim=True), chosen, inputs.gather(-1, place)))


def masked_inputs(network: Any, prompts: Tensor, tokens: Tensor, masked: Tensor) -> Tensor:
    """(B, N, P + L) prompts (B, N, P), then tokens (B, N, L) with the mask token where ``masked`` (B, N, L)."""
    return torch.cat([prompts, tokens.masked_fill(masked, network.vocabulary.id("mask"))], dim=-1)


def fully_masked_view(network: Any, format: SequenceFormat, batch: TrainingBatch) -> View:
    """All targets predicted at once from mask tokens; of alternatives there is one sequence for all of them."""
    single = format.matching == "alternatives"
    shown = slice(0, 1) if single else slice(None)
    prompts, tokens = batch.prompts[:, shown], batch.tokens[:, shown]
    everything = torch.ones_like(tokens, dtype=torch.bool)
    return View(
        inputs=masked_inputs(network, prompts, tokens, everything),
        attention="full",
        tokens=batch.tokens,
        weights=batch.weights,
        counted=everything,
        matching=format.matching,
        real=batch.real,
    )
