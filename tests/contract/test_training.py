"""What every trainable decoder guarantees on every task: views of the right shape, a finite loss, gradients, a seed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from bench import registry
from decoders.network.network import Network
from decoders.objective import mean, task_loss
from tasks.base import Task
from tasks.formats.sequence import TrainingBatch, collate
from tests.contract.samples import targets

CLASSES = {name: registry.load(registry.DECODERS, name) for name in registry.usable(registry.DECODERS)}
TRAINABLE = {cls.training_views: name for name, cls in reversed(CLASSES.items()) if hasattr(cls, "training_views")}


@pytest.fixture(params=sorted(TRAINABLE.values()))
def trainable(request: pytest.FixtureRequest) -> Any:
    """One decoder for each way of training: some share it."""
    return CLASSES[request.param]()


def batch_of(task: Task, counts: list[int], seed: int = 0) -> TrainingBatch:
    generator = torch.Generator().manual_seed(seed)
    return collate([task.sample(targets(count), generator, limit=2) for count in counts], task.format)


def loss(network: Network, decoder: Any, task: Task, counts: list[int]) -> torch.Tensor:
    views = decoder.training_views(network, task.format, batch_of(task, counts), torch.Generator().manual_seed(1))
    pixels = torch.randn(len(counts), 3, 64, 64, generator=torch.Generator().manual_seed(2))
    memory = network.project_memory(network.encode(network.backbone_features(pixels)))
    return mean(*task_loss(network, memory, task.format, views))


def test_samples_are_legal_and_seeded(tasks: dict[str, Task], task_name: str) -> None:
    task = tasks[task_name]
    batch, again = batch_of(task, [3, 0, 1]), batch_of(task, [3, 0, 1])
    sequences = batch.tokens.shape[1]
    assert batch.tokens.shape == batch.weights.shape == (3, sequences, task.format.length)
    assert batch.prompts.shape == (3, sequences, task.format.prompt_length)
    assert (batch.real is not None) == (task.format.matching == "groups")
    task.format.columns_of(batch.tokens)  # raises for ids outside the task's vocabulary
    assert torch.equal(batch.tokens, again.tokens)
    assert float(batch.weights[0].sum()) > 0


def test_views_have_the_format_s_shape(
    trainable: Any, network: Network, tasks: dict[str, Task], task_name: str
) -> None:
    form = tasks[task_name].format
    views = trainable.training_views(network, form, batch_of(tasks[task_name], [3, 1]), torch.Generator())
    assert views
    for view in views:
        images, sequences, width = view.inputs.shape
        assert (images, width) == (2, form.prompt_length + form.length)
        assert view.counted.shape == (images, sequences, form.length)
        assert view.tokens.shape == view.weights.shape
        assert view.attention in {"full", "causal"}
        assert bool(((view.inputs >= 0) & (view.inputs < len(network.vocabulary))).all())
        if view.matching != "alternatives":
            assert view.tokens.shape == view.counted.shape


def test_the_loss_is_finite_seeded_and_has_a_gradient(
    trainable: Any, network: Network, tasks: dict[str, Task], task_name: str
) -> None:
    own = copy.deepcopy(network)
    found = loss(own, trainable, tasks[task_name], [3, 1])
    assert bool(found.isfinite())
    assert float(found.detach()) > 0
    found.backward()  # type: ignore[no-untyped-call]
    gradient = own.decoder.layers[0].own.projection.weight.grad  # type: ignore[union-attr]
    assert gradient is not None
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().sum()) > 0
    with torch.no_grad():
        torch.testing.assert_close(loss(network, trainable, tasks[task_name], [3, 1]), found.detach())


def test_images_without_anything_to_learn_add_nothing(
    trainable: Any, network: Network, tasks: dict[str, Task], task_name: str
) -> None:
    batch = collate([], tasks[task_name].format)
    assert batch.tokens.shape == (0, 0, tasks[task_name].format.length)
    assert bool(loss(network, trainable, tasks[task_name], [0, 0]).isfinite())
