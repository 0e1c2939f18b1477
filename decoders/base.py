"""The contract of a decoder strategy: it fills sequences and never knows what a box is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from tasks.formats.sequence import Decoded, SequenceFormat, TrainingBatch


@dataclass(frozen=True)
class Request:
    """Sequences that a task wants filled; all tensors are on the network's device.

    Args:
        format: format of the sequences.
        prompts: (B, N, P) int64.
        valid: (B, N) bool, False for rows that only pad images with fewer sequences.
        truth: (B, N, L) int64 ground-truth tokens, given only to strategies that ask for them (``needs_truth``).
    """

    format: SequenceFormat
    prompts: Tensor
    valid: Tensor
    truth: Tensor | None = None


@dataclass(frozen=True)
class View:
    """One way of showing a training batch to the network.

    Args:
        inputs: (B, N, P + L) int64 tokens that go in: the prompt, then L positions whose outputs predict the L targets.
            A causal strategy puts the start token and the targets but the last there, others mask and known tokens.
        attention: ``full`` or ``causal`` self-attention.
        tokens: (B, M, L) int64 targets; M is N, or the number of alternatives to choose from.
        weights: (B, M, L) float.
        counted: (B, N, L) bool, positions in the loss; the others are context.
        matching: as ``SequenceFormat.matching``.
        real: (B, N, G) bool, as in ``TrainingBatch``.
        originals: (B, N, ...) as in ``TrainingBatch``, where the format's ``dense_loss`` is wanted.
        dense_weight: weight of that loss beside the mean cross-entropy; where sparse tokens have a part in that mean,
            times the share that dense ones have (AiT's release adds it once for every dense token).
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
        """How one training batch of a task is shown to the network; random choices are drawn from ``generator``."""
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
            generators: one random stream per image, so that a batch gives what its images give one by one.
        """
        ...


def empty_decoded(request: Request) -> Decoded:
    """The answer to a request without sequences."""
    shape = (*request.prompts.shape[:2], request.format.length)
    device = request.prompts.device
    return Decoded(
        tokens=torch.zeros(shape, dtype=torch.int64, device=device),
        probabilities=torch.zeros(*shape, len(request.format.ids), device=device),
        evaluations=0,
        positions=0,
    )
