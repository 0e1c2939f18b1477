"""Autoregressive: the cache changes nothing, stopping cuts only what follows the end, sampling keeps to its nucleus."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from decoders.causal.autoregressive import Autoregressive
from decoders.causal.options import AutoregressiveOptions
from tasks.base import Task
from tasks.captioning import Captioning
from tasks.depth import Depth
from tasks.detection import Detection
from tasks.formats.sequence import TrainingBatch, collate
from tasks.keypoints import Keypoints
from tasks.segmentation import Segmentation
from tasks.targets import Targets
from tests.decoders.tiny_networks import generators, make_memory, make_request, network, small_parts
from tests.tasks.task_examples import instances

PARTS = small_parts()
NETWORK = network(PARTS)
TASKS: list[Task] = [task(PARTS) for task in (Detection, Segmentation, Keypoints, Captioning, Depth)]
START = PARTS.vocabulary.id("start")


def decoder(**options: object) -> Autoregressive:
    return Autoregressive(AutoregressiveOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_cache_changes_no_token(task: Task, temperature: float) -> None:
    request, memory = make_request(task.format, [2, 1]), make_memory(NETWORK, [0, 1])
    cached, plain = (
        decoder(use_cache=use, temperature=temperature).decode(NETWORK, memory, request, generators([0, 1]))
        for use in (True, False)
    )
    assert torch.equal(cached.tokens, plain.tokens)
    torch.testing.assert_close(cached.probabilities, plain.probabilities, atol=1e-5, rtol=1e-4)
    length, start = task.format.length, task.format.prompt_length + 1
    assert cached.evaluations == plain.evaluations == length
    assert cached.positions == 4 * (start + length - 1)
    assert plain.positions == 4 * sum(start + step for step in range(length))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_token_is_the_likeliest_legal_one_after_those_before_it(task: Task) -> None:
    form = task.format
    request, memory = make_request(form, [2]), make_memory(NETWORK, [4])
    decoded = decoder().decode(NETWORK, memory, request, generators([4]))
    start = torch.full((1, 2, 1), START)
    inputs = torch.cat([request.prompts, start, decoded.tokens[..., :-1]], -1)
    with torch.no_grad():
        hidden = NETWORK.decode(memory, inputs, attention="causal")[:, :, form.prompt_length :]
        logits = NETWORK.logits(hidden, form.ids)
    best = form.ids[logits.masked_fill(~form.legal, -torch.inf).argmax(-1)]
    assert torch.equal(decoded.tokens, best)
    torch.testing.assert_close(decoded.probabilities, logits.softmax(-1), atol=1e-5, rtol=1e-4)


def ending(images: list[int]) -> tuple[object, object, int]:
    """A caption request whose first image's third token is taken for the end token."""
    form = Captioning(PARTS).format
    tokens = decoder().decode(NETWORK, make_memory(NETWORK, images), make_request(form, [1] * len(images)), []).tokens
    return form, tokens, int(tokens[0, 0, 2])


def test_stopping_pads_with_end_tokens_and_saves_steps() -> None:
    form, free, end = ending([0])
    first = int((free[0, 0] == end).nonzero()[0])
    request = replace(make_request(form, [1]), format=replace(form, end=end))  # type: ignore[type-var]
    stopped = decoder(stop_at_end=True).decode(NETWORK, make_memory(NETWORK, [0]), request, [])
    assert stopped.evaluations == first + 1 < form.length
    assert torch.equal(stopped.tokens[0, 0, : first + 1], free[0, 0, : first + 1])
    assert bool((stopped.tokens[0, 0, first:] == end).all())
    assert bool((stopped.probabilities[0, 0, first + 1 :].max(-1).values == 1).all())
    assert decoder().decode(NETWORK, make_memory(NETWORK, [0]), request, []).evaluations == form.length


def test_stopping_gives_an_image_the_same_in_any_batch() -> None:
    form, _, end = ending([0])
    ending_format = replace(form, end=end)  # type: ignore[type-var]
    batched = decoder(stop_at_end=True).decode(
        NETWORK, make_memory(NETWORK, [0, 1, 2]), replace(make_request(form, [1, 1, 1]), format=ending_format), []
    )
    for image in range(3):
        alone = decoder(stop_at_end=True).decode(
            NETWORK, make_memory(NETWORK, [image]), replace(make_request(form, [1]), format=ending_format), []
        )
        assert torch.equal(alone.tokens[0], batched.tokens[image])
        torch.testing.assert_close(alone.probabilities[0], batched.probabilities[image], atol=1e-5, rtol=1e-4)


def test_sampling_follows_the_probabilities() -> None:
    form = Depth(PARTS).format
    many = make_request(form, [2000])
    same = replace(many, prompts=torch.zeros_like(many.prompts))
    decoded = decoder(temperature=1.0).decode(NETWORK, make_memory(NETWORK, [0]), same, generators([0]))
    shares = torch.bincount(form.columns_of(decoded.tokens[0, :, 0]), minlength=len(form.ids)) / 2000
    torch.testing.assert_close(shares, decoded.probabilities[0, 0, 0], atol=0.05, rtol=0)


