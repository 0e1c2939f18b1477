"""What every decoder keeps on every task: legal tokens, determinism, and batches that change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from bench.seeding import random_stream
from decoders.base import Request
from decoders.network.network import Network
from tasks.base import Task
from tasks.formats.sequence import Decoded, stack_prompts
from tests.contract.samples import targets

Decode = Callable[..., Decoded]


@pytest.fixture
def decode(decoder: Any, network: Network) -> Decode:
    """Decodes images with the given numbers of objects, prompted by the ground truth, as one batch."""

    def run(task: Task, counts: list[int], *, seed: int = 0, ids: list[int] | None = None) -> Decoded:
        return decode_images(decoder, network, task, counts, seed=seed, ids=ids)

    return run


def decode_images(
    decoder: Any, network: Network, task: Task, counts: list[int], *, seed: int = 0, ids: list[int] | None = None
) -> Decoded:
    """Image ``ids[i]`` has ``counts[i]`` objects and pixels of its own."""
    encoded = [task.encode(targets(count)) for count in counts]
    prompts, valid = stack_prompts([e.prompts for e in encoded], 0)
    truth, _ = stack_prompts([e.tokens for e in encoded], int(task.format.ids[0]))
    request = Request(format=task.format, prompts=prompts, valid=valid, truth=truth if decoder.needs_truth else None)
    numbers = ids or list(range(len(counts)))
    generators = [random_stream(seed, number, task.name) for number in numbers]
    if not decoder.needs_network:
        return decoder.decode(None, None, request, generators)  # type: ignore[no-any-return]
    with torch.no_grad():
        memory = network.project_memory(network.encode(network.backbone_features(images(numbers))))
    return decoder.decode(network, memory, request, generators)  # type: ignore[no-any-return]


def images(numbers: list[int]) -> torch.Tensor:
    """(B, 3, 64, 64) random pixels of each numbered image."""
    return torch.stack([torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(n)) for n in numbers])


def rows(decoded: Decoded, image: int, task: Task, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and probabilities of one image without the rows that pad the batch."""
    own = decoded.image(image, len(task.encode(targets(count)).tokens))
    return own.tokens, own.probabilities


def test_tokens_are_in_the_vocabulary_and_probabilities_belong_to_it(
    decoder: Any, decode: Decode, tasks: dict[str, Task], task_name: str
) -> None:
    task = tasks[task_name]
    decoded = decode(task, [3, 1])
    batch, sequences = decoded.tokens.shape[:2]
    assert decoded.tokens.shape == (batch, sequences, task.format.length)
    assert decoded.probabilities.shape == (batch, sequences, task.format.length, len(task.format.ids))
    columns = task.format.columns_of(decoded.tokens)
    if not decoder.needs_truth:  # the truth may hold targets that are never decoded
        assert bool(task.format.legal.expand(batch, sequences, -1, -1).gather(-1, columns[..., None]).all())
    sums = decoded.probabilities.sum(-1)
    assert bool((decoded.probabilities >= 0).all())
    assert bool((sums <= 1 + 1e-4).all())
    assert decoded.evaluations >= 0


def test_decoding_makes_no_gradient(decode: Decode, network: Network, tasks: dict[str, Task], task_name: str) -> None:
    decoded = decode(tasks[task_name], [2])
    assert not decoded.probabilities.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_seed_fixes_the_result(decode: Decode, tasks: dict[str, Task], task_name: str) -> None:
    first, second = (decode(tasks[task_name], [3, 2], seed=5) for _ in range(2))
    assert torch.equal(first.tokens, second.tokens)
    assert torch.equal(first.probabilities, second.probabilities)


def test_a_batch_gives_what_its_images_give_one_by_one(decode: Decode, tasks: dict[str, Task], task_name: str) -> None:
    task, counts = tasks[task_name], [3, 1, 2]
    together = decode(task, counts)
    for image, count in enumerate(counts):
        alone = decode(task, [count], ids=[image])
        for batched, single in zip(rows(together, image, task, count), rows(alone, 0, task, count), strict=True):
            torch.testing.assert_close(batched, single, atol=1e-5, rtol=1e-5)


def test_permuting_images_permutes_results(decode: Decode, tasks: dict[str, Task], task_name: str) -> None:
    task = tasks[task_name]
    forward = decode(task, [3, 1, 2], ids=[0, 1, 2])
    back = decode(task, [2, 1, 3], ids=[2, 1, 0])
    for image, count in enumerate((3, 1, 2)):
        assert torch.equal(rows(forward, image, task, count)[0], rows(back, 2 - image, task, count)[0])


def test_images_without_objects_work(decode: Decode, tasks: dict[str, Task], task_name: str) -> None:
    for counts in ([0], [0, 2]):
        decoded = decode(tasks[task_name], counts)
        sequences = max(len(tasks[task_name].encode(targets(count)).tokens) for count in counts)
        assert decoded.tokens.shape == (len(counts), sequences, tasks[task_name].format.length)
