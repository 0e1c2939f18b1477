"""Autoregressive: one token after another, each seeing only those before it; MAD's own baseline (Table 2), KV-cached.

Shapes: B images, N sequences, P prompt, L targets, G groups, S slots of a group, V columns of the task's vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from decoders.base import Request, View
from decoders.filling import nothing
from decoders.masking import image_draws
from tasks.sequence import Decoded, SequenceFormat, TrainingBatch


@dataclass(frozen=True, kw_only=True)
class AutoregressiveOptions:
    """Options of ``autoregressive``; the defaults are the protocol of MAD's Table 2.

    Args:
        temperature: 0 takes the likeliest legal token; above, tokens are sampled at this temperature.
        top_p: sample among the likeliest legal tokens that make up this probability (nucleus); 1 for all.
        crossing: whether the token that crosses ``top_p`` is kept (``keep``: AiT) or dropped unless it is the
            likeliest (``drop``: Pix2Seq V2).
        stop_at_end: whether to stop as soon as every sequence of the batch has ended; what follows an end token is then
            end tokens. Off, every sequence runs to its full length.
        use_cache: whether keys and values of earlier tokens are kept. Off, every step computes all of them again.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    crossing: Literal["keep", "drop"] = "keep"
    stop_at_end: bool = False
    use_cache: bool = True

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"autoregressive: temperature is {self.temperature}; give 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"autoregressive: top_p is {self.top_p}; give more than 0 and at most 1")


class Autoregressive:
    """Prompt, start token, then L steps; all sequences of all images take a step together."""

    name: ClassVar[str] = "autoregressive"
    summary: ClassVar[str] = "one token after another, with a key-value cache"
    needs_truth: ClassVar[bool] = False
    needs_network: ClassVar[bool] = True
    Options = AutoregressiveOptions

    def __init__(self, options: AutoregressiveOptions | None = None) -> None:
        self.options = options or AutoregressiveOptions()

    @torch.no_grad()
    def decode(self, network: Any, memory: Any, request: Request, generators: Sequence[torch.Generator]) -> Decoded:
        """Tokens (B, N, L); only sampling draws, from each image's own generator."""
        if not request.valid.numel():
            return nothing(request)
        form, prompts = request.format, request.prompts
        chooser = _Chooser(self.options, request, generators)
        steps = _Steps(network, memory, request, cached=self.options.use_cache)
        ids = form.ids.to(prompts.device)
        end = form.end if self.options.stop_at_end else None
        tokens = prompts.new_full((*prompts.shape[:2], form.length), end or 0)
        logits = torch.zeros(*tokens.shape, len(ids), device=prompts.device)  # (B, N, L, V)
        running = request.valid
        for step in range(form.length):
            logits[:, :, step] = network.logits(steps.hidden(), form.ids)
            chosen = ids[chooser.columns(logits[:, :, step], step)]  # (B, N)
            if end is not None:
                chosen = torch.where(running, chosen, end)
                running = running & (chosen != end)
            tokens[..., step] = chosen
            if end is not None and not bool(running.any()):
                break
            steps.append(chosen)
        probabilities = logits.softmax(dim=-1)
        if end is not None:
            over = (tokens == end).cumsum(dim=-1) > 1  # (B, N, L): an earlier token was the end already
            probabilities = torch.where(over[..., None], (ids == end).float(), probabilities)
        return Decoded(tokens, probabilities, steps.evaluations, steps.positions)

    def training_views(
        self, network: Any, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
    ) -> list[View]:
        """Teacher forcing: the start token and the targets but the last go in, each predicts the next.

        Groups that are a set get an order: objects first, in random order, then the noise (Pix2Seq). Noise goes in as
        it is but its target is that of an unmatched group. Of alternatives each one is a sequence of its own.
        """
        tokens, targets, weights = batch.tokens, batch.tokens, batch.weights
        if format.matching == "groups":
            tokens, targets, weights = _objects_first(format, batch, generator)
        start = tokens.new_full((*tokens.shape[:2], 1), _start(network, format))
        return [
            View(
                inputs=torch.cat([batch.prompts, start, tokens[..., :-1]], dim=-1),
                attention="causal",
                tokens=targets,
                weights=weights,
                counted=torch.ones_like(targets, dtype=torch.bool),
                matching="fixed",
            )
        ]


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


def _start(network: Any, format: SequenceFormat) -> int:
    return int(network.vocabulary.id("start")) if format.start is None else format.start


class _Steps:
    """The growing sequences: hidden states of their last position, computed with or without a cache."""

    def __init__(self, network: Any, memory: Any, request: Request, *, cached: bool) -> None:
        prompts, length = request.prompts, request.format.length
        images, sequences, prompt = prompts.shape
        start = prompts.new_full((images, sequences, 1), _start(network, request.format))
        self._network, self._memory = network, memory
        self._waiting = torch.cat([prompts, start], dim=-1)  # (B, N, new tokens), or all of them without a cache
        self._cache = network.cache(batch=images, sequences=sequences, length=prompt + length) if cached else None
        self.evaluations = self.positions = 0

    def hidden(self) -> Tensor:
        """(B, N, D) that predict the next token."""
        hidden = self._network.decode(self._memory, self._waiting, attention="causal", cache=self._cache)
        self.evaluations += 1
        self.positions += self._waiting.numel()
        return hidden[:, :, -1]  # type: ignore[no-any-return]

    def append(self, tokens: Tensor) -> None:
        """Add one token (B, N) to every sequence."""
        new = tokens[..., None]
        self._waiting = torch.cat([self._waiting, new], dim=-1) if self._cache is None else new


class _Chooser:
    """Picks one legal column per sequence: the likeliest, or a draw from the nucleus."""

    def __init__(self, options: AutoregressiveOptions, request: Request, generators: Sequence[torch.Generator]) -> None:
        form, device = request.format, request.prompts.device
        self._options = options
        self._illegal = None if bool(form.legal.all()) else ~form.legal.to(device)  # (L, V)
        self._draws = None  # (B, N, L): one number per token, so that a batch changes nothing
        if options.temperature > 0:
            self._draws = image_draws(request.valid, form.length, 1, generators)[0]

    def columns(self, logits: Tensor, step: int) -> Tensor:
        """(B, N) int64 columns from logits (B, N, V)."""
        if self._illegal is not None:
            logits = logits.masked_fill(self._illegal[step], -torch.inf)
        if self._draws is None:
            return logits.argmax(dim=-1)
        sorted_, columns = (logits / self._options.temperature).softmax(dim=-1).sort(dim=-1, descending=True)
        mass = sorted_.cumsum(dim=-1)
        reached = mass - sorted_ if self._options.crossing == "keep" else mass
        kept = reached < self._options.top_p if self._options.crossing == "keep" else reached <= self._options.top_p
        kept[..., 0] = True
        mass = (sorted_ * kept).cumsum(dim=-1)  # (B, N, V)
        threshold = self._draws[..., step, None] * mass[..., -1:]
        place = (mass <= threshold).sum(dim=-1, keepdim=True).clamp(max=mass.shape[-1] - 1)
        return columns.gather(-1, place)[..., 0]
