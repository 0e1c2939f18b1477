"""How a causal strategy goes through a sequence: positions are fed to the network from left to right, with a cache.

Shapes: B images, N sequences, P prompt, L targets, T new positions, K legal ids of a position, V columns of the task's
vocabulary, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from decoders.base import Request
from decoders.sampling import TokenSampler
from tasks.formats.sequence import SequenceFormat


@dataclass(frozen=True)
class Generated:
    """Sequences that were generated.

    Args:
        tokens: (B, N, L) int64 ids.
        logits: (B, N, L, V) over ``SequenceFormat.ids``; 0 behind the last step.
        evaluations: passes of the network that were needed.
        positions: positions that those passes computed.
    """

    tokens: Tensor
    logits: Tensor
    evaluations: int
    positions: int


def start_token(network: Any, format: SequenceFormat) -> int:
    """The id whose output predicts the first target."""
    return int(network.vocabulary.id("start")) if format.start is None else format.start


class CausalSteps:
    """The growing sequences.

    Args:
        network: the shared network.
        memory: its encoding of the B images.
        request: what to fill; its prompts go in with the first positions.
        cached: whether keys and values of earlier positions are kept. Off, every step computes all of them again.
    """

    def __init__(self, network: Any, memory: Any, request: Request, *, cached: bool) -> None:
        images, sequences, prompt = request.prompts.shape
        self._network, self._memory = network, memory
        self._earlier: Tensor | None = request.prompts  # what goes in before the next positions
        self._opening: Tensor | None = None  # (B, N) first tokens, by which a network may choose positions
        self._cache = None
        if cached:
            length = prompt + request.format.length
            self._cache = network.cache(batch=images, sequences=sequences, length=length)
        self.evaluations = self.positions = 0

    def feed(self, inputs: Tensor) -> Tensor:
        """Hidden states (B, N, T, D) of the next T positions from their tokens (B, N, T) or embeddings (B, N, T, D)."""
        given = inputs if self._earlier is None else self._joined(self._earlier, inputs)
        self._earlier = given if self._cache is None else None
        if self._opening is None:
            self._opening = given[..., 0]  # prompt or start token, never an embedding
        hidden = self._network.decode(self._memory, given, attention="causal", cache=self._cache, opening=self._opening)
        self.evaluations += 1
        self.positions += hidden.shape[:3].numel()
        return hidden[:, :, -inputs.shape[2] :]  # type: ignore[no-any-return]

    def _joined(self, earlier: Tensor, inputs: Tensor) -> Tensor:
        parts = [earlier, inputs]
        if earlier.dim() != inputs.dim():
            parts = [self._network.embed(part) if part.dim() == 3 else part for part in parts]
        return torch.cat(parts, dim=2)


def generate(
    network: Any,
    memory: Any,
    request: Request,
    sampler: TokenSampler,
    *,
    cached: bool,
    soft: bool = False,
    end: int | None = None,
) -> Generated:
    """Fill L positions one after another, all sequences of all images together.

    A step multiplies the ids that are legal at its position and no others; logits over the task's whole vocabulary are
    computed from all hidden states at the end.

    Args:
        network: the shared network.
        memory: its encoding of the B images.
        request: what to fill.
        sampler: picks tokens.
        cached: as in ``CausalSteps``.
        soft: whether a dense position passes the mixture of its legal tokens' embeddings on (AiT section 3.3) instead
            of the chosen token's. Its token is then the likeliest one: nothing reads a draw.
        end: id behind which a sequence holds nothing but this id; the loop stops when every sequence has ended.
    """
    form, prompts = request.format, request.prompts
    ids = {slot: slot.ids.to(prompts.device) for slot in set(form.slots)}
    whole = all(len(own) == len(form.ids) for own in ids.values())
    steps = CausalSteps(network, memory, request, cached=cached)
    tokens = prompts.new_full((*prompts.shape[:2], form.length), end or 0)
    inputs = prompts.new_full((*prompts.shape[:2], 1), start_token(network, form))  # (B, N, 1) or (B, N, 1, D)
    running, kept = request.valid, []
    for step in range(form.length):
        slot = form.slots[step % len(form.slots)]
        hidden = steps.feed(inputs)[:, :, 0]  # (B, N, D)
        logits = network.logits(hidden, slot.ids)  # (B, N, K)
        kept.append(logits if whole else hidden)
        mixed = soft and slot.dense
        chosen = ids[slot][logits.argmax(dim=-1) if mixed else sampler.sample(logits, step)]  # (B, N)
        if end is not None:
            chosen = torch.where(running, chosen, end)
            running = running & (chosen != end)
        tokens[..., step] = chosen
        if end is not None and not bool(running.any()):
            break
        inputs = (network.soft_embedding(logits.softmax(dim=-1), slot.ids) if mixed else chosen).unsqueeze(2)
    stacked = torch.stack(kept, dim=2)  # (B, N, steps, K or D)
    logits = torch.zeros(*tokens.shape, len(form.ids), device=prompts.device)
    logits[:, :, : len(kept)] = stacked if whole else network.logits(stacked, form.ids)
    return Generated(tokens, logits, steps.evaluations, steps.positions)


def soft_probabilities(format: SequenceFormat, logits: Tensor) -> Tensor:
    """(..., L, V) logits to probabilities: among all ids at sparse positions, among the legal ones at dense positions.

    Scores are read from sparse positions, as they are with every strategy; mixtures from dense ones, where AiT's
    softmax knows the codes only.
    """
    illegal = ~format.legal & format.dense[:, None]  # (L, V)
    if bool(illegal.any()):
        logits = logits.masked_fill(illegal.to(logits.device), -torch.inf)
    return logits.softmax(dim=-1)
