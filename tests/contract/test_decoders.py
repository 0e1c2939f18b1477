"""What every decoder keeps on every task: legal tokens, determinism, and batches that change nothing."""

from __future__ import annotations

from typing import Any

import torch

from bench.pipeline import image_generator
from decoders.base import Request
from tasks.base import Task
from tasks.sequence import Decoded, stack_prompts
from tests.contract.samples import targets


def decode(decoder: Any, task: Task, counts: list[int], *, seed: int = 0, ids: list[int] | None = None) -> Decoded:
    """Decode images with the given numbers of objects, prompted by the ground truth, as one batch."""
    encoded = [task.encode(targets(count)) for count in counts]
    prompts, valid = stack_prompts([e.prompts for e in encoded], 0)
    truth, _ = stack_prompts([e.tokens for e in encoded], int(task.format.ids[0]))
    request = Request(format=task.format, prompts=prompts, valid=valid, truth=truth if decoder.needs_truth else None)
    generators = [image_generator(seed, number, task.name) for number in ids or range(len(counts))]
    return decoder.decode(None, None, request, generators)  # type: ignore[no-any-return]


def rows(decoded: Decoded, image: int, task: Task, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and probabilities of one image without the rows that pad the batch."""
    own = decoded.image(image, len(task.encode(targets(count)).tokens))
    return own.tokens, own.probabilities


def test_tokens_are_in_the_vocabulary_and_probabilities_belong_to_it(
    decoder: Any, tasks: dict[str, Task], task_name: str
) -> None:
    task = tasks[task_name]
    decoded = decode(decoder, task, [3, 1])
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
    assert not decoded.probabilities.requires_grad


def test_a_seed_fixes_the_result(decoder: Any, tasks: dict[str, Task], task_name: str) -> None:
    first, second = (decode(decoder, tasks[task_name], [3, 2], seed=5) for _ in range(2))
    assert torch.equal(first.tokens, second.tokens)
    assert torch.equal(first.probabilities, second.probabilities)


def test_a_batch_gives_what_its_images_give_one_by_one(decoder: Any, tasks: dict[str, Task], task_name: str) -> None:
    task, counts = tasks[task_name], [3, 1, 2]
    together = decode(decoder, task, counts)
    for image, count in enumerate(counts):
        alone = decode(decoder, task, [count], ids=[image])
        for batched, single in zip(rows(together, image, task, count), rows(alone, 0, task, count), strict=True):
            torch.testing.assert_close(batched, single, atol=1e-5, rtol=1e-5)


def test_permuting_images_permutes_results(decoder: Any, tasks: dict[str, Task], task_name: str) -> None:
    task = tasks[task_name]
    forward = decode(decoder, task, [3, 1, 2], ids=[0, 1, 2])
    back = decode(decoder, task, [2, 1, 3], ids=[2, 1, 0])
    for image, count in enumerate((3, 1, 2)):
        assert torch.equal(rows(forward, image, task, count)[0], rows(back, 2 - image, task, count)[0])


def test_images_without_objects_work(decoder: Any, tasks: dict[str, Task], task_name: str) -> None:
    for counts in ([0], [0, 2]):
        decoded = decode(decoder, tasks[task_name], counts)
        assert decoded.tokens.shape[0] == len(counts)
