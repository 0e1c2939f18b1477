"""AiT: autoregressive with soft tokens (AiT, ICCV 2023, section 3.3).

Sparse tokens (coordinates, classes, words) stay hard. At a dense position (codes of a mask or a depth map, bits, bins,
joints) the next input is the mean embedding of all legal tokens, weighted by their probabilities, and the detokenizer
reads the same mixture instead of the likeliest token. Embeddings are the network's and the temperature is 1, as in the
released code; the paper's Eq. 4 writes "the codebook" for both.

Training is that of ``autoregressive``, with hard inputs. Formats with a ``dense_loss`` add it: the loss of the soft
prediction as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch

from decoders.base import Request, View, empty_decoded
from decoders.causal.generation import generate, soft_probabilities
from decoders.causal.teacher_forcing import Order, check_order, teacher_forced
from decoders.sampling import TokenSampler
from tasks.formats.sequence import Decoded, SequenceFormat, TrainingBatch


def released_nucleus() -> dict[str, float]:
    """Return the nucleus of each task in AiT's release; depth is greedy."""
    return {"detection": 0.4, "segmentation": 0.3, "boxes": 0.4, "instances": 0.3}


def released_weights() -> dict[str, float]:
    """Return the weight of each task's loss through the detokenizer, beside the mean cross-entropy.

    The release adds 5 · 0.2 · (mask tokens) of it to the sum over all tokens. In ``instances`` a mask token weighs .2;
    in ``segmentation`` all tokens are mask tokens and weigh 1.
    """
    return {"segmentation": 1.0, "depth": 1.0, "instances": 5.0}


@dataclass(frozen=True, kw_only=True)
class AitOptions:
    """Options of ``ait``. Rows of AiT's Table 9 vary ``soft_input``, ``soft_output`` and ``dense_weight``.

    Args:
        soft_input: feed on soft embeddings at dense positions.
        soft_output: let the detokenizer read dense positions as mixtures, where a format can.
        dense_weight: task to the weight of the loss through its detokenizer, in training; 0 for other tasks.
        top_p: task to the probability of its nucleus (the token that crosses it is kept); 0, as for other tasks, is
            greedy. Dense positions with soft input are not sampled.
        order: of the objects of ``detection`` in training, as for ``autoregressive``; AiT's own ``boxes`` and
            ``instances`` have the release's random order.
        use_cache: keep keys and values of earlier tokens; off, every step recomputes them.
    """

    soft_input: bool = True
    soft_output: bool = True
    dense_weight: dict[str, float] = field(default_factory=released_weights)
    top_p: dict[str, float] = field(default_factory=released_nucleus)
    order: Order = "ascending"
    use_cache: bool = True

    def __post_init__(self) -> None:
        check_order("ait", self.order)
        check_by_task("ait", dense_weight=self.dense_weight, top_p=self.top_p)


def check_by_task(name: str, *, dense_weight: Mapping[str, float], top_p: Mapping[str, float]) -> None:
    """Raise ValueError for a weight that is negative or infinite, or a nucleus that is no probability."""
    for task, weight in dense_weight.items():
        if not 0 <= weight < math.inf:
            raise ValueError(f"{name}: dense_weight of {task} is {weight}; give 0 (none) or more")
    for task, share in top_p.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{name}: top_p of {task} is {share}; give 0 (the likeliest token) to 1 (all)")


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
    def decode(self, network: Any, memory: Any, request: Request, generators: Sequence[torch.Generator]) -> Decoded:
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
        self, network: Any, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
    ) -> list[View]:
        """Return the teacher-forced view with hard tokens, and the weight of the loss of the soft prediction."""
        view = teacher_forced(network, format, batch, generator, order=self.options.order)
        weight = self.options.dense_weight.get(format.task, 0.0)
        return [replace(view, originals=batch.originals, dense_weight=weight)]
