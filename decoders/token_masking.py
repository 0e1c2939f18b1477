"""Which positions are masked, inputs with mask tokens, and the training views of masked strategies.

Shapes: B images, N sequences, L target positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from decoders.base import SharedNetwork, View
from tasks.formats.sequence import SequenceFormat, TrainingBatch


def masked_count(length: int, ratio: float) -> int:
    """Return how many of ``length`` positions a ratio masks: rounded down (MAD's release: 350 of 500, 35 of 51)."""
    return int(length * ratio)


def lowest(scores: Tensor, count: int | Tensor) -> Tensor:
    """Return (..., L) bool, True at the ``count`` lowest scores of each row; of equal scores at the first.

    Args:
        scores: (..., L).
        count: one number, or (...) one per row.
    """
    ranks = scores.argsort(dim=-1, stable=True).argsort(dim=-1)  # (..., L)
    return ranks < (count if isinstance(count, int) else count[..., None])


def random_mask(shape: Sequence[int], ratios: float | tuple[float, float], generator: torch.Generator) -> Tensor:
    """Return (..., L) bool: exactly ``int(L * ratio)`` random positions in each row (MAD section 3.3).

    Args:
        shape: (..., L).
        ratios: one ratio, or the range from which every row draws its ratio.
        generator: source of the draws.
    """
    draws = torch.rand(*shape, generator=generator, device=generator.device)
    if not isinstance(ratios, tuple):
        return lowest(draws, masked_count(shape[-1], ratios))
    low, high = ratios
    ratio = low + (high - low) * torch.rand(*shape[:-1], generator=generator, device=generator.device)  # one per row
    return lowest(draws, (ratio * shape[-1]).long())


def image_draws(valid: Tensor, length: int, passes: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Return (passes, B, N, L) uniform draws, each image's from its own generator.

    Rows that pad the batch get no draws (they hold 0), so an image draws the same numbers in any batch.

    Args:
        valid: (B, N) bool; the valid rows of an image come first.
        length: L.
        passes: how often every position is drawn.
        generators: one per image.
    """
    draws = torch.zeros(passes, *valid.shape, length)
    for image, (generator, count) in enumerate(zip(generators, valid.sum(dim=1).tolist(), strict=True)):
        drawn = torch.rand(passes, count, length, generator=generator, device=generator.device)
        draws[:, image, :count] = drawn.to(draws.device)
    return draws.to(valid.device)


def ranked_by_last_slot(scores: Tensor, format: SequenceFormat) -> Tensor:
    """Return the scores by which MAD's release re-masks groups whose last slot rates the others.

    Its keypoints are such groups: x and y take the score of their visibility token, which itself scores 1 and so is
    masked last. Recognized here as unmatched groups whose last slot has other ids than the first; other formats keep
    their scores.

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
    """Replace one token of every sequence by a random word: MAD's augmentation of captions (section 3.3).

    Args:
        format: format of the sequences, in which every id is legal everywhere.
        inputs: (B, N, P + L) int64.
        candidates: (B, N, L) bool, positions of which one is overwritten; a sequence without any is unchanged.
        generator: draws position and word.
    """
    draws = torch.rand(candidates.shape, generator=generator, device=generator.device).to(inputs.device)
    position = draws.masked_fill(~candidates, -1.0).argmax(dim=-1, keepdim=True) + format.prompt_length  # (B, N, 1)
    columns = torch.randint(len(format.ids), position.shape, generator=generator, device=generator.device)
    words = format.ids[columns.cpu()].to(inputs.device)
    words = torch.where(candidates.any(-1, keepdim=True), words, inputs.gather(-1, position))
    return inputs.scatter(-1, position, words)


def masked_inputs(network: SharedNetwork, prompts: Tensor, tokens: Tensor, masked: Tensor) -> Tensor:
    """Return (B, N, P + L): prompts (B, N, P), then tokens (B, N, L) with mask tokens where ``masked`` (B, N, L)."""
    return torch.cat([prompts, tokens.masked_fill(masked, network.vocabulary.id("mask"))], dim=-1)


def fully_masked_view(network: SharedNetwork, format: SequenceFormat, batch: TrainingBatch) -> View:
    """Return the view that predicts all targets from mask tokens; alternatives share one sequence."""
    shown = slice(0, 1) if format.matching == "alternatives" else slice(None)
    tokens = batch.tokens[:, shown]
    everything = torch.ones_like(tokens, dtype=torch.bool)
    return View(
        inputs=masked_inputs(network, batch.prompts[:, shown], tokens, everything),
        attention="full",
        tokens=batch.tokens,
        weights=batch.weights,
        counted=everything,
        matching=format.matching,
        real=batch.real,
    )


def partly_masked_view(
    network: SharedNetwork,
    format: SequenceFormat,
    batch: TrainingBatch,
    ratios: float | tuple[float, float],
    generator: torch.Generator,
    *,
    references: int = 0,
) -> View:
    """Return a view in which random positions are masked, and only those are in the loss (MAD section 3.3).

    Groups are matched again, with known tokens taken as certain (MAD's release). Each alternative is a sequence with
    its own tokens as targets.

    Args:
        network: whose mask token is used.
        format: format of the sequences.
        batch: targets.
        ratios: as in ``random_mask``.
        generator: draws the mask.
        references: alternatives per image; 0 for all.
    """
    alternatives = format.matching == "alternatives"
    shown = slice(references or None) if alternatives else slice(None)
    tokens = batch.tokens[:, shown]
    masked = random_mask(tokens.shape, ratios, generator).to(tokens.device)
    return View(
        inputs=masked_inputs(network, batch.prompts[:, shown], tokens, masked),
        attention="full",
        tokens=tokens,
        weights=batch.weights[:, shown],
        counted=masked,
        matching="fixed" if alternatives else format.matching,
        real=batch.real,
    )
