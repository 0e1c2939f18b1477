"""MAD: masked training and masked inference (MAD, section 3.3).

The first pass predicts all L tokens from mask tokens. Each further pass masks a share of them, at random or where
confidence is lowest, predicts those again, and ensembles the logits of all passes. ``mad`` follows the paper's text,
``mad-released`` the released code where the two differ; the options name each choice.

Shapes: B images, N sequences, P prompt, L targets, W columns of the logits, k positions masked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from decoders.base import Request, SharedNetwork, View, empty_decoded
from decoders.legal_logits import LegalLogits
from decoders.masked.options import MadOptions, MadReleasedOptions
from decoders.network.memory import Memory
from decoders.token_masking import (
    fully_masked_view,
    image_draws,
    masked_count,
    masked_inputs,
    partly_masked_view,
    ranked_by_last_slot,
    with_random_word,
)
from tasks.formats.sequence import Decoded, SequenceFormat, TrainingBatch


@dataclass(frozen=True)
class Pass:
    """One pass of masked inference.

    Args:
        inputs: (B, N, P + L) input tokens.
        masked: (B, N, L) bool, positions that were masked.
        logits: (B, N, L, W) running logits after the pass.
    """

    inputs: Tensor
    masked: Tensor
    logits: Tensor


class Mad:
    """One pass for all tokens, then one for each ratio of the task, which masks and predicts some of them again."""

    name: ClassVar[str] = "mad"
    summary: ClassVar[str] = "all tokens at once, then some masked and predicted again"
    needs_truth: ClassVar[bool] = False
    needs_network: ClassVar[bool] = True
    weights: ClassVar[str] = "mad"
    by_task: ClassVar[tuple[str, ...]] = ("ratios",)
    Options: ClassVar[type[MadOptions]] = MadOptions

    def __init__(self, options: MadOptions | None = None) -> None:
        self.options = options or self.Options()

    @torch.no_grad()
    def decode(
        self,
        network: SharedNetwork,
        memory: Memory,
        request: Request,
        generators: Sequence[torch.Generator],
        *,
        draws: Tensor | None = None,
    ) -> Decoded:
        """Return the tokens (B, N, L) after the last pass; without ratios for the task this is ``parallel``.

        Args:
            network: the shared network.
            memory: its encoding of the B images.
            request: what to fill.
            generators: one random stream per image, for random masks only.
            draws: (further passes, B, N, L) numbers in place of random ones; the lowest are masked.
        """
        if not request.valid.numel():
            return empty_decoded(request)
        legal = self._legal_logits(network, request)
        evaluations = positions = 0
        for last in self._passes(legal, network, memory, request, self._draws(request, generators, draws)):
            evaluations, positions = evaluations + 1, positions + last.inputs.numel()
        return Decoded(legal.best(last.logits), legal.probabilities(last.logits), evaluations, positions)

    @torch.no_grad()
    def passes(
        self,
        network: SharedNetwork,
        memory: Memory,
        request: Request,
        generators: Sequence[torch.Generator] = (),
        *,
        draws: Tensor | None = None,
    ) -> list[Pass]:
        """Return every pass of ``decode``."""
        draws = self._draws(request, generators, draws)
        return list(self._passes(self._legal_logits(network, request), network, memory, request, draws))

    def training_views(
        self, network: SharedNetwork, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
    ) -> list[View]:
        """Return the fully masked copy and the partly masked ones (section 3.3)."""
        options = self.options
        augment = options.augment and format.matching == "alternatives"
        full = fully_masked_view(network, format, batch)
        if augment:
            full = replace(full, inputs=with_random_word(format, full.inputs, full.counted, generator))
        views = [full]
        for ratios in [options.train_range] if options.train_range is not None else options.train_ratios:
            view = partly_masked_view(network, format, batch, ratios, generator, references=options.references)
            if augment:
                view = replace(view, inputs=with_random_word(format, view.inputs, ~view.counted, generator))
            views.append(view)
        return views

    def _legal_logits(self, network: SharedNetwork, request: Request) -> LegalLogits:
        return LegalLogits(network, request.format, request.prompts.device, released=self.options.released_scores)

    def _draws(self, request: Request, generators: Sequence[torch.Generator], draws: Tensor | None) -> Tensor | None:
        """Return (further passes, B, N, L), or None where confidence decides."""
        ratios = self.options.ratios.get(request.format.task, ())
        if draws is not None or not ratios or not self._random(request.format):
            return draws
        return image_draws(request.valid, request.format.length, len(ratios), generators)

    def _random(self, format: SequenceFormat) -> bool:
        released = self.options.remask == "released" and format.matching == "alternatives"
        return released or self.options.remask == "random"

    def _passes(
        self, legal: LegalLogits, network: SharedNetwork, memory: Memory, request: Request, draws: Tensor | None
    ) -> Iterator[Pass]:
        form, prompts = request.format, request.prompts
        masked = torch.ones(*prompts.shape[:2], form.length, dtype=torch.bool, device=prompts.device)
        inputs = masked_inputs(network, prompts, masked.long(), masked)
        logits = legal.logits(network.decode(memory, inputs)[:, :, form.prompt_length :])  # (B, N, L, W)
        yield Pass(inputs, masked, logits)
        times = torch.ones_like(masked, dtype=logits.dtype)  # (B, N, L): passes that predicted a position
        for number, ratio in enumerate(self.options.ratios.get(form.task, ())):
            scores = self._scores(legal, form, logits, number) if draws is None else draws[number]
            count = masked_count(form.length, ratio)
            stable = self.options.remask != "released"  # the release's sort decides its many ties
            chosen = scores.argsort(dim=-1, stable=stable)[..., :count]  # (B, N, k)
            masked = torch.zeros_like(masked).scatter(-1, chosen, True)
            inputs = masked_inputs(network, prompts, legal.best(logits), masked)
            hidden = network.decode(memory, inputs)  # (B, N, P + L, D)
            at = (chosen + form.prompt_length)[..., None].expand(-1, -1, -1, hidden.shape[-1])
            new = legal.logits(hidden.gather(2, at))  # (B, N, k, W): the head runs on masked positions only
            times = times.scatter_add(-1, chosen, torch.ones_like(chosen, dtype=times.dtype))
            logits = self._ensemble(logits, new, chosen, times)
            yield Pass(inputs, masked, logits)

    def _scores(self, legal: LegalLogits, format: SequenceFormat, logits: Tensor, number: int) -> Tensor:
        """Return the confidence (B, N, L) of the running tokens; the release ranks groups before pass two only."""
        scores = legal.confidence(logits)
        if self.options.remask != "released":
            return scores
        scores = (scores + 1) - 1  # as in the release: float32 ties scores that differ by less than 2**-23
        return ranked_by_last_slot(scores, format) if number == 0 else scores

    def _ensemble(self, logits: Tensor, new: Tensor, chosen: Tensor, times: Tensor) -> Tensor:
        """Ensemble ``new`` (B, N, k, W) into the running logits (B, N, L, W) at positions ``chosen`` (B, N, k)."""
        index = chosen[..., None].expand_as(new)
        old = logits.gather(2, index)
        share = 1 / times.gather(-1, chosen)[..., None]  # (B, N, k, 1)
        if self.options.ensemble != "mean":
            share = torch.full_like(share, 0.5 if self.options.ensemble == "recursive" else 1.0)
        return logits.scatter(2, index, old + (new - old) * share)


class MadReleased(Mad):
    """MAD as its released code decodes; ``MadReleasedOptions`` names the differences."""

    name: ClassVar[str] = "mad-released"
    summary: ClassVar[str] = "mad as its released code does it, where that differs from the paper"
    Options: ClassVar[type[MadOptions]] = MadReleasedOptions
