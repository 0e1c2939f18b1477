"""The loss of all tasks of a batch: every image is encoded once, and all its tasks are decoded from that memory.

A task's loss is divided by the weight of its targets in the whole step (all layers, copies, images and processes), as
in both releases. If it were divided by the weight of one part, an image with few objects would count more the more
processes there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from bench.checkpoints.checkpoint import device_of
from bench.train.batches import TokenBatch, encoding_of
from decoders.network.memory import Features
from decoders.network.network import Network
from decoders.objective import mean, task_loss
from tasks.base import Task
from tasks.formats.sequence import TrainingBatch


@dataclass(frozen=True)
class StepWeights:
    """Weights of the targets of a whole step.

    Args:
        weights: (T,) sum over all parts for each of T tasks.
        parts: number of parts, whose losses are averaged.
    """

    weights: Tensor
    parts: int


class MultitaskLoss(nn.Module):
    """Weighted sum of the tasks' losses.

    If a process cuts its share of a step into parts, call ``weigh_step`` with all of them first.

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
        self._step: StepWeights | None = None

    def forward(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and each task's unweighted loss; averaged over all parts they are those of the step."""
        sums = self._sums(batch)
        step = self._step or _over_processes(torch.stack([weight for _, weight in sums.values()]).detach(), 1)
        parts = {
            name: mean(total, weight) * step.parts
            for (name, (total, _)), weight in zip(sums.items(), step.weights, strict=True)
        }
        return torch.stack([self.weights[name] * value for name, value in parts.items()]).sum(), parts

    @torch.no_grad()
    def weigh_step(self, batches: Sequence[TokenBatch], seeds: Sequence[int]) -> None:
        """Compute the weights of a step from this process's parts, with the random draws that training will make.

        It costs a forward pass of every part, as the network's outputs decide which targets count.

        Args:
            batches: the parts.
            seeds: what torch is seeded with before each part.
        """
        buffers = {name: value.clone() for name, value in self.named_buffers()}  # batch norms count an image once
        weights = []
        for batch, seed in zip(batches, seeds, strict=True):
            torch.manual_seed(seed)
            state = batch.generator.get_state()
            weights.append(torch.stack([weight for _, weight in self._sums(batch).values()]))
            batch.generator.set_state(state)
        for name, value in self.named_buffers():
            value.copy_(buffers[name])
        self._step = _over_processes(torch.stack(weights).sum(0), len(batches))

    def _sums(self, batch: TokenBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """Return weighted cross-entropy and weight by task."""
        memory = self._memory(batch)
        sums = {}
        for name, task in self.tasks.items():
            if name not in batch.tasks:  # a zero keeps the parts of all processes alike
                sums[name] = (torch.zeros((), device=device_of(self.network)),) * 2
                continue
            rows = batch.tasks[name].rows
            selected = memory if len(rows) == memory.batch else memory.select(rows.to(memory.keys[0].device))
            targets = _on_device(batch.tasks[name].batch, device_of(self.network))
            views = self.decoder.training_views(self.network, task.format, targets, batch.generator)
            sums[name] = task_loss(self.network, selected, task.format, views)
        return sums

    def train(self, mode: bool = True) -> MultitaskLoss:
        """Keep parts with frozen parameters in evaluation mode, so that none of their running statistics move."""
        super().train(mode)
        for part in self.network.children():
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    def _memory(self, batch: TokenBatch) -> Any:
        device = device_of(self.network)
        if batch.states is not None:
            return self.network.project_memory(encoding_of(self.network, batch.states.to(device)))
        return self.network.project_memory(self.network.encode(self._features(batch, device)))

    def _features(self, batch: TokenBatch, device: torch.device) -> Features:
        if batch.maps is not None:
            return Features(batch.maps.to(device))
        if batch.images is None:
            raise ValueError("a batch needs images, maps or states")
        pad = None if batch.pad is None else batch.pad.to(device)
        return self.network.backbone_features(batch.images.to(device), pad)


def _over_processes(weights: Tensor, parts: int) -> StepWeights:
    """Sum the weights (T,) of one process's parts over all processes, which all have as many parts."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return StepWeights(weights, parts)
    torch.distributed.all_reduce(weights)
    return StepWeights(weights, parts * torch.distributed.get_world_size())


def _on_device(batch: TrainingBatch, device: torch.device) -> TrainingBatch:
    tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(batch, **{name: value.to(device) for name, value in tensors.items() if value is not None})
