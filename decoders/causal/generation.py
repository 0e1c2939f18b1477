"""Left-to-right generation: positions are fed to the network in order, with a key-value cache.

Shapes: B images, N sequences, P prompt, L targets, T new positions, K legal ids of a position, V columns of the task's
vocabulary, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from decoders.base import Request, SharedNetwork
from decoders.network.memory import Memory
from decoders.sampling import TokenSampler
from tasks.formats.sequence import SequenceFormat


@dataclass(frozen=True)
class Generated:
    """Generated sequences.

    Args:
        tokens: (B, N, L) int64 ids.
        logits: (B, N, L, V) over ``SequenceFormat.ids``; 0 after the last step.
        evaluations: passes of the network that were needed.
        positions: positions that those passes computed.
    """

    tokens: Tensor
    logits: Tensor
    evaluations: int
    positions: int


def start_token(network: SharedNetwork, format: SequenceFormat) -> int:
    """Return the id whose output predicts the first target."""
    return int(network.vocabulary.id("start")) if format.start is None else format.start


class CausalSteps:
    """Network passes over growing sequences, counted.

    Args:
        network: the shared network.
        memory: its encoding of the B images.
        request: its prompts are fed with the first positions.
        cached: keep keys and values of earlier positions; off, every step recomputes them.
    """

    def __init__(self, network: SharedNetwork, memory: Memory, request: Request, *, cached: bool) -> None:
        images, sequences, prompt = request.prompts.shape
        self._network, self._memory = network, memory
        self._earlier: Tensor | None = request.prompts  # to be fed before the next positions
        self._opening: Tensor | None = None  # (B, N) first tokens; family ``ait`` selects positions by them
        self._cache = None
        if cached:
            length = prompt + request.format.length
            self._cache = network.cache(batch=images, sequences=sequences, length=length)
        self.evaluations = self.positions = 0

    def feed(self, inputs: Tensor) -> Tensor:
        """Return hidden states (B, N, T, D) of the next T positions: tokens (B, N, T) or embeddings (B, N, T, D)."""
        fed = inputs if self._earlier is None else self._join(self._earlier, inputs)
        self._earlier = fed if self._cache is None else None
        if self._opening is None:
            self._opening = fed[..., 0]  # prompt or start token, never an embedding
        hidden = self._network.decode(self._memory, fed, attention="causal", cache=self._cache, opening=self._opening)
        self.evaluations += 1
        self.positions += hidden.shape[:3].numel()
        return hidden[:, :, -inputs.shape[2] :]

    def _join(self, earlier: Tensor, inputs: Tensor) -> Tensor:
        parts = [earlier, inputs]
        if earlier.dim() != inputs.dim():
            parts = [self._network.embed(part) if part.dim() == 3 else part for part in parts]
        return torch.cat(parts, dim=2)


def generate(
    network: SharedNetwork,
    memory: Memory,
    request: Request,
    sampler: TokenSampler,
    *,
    cached: bool,
    soft: bool = False,
    end: int | None = None,
) -> Generated:
    """Generate L tokens one by one, all sequences of all images in step.

    A step computes logits of the ids legal at its position; logits over the task's vocabulary follow at the end, from
    all hidden states at once.

    Args:
        network: the shared network.
        memory: its encoding of the B images.
        request: what to fill.
        sampler: samples tokens.
        cached: as in ``CausalSteps``.
        soft: feed on soft embeddings at dense positions (AiT section 3.3): the mean over legal tokens instead of the
            sampled token's. Their tokens are then the likeliest.
        end: id that ends a sequence and fills its rest; generation stops when every sequence has ended.
    """
    form, prompts = request.format, request.prompts
    ids = {slot: slot.ids.to(prompts.device) for slot in set(form.slots)}
    unrestricted = all(len(legal) == len(form.ids) for legal in ids.values())
    steps = CausalSteps(network, memory, request, cached=cached)
    tokens = prompts.new_full((*prompts.shape[:2], form.length), end or 0)
    inputs = prompts.new_full((*prompts.shape[:2], 1), start_token(network, form))  # (B, N, 1) or (B, N, 1, D)
    running, outputs = request.valid, []
    for step in range(form.length):
        slot = form.slots[step % len(form.slots)]
        hidden = steps.feed(inputs)[:, :, 0]  # (B, N, D)
        logits = network.logits(hidden, slot.ids)  # (B, N, K)
        outputs.append(logits if unrestricted else hidden)
        softly = soft and slot.dense
        chosen = ids[slot][logits.argmax(dim=-1) if softly else sampler.sample(logits, step)]  # (B, N)
        if end is not None:
            chosen = torch.where(running, chosen, end)
            running = running & (chosen != end)
        tokens[..., step] = chosen
        if end is not None and not bool(running.any()):
            break
        inputs = (network.soft_embedding(logits.softmax(dim=-1), slot.ids) if softly else chosen).unsqueeze(2)
    stacked = torch.stack(outputs, dim=2)  # (B, N, steps, K or D)
    logits = torch.zeros(*tokens.shape, len(form.ids), device=prompts.device)
    logits[:, :, : len(outputs)] = stacked if unrestricted else network.logits(stacked, form.ids)
    return Generated(tokens, logits, steps.evaluations, steps.positions)


def soft_probabilities(format: SequenceFormat, logits: Tensor) -> Tensor:
    """(..., L, V) logits to probabilities: over all ids at sparse positions, over the legal ones at dense positions.

    Scores are read from sparse positions, as in every strategy; mixtures from dense ones, where AiT's softmax is over
    codes only.
    """
    illegal = ~format.legal & format.dense[:, None]  # (L, V)
    if bool(illegal.any()):
        logits = logits.masked_fill(illegal.to(logits.device), -torch.inf)
    return logits.softmax(dim=-1)
