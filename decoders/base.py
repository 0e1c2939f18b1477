"""The contract of a decoder strategy: it fills token sequences and never knows what a box is.

A strategy is one file of at most 250 lines in ``causal/`` (left to right, with a key-value cache) or ``masked/`` (mask
tokens, full attention). It imports nothing of ``tasks`` but formats and vocabulary. What it reuses:

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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from tasks.formats.sequence import Decoded, SequenceFormat, TrainingBatch


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
        self, network: Any, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
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

    def decode(self, network: Any, memory: Any, request: Request, generators: Sequence[torch.Generator]) -> Decoded:
        """Fill every valid sequence.

        Args:
            network: the shared network.
            memory: its encoding of the B images.
            request: what to fill.
            generators: one random stream per image, so that batching changes no result.
        """
        ...


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
