"""AiT-P: dense tokens in parallel from one learned token, under the causal mask (AiT, ICCV 2023, section 3.4).

The input that predicts a dense token is the ``parallel`` token instead of the token before it; positions distinguish
these inputs. Sparse tokens stay autoregressive. The first input is always the start token, as in the released code.

Inputs of dense positions need no prediction, so a run of them is one pass; the released code takes a step for each with
the same result. For the same reason the run shares the pass of the sparse token before it: a box, a class and 16 codes
are 5 passes, not 21.

The paper leaves open what follows a dense run (the next object's box). Here the next input is the run's last token,
hard, at inference and in training. The cache holds keys and values of the run's ``parallel`` inputs, so later positions
see none of its other tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from decoders.base import Request, SharedNetwork, View, empty_decoded
from decoders.causal.ait import task_sampler
from decoders.causal.generation import CausalSteps, soft_probabilities, start_token
from decoders.causal.options import AitParallelOptions
from decoders.causal.teacher_forcing import teacher_forced
from decoders.network.memory import Memory
from tasks.formats.sequence import Decoded, SequenceFormat, TrainingBatch


class AitParallel:
    """A pass for every sparse token, which includes the dense tokens behind it."""

    name: ClassVar[str] = "ait-parallel"
    summary: ClassVar[str] = "dense tokens at once under the causal mask, sparse ones one by one (AiT-P)"
    needs_truth: ClassVar[bool] = False
    needs_network: ClassVar[bool] = True
    by_task: ClassVar[tuple[str, ...]] = ("dense_weight", "top_p")
    formats: ClassVar[dict[str, str]] = {"segmentation": "codes", "depth": "codes"}
    Options = AitParallelOptions

    def __init__(self, options: AitParallelOptions | None = None) -> None:
        self.options = options or AitParallelOptions()

    @torch.no_grad()
    def decode(
        self, network: SharedNetwork, memory: Memory, request: Request, generators: Sequence[torch.Generator]
    ) -> Decoded:
        """Return tokens (B, N, L); only sparse tokens are sampled, from each image's own generator."""
        if not request.valid.numel():
            return empty_decoded(request)
        form, prompts = request.format, request.prompts
        runs = passes(form, one_pass=self.options.one_pass)
        steps = CausalSteps(network, memory, request, cached=self.options.use_cache and len(runs) > 1)
        sampler = task_sampler(request, generators, self.options.top_p)
        ids, illegal, dense = form.ids.to(prompts.device), ~form.legal.to(prompts.device), form.dense.tolist()
        tokens = prompts.new_full((*prompts.shape[:2], form.length), start_token(network, form))
        inputs = parallel_inputs(network, form, tokens)  # (B, N, L); sparse positions behind the first are filled below
        logits = torch.zeros(*tokens.shape, len(ids), device=prompts.device)  # (B, N, L, V)
        for first, stop in runs:
            hidden = steps.feed(inputs[..., first:stop])  # (B, N, T, D)
            logits[:, :, first:stop] = network.logits(hidden, form.ids)
            legal = logits[:, :, first:stop].masked_fill(illegal[first:stop], -torch.inf)
            columns = legal.argmax(dim=-1)  # (B, N, T)
            if not dense[first]:
                columns[..., 0] = sampler.sample(legal[:, :, 0], first)
            tokens[..., first:stop] = ids[columns]
            if stop < form.length and not dense[stop]:
                inputs[..., stop] = tokens[..., stop - 1]
        probabilities = soft_probabilities(form, logits)
        return Decoded(tokens, probabilities, steps.evaluations, steps.positions, soft=self.options.soft_output)

    def training_views(
        self, network: SharedNetwork, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
    ) -> list[View]:
        """Return the teacher-forced view; the inputs that predict dense tokens are those of inference."""
        view = teacher_forced(network, format, batch, generator, order=self.options.order)
        prompts, hard = view.inputs[..., : format.prompt_length], view.inputs[..., format.prompt_length :]
        inputs = torch.cat([prompts, parallel_inputs(network, format, hard)], dim=-1)
        weight = self.options.dense_weight.get(format.task, 0.0)
        return [replace(view, inputs=inputs, originals=batch.originals, dense_weight=weight)]


def parallel_inputs(network: SharedNetwork, format: SequenceFormat, inputs: Tensor) -> Tensor:
    """Return inputs (..., L) with the parallel token wherever a dense one is predicted, except at the start."""
    dense = format.dense.clone()
    dense[0] = False
    return inputs.masked_fill(dense.to(inputs.device), network.vocabulary.id("parallel"))


def passes(format: SequenceFormat, *, one_pass: bool = True) -> list[tuple[int, int]]:
    """Return the first position of every pass and the position behind its last, in order.

    A pass begins where the input is a predicted token, and includes all dense positions behind it.

    Args:
        format: format of the sequences.
        one_pass: off, every position is a pass.
    """
    dense = format.dense.tolist()
    firsts = [place for place in range(format.length) if not (one_pass and dense[place] and place)]
    return list(pairwise([*firsts, format.length]))
