"""The contract of a decoder strategy: it fills sequences and never knows what a box is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from tasks.sequence import Decoded, SequenceFormat


@dataclass(frozen=True)
class Request:
    """Sequences that a task wants filled.

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
