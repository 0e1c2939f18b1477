"""What every task guarantees: shapes, legal tokens, a round trip, and images on which there is nothing to find."""

from __future__ import annotations

import json

import torch

from decoders.oracle import Oracle
from tasks.base import Task
from tasks.targets import Targets
from tests.contract.oracle_decoder import perfect_prediction
from tests.contract.samples import metric_parts, targets


def test_encode_gives_legal_tokens_of_the_format_s_shape(tasks: dict[str, Task], task_name: str) -> None:
    task = tasks[task_name]
    encoded = task.encode(targets(3))
    sequences = len(encoded.tokens)
    assert encoded.tokens.shape == encoded.weights.shape == (sequences, task.format.length)
    assert encoded.prompts.shape == (sequences, task.format.prompt_length)
    assert encoded.tokens.dtype == encoded.prompts.dtype == torch.int64
    assert bool((encoded.weights >= 0).all())
    assert float(encoded.weights.sum()) > 0
    columns = task.format.columns_of(encoded.tokens)  # raises for ids outside the task's vocabulary
    only_targets = torch.cat(
        [torch.zeros(0, dtype=torch.int64), *[torch.arange(r.start, r.stop) for r in task.format.target_only]]
    )
    decoded_here = ~torch.isin(encoded.tokens, only_targets)
    legal = task.format.legal.expand(sequences, -1, -1).gather(-1, columns[..., None])[..., 0]
    assert bool(legal[decoded_here].all())


def test_every_position_can_hold_something(tasks: dict[str, Task], task_name: str) -> None:
    form = tasks[task_name].format
    assert form.task == task_name
    assert form.legal.shape == (form.length, len(form.ids))
    assert bool(form.legal.any(dim=1).all())
    assert form.dense.shape == (form.length,)
    assert bool((form.ids.diff() > 0).all())


def test_encode_is_fixed_without_a_generator_and_seeded_with_one(tasks: dict[str, Task], task_name: str) -> None:
    task = tasks[task_name]
    assert torch.equal(task.encode(targets(3)).tokens, task.encode(targets(3)).tokens)
    first, second = (task.encode(targets(3), torch.Generator().manual_seed(1)).tokens for _ in range(2))
    assert torch.equal(first, second)


def test_an_image_without_the_annotation_is_recognized(tasks: dict[str, Task], task_name: str) -> None:
    assert tasks[task_name].annotated(targets(2))
    assert not tasks[task_name].annotated(Targets(size=(48, 64)))


def test_perfect_tokens_make_predictions_that_become_json_records(tasks: dict[str, Task], task_name: str) -> None:
    metric = tasks[task_name].metric(metric_parts())
    for count in (3, 1, 0):  # also no object, hence no person and no mask
        prediction = perfect_prediction(tasks, task_name, targets(count), Oracle())
        record = metric.observe(1, prediction, targets(count))
        assert json.loads(json.dumps(record)) == record
    assert tasks[task_name].headline and tasks[task_name].summary


def test_prompts_and_origins_match(tasks: dict[str, Task], task_name: str) -> None:
    earlier = {name: perfect_prediction(tasks, name, targets(3), Oracle()) for name in tasks[task_name].after}
    from tasks.targets import Context

    context = Context(size=(48, 64), earlier=earlier)
    prompts, rows = tasks[task_name].prompt(context), tasks[task_name].target_rows(context)
    assert prompts.shape == (len(rows), tasks[task_name].format.prompt_length)
    assert len(tasks[task_name].encode(targets(3)).rows(rows).tokens) == len(prompts)