@pytest.mark.parametrize("crossing", ["keep", "drop"])
def test_the_nucleus(crossing: str) -> None:
    form = Depth(PARTS).format
    many = make_request(form, [500])
    same = replace(many, prompts=torch.zeros_like(many.prompts))
    options = {"temperature": 1.0, "top_p": 0.6, "crossing": crossing}
    decoded = decoder(**options).decode(NETWORK, make_memory(NETWORK, [0]), same, generators([0]))
    order = decoded.probabilities[0, 0, 0].sort(descending=True)
    mass = order.values.cumsum(0)
    inside = int((mass <= 0.6).sum()) + (crossing == "keep")
    drawn = set(form.columns_of(decoded.tokens[0, :, 0]).tolist())
    assert drawn == set(order.indices[: max(1, inside)].tolist())


def test_a_small_nucleus_is_greedy() -> None:
    form = Captioning(PARTS).format
    request, memory = make_request(form, [1, 1]), make_memory(NETWORK, [0, 1])
    greedy = decoder().decode(NETWORK, memory, request, [])
    for crossing in ("keep", "drop"):
        decoded = decoder(temperature=2.0, top_p=1e-6, crossing=crossing).decode(
            NETWORK, memory, request, generators([0, 1])
        )
        assert torch.equal(decoded.tokens, greedy.tokens)


@pytest.mark.parametrize("temperature", [1e-10, 1e-45])
def test_a_temperature_next_to_nothing_is_greedy(temperature: float) -> None:
    request, memory = make_request(Captioning(PARTS).format, [1, 1]), make_memory(NETWORK, [0, 1])
    greedy = decoder().decode(NETWORK, memory, request, [])
    decoded = decoder(temperature=temperature).decode(NETWORK, memory, request, generators([0, 1]))
    assert torch.equal(decoded.tokens, greedy.tokens)


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"order": "by size"}])
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^autoregressive: "):
        decoder(**options)


def detection_batch(generator: torch.Generator) -> tuple[Detection, TrainingBatch]:
    task = Detection(PARTS)
    image = Targets((40, 50), instances([[0, 0, 10, 20], [5, 5, 30, 30]], [2, 0]))
    return task, collate([task.sample(image, generator, limit=1) for _ in range(30)], task.format)


@pytest.mark.parametrize("order", ["ascending", "random"])
def test_objects_go_before_noise_in_order(order: str) -> None:
    task, batch = detection_batch(torch.Generator().manual_seed(0))
    (view,) = decoder(order=order).training_views(NETWORK, task.format, batch, torch.Generator().manual_seed(1))
    prompt = task.format.prompt_length
    assert view.attention == "causal"
    assert bool((view.inputs[..., prompt] == START).all())
    assert torch.equal(view.inputs[..., :prompt], batch.prompts)
    slots = view.tokens.view(30, task.format.groups, 5)
    classes, no_object = PARTS.vocabulary["class"].start, PARTS.vocabulary.id("no_object")
    orders = {(classes + 2, classes)} | ({(classes, classes + 2)} if order == "random" else set())
    assert {tuple(row) for row in slots[:, :2, 4].tolist()} == orders
    assert bool((slots[:, 2:, 4] == no_object).all())
    weights = view.weights.view(30, task.format.groups, 5)
    assert bool((weights[:, :2] == 1).all())
    assert weights[:, 2:].flatten(0, 1).unique(dim=0).tolist() == [[0, 0, 0, 0, 1]]
    shown = torch.cat([view.inputs[..., prompt + 1 :], torch.full((30, 1, 1), -1)], -1).view(30, task.format.groups, 5)
    assert torch.equal(shown[:, :2].flatten(1)[:, :-1], slots[:, :2].flatten(1)[:, :-1])
    assert bool((shown[:, 2:-1, 4] < no_object).all()), "noise goes in with a class of its own"


def test_objects_are_told_from_left_to_right_then_down() -> None:
    task = Detection(PARTS)
    boxes = [[20, 0, 30, 9], [5, 20, 30, 30], [5, 2, 40, 30], [5, 2, 20, 30]]
    image = Targets((40, 50), instances(boxes, [0, 1, 2, 0]))
    draws = torch.Generator().manual_seed(0)
    batch = collate([task.sample(image, draws, limit=1) for _ in range(20)], task.format)
    (view,) = decoder().training_views(NETWORK, task.format, batch, draws)
    ordered = view.tokens.view(20, task.format.groups, 5)[:, : len(boxes)]
    expected = task.encode(image).tokens.view(-1, 5)[[3, 2, 1, 0]]
    assert torch.equal(ordered, expected.expand_as(ordered))


def test_every_reference_is_a_sequence() -> None:
    form = Captioning(PARTS).format
    tokens = form.ids[torch.randint(len(form.ids), (2, 3, form.length))]
    batch = TrainingBatch(torch.zeros(2, 3, form.prompt_length, dtype=torch.int64), tokens, torch.ones(tokens.shape))
    (view,) = decoder().training_views(NETWORK, form, batch, torch.Generator())
    assert view.matching == "fixed"
    assert torch.equal(view.inputs[..., form.prompt_length + 1 :], tokens[..., :-1])
    assert torch.equal(view.tokens, tokens)
