"""AiT: autoregressive with soft tokens (AiT, ICCV 2023, section 3.3).

Sparse tokens (coordinates, classes, words) stay hard. At a dense position (codes of a mask or a depth map, bits, bins,
joints) the next input is the mean embedding of all legal tokens, weighted by their probabilities, and the detokenizer
reads the same mixture instead of the likeliest token. Embeddings are the network's and the temperature is 1, as in the
released code; the paper's Eq. 4 writes "the codebook" for both.

Training is that of ``autoregressive``, with hard inputs. Formats with a ``dense_loss`` add it: the loss of the soft
prediction as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch

from decoders.base import Request, SharedNetwork, View, empty_decoded
from decoders.causal.generation import generate, soft_probabilities
from decoders.causal.options import AitOptions
from decoders.causal.teacher_forcing import teacher_forced
from decoders.network.memory import Memory
from decoders.sampling import TokenSampler
from tasks.formats.sequence import Decoded, SequenceFormat, TrainingBatch


def task_sampler(request: Request, generators: Sequence[torch.Generator], top_p: Mapping[str, float]) -> TokenSampler:
    """Return the sampler of the request's task: greedy without a nucleus, else at temperature 1."""
    share = top_p.get(request.format.task, 0.0)
    return TokenSampler(request, generators, temperature=1.0 if share else 0.0, top_p=share)


class Ait:
    """One token after another; dense positions feed on the mixture of all legal tokens."""

    name: ClassVar[str] = "ait"
    summary: ClassVar[str] = "one token after another, dense ones as mixtures (AiT's soft tokens)"
    needs_truth: ClassVar[bool] = False
    needs_network: ClassVar[bool] = True
    by_task: ClassVar[tuple[str, ...]] = ("dense_weight", "top_p")
    formats: ClassVar[dict[str, str]] = {"segmentation": "codes", "depth": "codes"}
    Options = AitOptions

    def __init__(self, options: AitOptions | None = None) -> None:
        self.options = options or AitOptions()

    @torch.no_grad()
    def decode(
        self, network: SharedNetwork, memory: Memory, request: Request, generators: Sequence[torch.Generator]
    ) -> Decoded:
        """Return tokens (B, N, L), at soft positions the likeliest; sampling draws from each image's own generator."""
        if not request.valid.numel():
            return empty_decoded(request)
        options = self.options
        sampler = task_sampler(request, generators, options.top_p)
        generated = generate(network, memory, request, sampler, cached=options.use_cache, soft=options.soft_input)
        probabilities = soft_probabilities(request.format, generated.logits)
        return Decoded(
            generated.tokens, probabilities, generated.evaluations, generated.positions, soft=options.soft_output
        )

    def training_views(
        self, network: SharedNetwork, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
    ) -> list[View]:
        """Return the teacher-forced view with hard tokens, and the weight of the loss of the soft prediction."""
        view = teacher_forced(network, format, batch, generator, order=self.options.order)
        weight = self.options.dense_weight.get(format.task, 0.0)
        return [replace(view, originals=batch.originals, dense_weight=weight)]
