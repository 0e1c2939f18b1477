"""What every decoder guarantees on every task: legal tokens, determinism, and results that batching does not change."""

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
COUNTS = (3, 1, 2)  # objects of the images of the batch


@pytest.fixture(scope="session")
def decode(decoder: Any, network: Network, task: Task) -> Decode:
    """Decode images with the given numbers of objects, prompted by the ground truth, as one batch."""

    def run(counts: list[int], *, seed: int = 0, ids: list[int] | None = None) -> Decoded:
        return decode_images(decoder, network, task, counts, seed=seed, ids=ids)

    return run


@pytest.fixture(scope="session")
def batch(decode: Decode) -> Decoded:
    return decode(list(COUNTS))


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
    single = decoded.image(image, len(task.encode(targets(count)).tokens))
    return single.tokens, single.probabilities


def test_tokens_are_legal_and_probabilities_belong_to_the_vocabulary(
    decoder: Any, batch: Decoded, network: Network, task: Task
) -> None:
    shape = (*batch.tokens.shape[:2], task.format.length)
    assert batch.tokens.shape == shape
    assert batch.probabilities.shape == (*shape, len(task.format.ids))
    columns = task.format.columns_of(batch.tokens)  # raises for ids outside the task's vocabulary
    if not decoder.needs_truth:  # the truth may hold targets that are never decoded
        assert bool(task.format.legal.expand(*shape[:2], -1, -1).gather(-1, columns[..., None]).all())
    assert bool((batch.probabilities >= 0).all())
    assert bool((batch.probabilities.sum(-1) <= 1 + 1e-4).all())
    assert batch.evaluations >= 0
    assert not batch.probabilities.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_seed_fixes_the_result(decode: Decode, batch: Decoded) -> None:
    again = decode(list(COUNTS))
    assert torch.equal(batch.tokens, again.tokens)
    assert torch.equal(batch.probabilities, again.probabilities)


def test_a_batch_gives_what_its_images_give_one_by_one(decode: Decode, batch: Decoded, task: Task) -> None:
    for image, count in enumerate(COUNTS):
        alone = decode([count], ids=[image])
        for batched, single in zip(rows(batch, image, task, count), rows(alone, 0, task, count), strict=True):
            torch.testing.assert_close(batched, single, atol=1e-5, rtol=1e-5)


def test_permuting_images_permutes_results(decode: Decode, batch: Decoded, task: Task) -> None:
    back = decode(list(COUNTS[::-1]), ids=[2, 1, 0])
    for image, count in enumerate(COUNTS):
        assert torch.equal(rows(batch, image, task, count)[0], rows(back, 2 - image, task, count)[0])


def test_images_without_objects_work(decode: Decode, task: Task) -> None:
    for counts in ([0], [0, 2]):
        decoded = decode(counts)
        sequences = max(len(task.encode(targets(count)).tokens) for count in counts)
        assert decoded.tokens.shape == (len(counts), sequences, task.format.length)
