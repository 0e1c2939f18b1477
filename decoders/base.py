"""The contract of a decoder strategy: it fills token sequences and never knows what a box is.

A strategy is one file of at most 250 lines in ``causal/`` (left to right, with a key-value cache) or ``masked/`` (mask
tokens, full attention). It imports nothing of ``tasks`` but formats and vocabulary. Its options stand in the folder's
``options.py``, which needs no torch, so that commands explain and check them at once. What it reuses:

==========================  ============================================================================
``causal/generation.py``    ``generate``: the whole left-to-right loop; ``CausalSteps``: passes with a cache
``causal/teacher_forcing``  ``teacher_forced``: the training view of every causal strategy
``sampling.py``             ``TokenSampler``: greedy, temperature, nucleus
``masking.py``              which positions are masked; fully and partly masked training views
``legal_logits.py``         ``LegalLogits``: hidden states to legal tokens, confidences and probabilities
``matching.py``             object slots matched to objects, the nearest of several references
``objective.py``            the loss of any views
==========================  ============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from decoders.network.cache import Cache
from decoders.network.memory import Memory
from tasks.formats.sequence import Decoded, SequenceFormat, TrainingBatch
from tasks.formats.vocabulary import Vocabulary


class SharedNetwork(Protocol):
    """What a strategy may call of the network; what a run wraps around it to count, compile or record has the same.

    Attributes:
        vocabulary: ids of all tokens.
    """

    vocabulary: Vocabulary

    def decode(
        self,
        memory: Memory,
        tokens: Tensor,
        *,
        attention: str | Tensor = "full",
        cache: Cache | None = None,
        opening: Tensor | None = None,
    ) -> Tensor:
        """Return hidden states (B, N, T, D) of tokens (B, N, T) int64, or of their embeddings (B, N, T, D).

        Args:
            memory: of the same B images.
            tokens: whole sequences; with a cache, the next T tokens of each.
            attention: ``full`` or ``causal`` self-attention within a sequence, or a bool mask, True where a token may
                look.
            cache: keys and values so far; the call adds its own.
            opening: (B, N) int64 first token of each sequence, where neither ``tokens`` (as ids) nor ``cache`` have it.
        """
        ...

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """Return float32 logits (..., V) of hidden states (..., D) over some ids, e.g. ``SequenceFormat.ids``."""
        ...

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings (..., D) of tokens (...) int64."""
        ...

    def soft_embedding(self, probabilities: Tensor, ids: Tensor | slice) -> Tensor:
        """Return the mean embedding (..., D) of K ids, weighted by probabilities (..., K)."""
        ...

    def cache(self, *, batch: int, sequences: int, length: int) -> Cache:
        """Return an empty key-value cache for B images of N sequences of up to ``length`` tokens, prompt included."""
        ...


@dataclass(frozen=True)
class Request:
    """Sequences to fill; all tensors are on the network's device.

    Args:
        format: format of the sequences.
        prompts: (B, N, P) int64.
        valid: (B, N) bool, False for rows that only pad images with fewer sequences.
        truth: (B, N, L) int64 ground-truth tokens, only for strategies with ``needs_truth``.
    """

    format: SequenceFormat
    prompts: Tensor
    valid: Tensor
    truth: Tensor | None = None


@dataclass(frozen=True)
class View:
    """One presentation of a training batch to the network.

    Args:
        inputs: (B, N, P + L) int64: the prompt, then L positions whose outputs predict the L targets (causal: the start
            token and all targets but the last; masked: mask tokens and known ones).
        attention: ``full`` or ``causal`` self-attention.
        tokens: (B, M, L) int64 targets; M is N, or the number of alternatives to choose from.
        weights: (B, M, L) float.
        counted: (B, N, L) bool, positions in the loss; the others are context.
        matching: as ``SequenceFormat.matching``.
        real: (B, N, G) bool, as in ``TrainingBatch``.
        originals: (B, N, ...) as in ``TrainingBatch``, for the format's ``dense_loss``.
        dense_weight: weight of that loss beside the mean cross-entropy, scaled by the share of dense tokens in the mean
            (AiT's release adds the loss once for every dense token).
    """

    inputs: Tensor
    attention: str
    tokens: Tensor
    weights: Tensor
    counted: Tensor
    matching: str
    real: Tensor | None = None
    originals: Tensor | None = None
    dense_weight: float = 0.0


class Trainable(Protocol):
    """A strategy that can be trained."""

    def training_views(
        self, network: SharedNetwork, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
    ) -> list[View]:
        """Return the views of one task's training batch; random choices are drawn from ``generator``."""
        ...


class Decoder(Protocol):
    """A decoding strategy.

    Attributes:
        name: name on the command line.
        summary: one line for ``list``.
        needs_truth: whether ``Request.truth`` must be filled; True only for the oracle.
        needs_network: whether an image has to be encoded by a network first.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    needs_truth: ClassVar[bool]
    needs_network: ClassVar[bool]

    def decode(
        self, network: SharedNetwork, memory: Memory, request: Request, generators: Sequence[torch.Generator]
    ) -> Decoded:
        """Fill every valid sequence.

        Args:
            network: the shared network; None where ``needs_network`` is False.
            memory: its encoding of the B images; None without a network.
            request: what to fill.
            generators: one random stream per image, so that batching changes no result.
        """
        ...


class OptionalAttributes(Protocol):
    """What the class of a strategy may declare beside ``Decoder``. ``bench.registry.DecoderEntry`` reads it.

    Attributes:
        weights: name of the checkpoint that it runs with; default: ``name``.
        Options: frozen dataclass of its options with a default each, whose ``Args`` section ``describe`` prints; the
            class then takes ``Options | None`` and keeps it as ``options``. ValueError refuses a value. Default: none.
        by_task: options that are mappings from task names, which are checked; default: none.
        formats: task to the format that it wants (``bits`` or ``codes``, ``bins`` or ``codes``); default: plain.
    """

    weights: ClassVar[str]
    Options: ClassVar[type[Any]]
    by_task: ClassVar[tuple[str, ...]]
    formats: ClassVar[Mapping[str, str]]


def empty_decoded(request: Request) -> Decoded:
    """Return the result for a request without sequences."""
    shape = (*request.prompts.shape[:2], request.format.length)
    device = request.prompts.device
    return Decoded(
        tokens=torch.zeros(shape, dtype=torch.int64, device=device),
        probabilities=torch.zeros(*shape, len(request.format.ids), device=device),
        evaluations=0,
        positions=0,
    )
