"""The loss of a step: every image is encoded once and all of its tasks are decoded from that memory (task mixed)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.checkpoint import device_of
from bench.training_data import TaskBatch, TokenBatch, remembered
from decoders.network.network import Network
from decoders.objective import mean, task_loss
from tasks.base import Task
from tasks.sequence import TrainingBatch


class MixedObjective(nn.Module):
    """Weighted sum of the tasks' losses.

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

    def forward(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and the unweighted loss of every task."""
        memory = self._memory(batch)
        parts = {}
        for name, task in self.tasks.items():
            if name not in batch.tasks:  # a zero keeps the parts of all processes alike
                parts[name] = torch.zeros((), device=device_of(self.network))
                continue
            given = batch.tasks[name]
            complete = len(given.rows) == memory.batch
            own = memory if complete else memory.select(given.rows.to(memory.keys[0].device))
            targets = _moved(given, device_of(self.network))
            views = self.decoder.training_views(self.network, task.format, targets, batch.generator)
            parts[name] = mean(*task_loss(self.network, own, task.format, views))
        return torch.stack([self.weights[name] * value for name, value in parts.items()]).sum(), parts

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
            return self.network.memorise(remembered(self.network, batch.states.to(device)))
        if batch.images is None:
            raise ValueError("a batch needs images or states")
        pad = None if batch.pad is None else batch.pad.to(device)
        return self.network.memorise(self.network.encode(self.network.extract(batch.images.to(device), pad)))


def _moved(given: TaskBatch, device: torch.device) -> TrainingBatch:
    batch = given.batch
    real = None if batch.real is None else batch.real.to(device)
    originals = None if batch.originals is None else batch.originals.to(device)
    inputs = None if batch.inputs is None else batch.inputs.to(device)
    return TrainingBatch(
        batch.prompts.to(device), batch.tokens.to(device), batch.weights.to(device), real, originals, inputs
    )
