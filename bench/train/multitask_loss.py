"""The loss of a step: every image is encoded once and all of its tasks are decoded from that memory (task mixed).

A task's loss is divided by the weight of the whole step, not of one part of it: over layers, copies, all images of the
batch and all processes, as in both releases. Otherwise an image with few objects would count more the more processes
there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.checkpoints.checkpoint import device_of
from bench.train.batches import TaskBatch, TokenBatch, remembered
from decoders.network.network import Network
from decoders.objective import mean, task_loss
from tasks.base import Task
from tasks.formats.sequence import TrainingBatch


@dataclass(frozen=True)
class Whole:
    """What the parts of a step have together.

    Args:
        weights: (T,) weight of each task.
        parts: how many parts there are; their losses are averaged.
    """

    weights: Tensor
    parts: int


class MixedObjective(nn.Module):
    """Weighted sum of the tasks' losses.

    Where a process cuts its share of a step into parts, ``measure`` has to be called with all of them first.

    Args:
        network: the shared network.
        decoder: the strategy; it decides how targets are shown to the network.
        tasks: tasks that are learned.
        weights: task name to weight of its loss; 1 where not named.
    """

    def __init__(self, *, network: Network, decoder: Any, tasks: Sequence[Task], weights: Mapping[str, float]) -> None:
        super().__init__()
        self.network = network
        self.decoder = decoder
        self.tasks = {task.name: task for task in tasks}
        self.weights = {name: weights.get(name, 1.0) for name in self.tasks}
        self._measured: Whole | None = None

    def forward(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and the unweighted loss of every task; their means over all parts of the step are the step's."""
        sums = self._sums(batch)
        whole = self._measured or _everyone(torch.stack([weight for _, weight in sums.values()]).detach(), 1)
        parts = {
            name: mean(total, weight) * whole.parts
            for (name, (total, _)), weight in zip(sums.items(), whole.weights, strict=True)
        }
        return torch.stack([self.weights[name] * value for name, value in parts.items()]).sum(), parts

    @torch.no_grad()
    def measure(self, batches: Sequence[TokenBatch], seeds: Sequence[int]) -> None:
        """Find the weight of a step from this process's parts of it; every random draw is the one that training makes.

        Which targets count is known only behind the network, so that this costs a forward pass of every part.

        Args:
            batches: the parts.
            seeds: what torch is seeded with before each of them.
        """
        moving = {name: value.clone() for name, value in self.named_buffers()}  # batch norms count an image once
        found = []
        for batch, seed in zip(batches, seeds, strict=True):
            torch.manual_seed(seed)
            state = batch.generator.get_state()
            found.append(torch.stack([weight for _, weight in self._sums(batch).values()]))
            batch.generator.set_state(state)
        for name, value in self.named_buffers():
            value.copy_(moving[name])
        self._measured = _everyone(torch.stack(found).sum(0), len(batches))

    def _sums(self, batch: TokenBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """Task to weighted cross-entropy and weight."""
        memory = self._memory(batch)
        sums = {}
        for name, task in self.tasks.items():
            if name not in batch.tasks:  # a zero keeps the parts of all processes alike
                sums[name] = (torch.zeros((), device=device_of(self.network)),) * 2
                continue
            given = batch.tasks[name]
            complete = len(given.rows) == memory.batch
            own = memory if complete else memory.select(given.rows.to(memory.keys[0].device))
            targets = _moved(given, device_of(self.network))
            views = self.decoder.training_views(self.network, task.format, targets, batch.generator)
            sums[name] = task_loss(self.network, own, task.format, views)
        return sums

    def train(self, mode: bool = True) -> MixedObjective:
        """Parts whose parameters are frozen stay as in evaluation, so that no running statistic of theirs moves."""
        super().train(mode)
        for part in self.network.children():
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    def _memory(self, batch: TokenBatch) -> Any:
        device = device_of(self.network)
        if batch.states is not None:
            return self.network.memorize(remembered(self.network, batch.states.to(device)))
        if batch.images is None:
            raise ValueError("a batch needs images or states")
        pad = None if batch.pad is None else batch.pad.to(device)
        return self.network.memorize(self.network.encode(self.network.extract(batch.images.to(device), pad)))


def _everyone(weights: Tensor, own: int) -> Whole:
    """The weights (T,) of one process's parts as those of all processes, which all have as many."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return Whole(weights, own)
    torch.distributed.all_reduce(weights)
    return Whole(weights, own * torch.distributed.get_world_size())


def _moved(given: TaskBatch, device: torch.device) -> TrainingBatch:
    batch = given.batch
    real = None if batch.real is None else batch.real.to(device)
    originals = None if batch.originals is None else batch.originals.to(device)
    inputs = None if batch.inputs is None else batch.inputs.to(device)
    return TrainingBatch(
        batch.prompts.to(device), batch.tokens.to(device), batch.weights.to(device), real, originals, inputs
    )
