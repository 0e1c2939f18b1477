"""Runs tasks in order with a decoder, as the pipeline does, on targets alone."""

from __future__ import annotations

from typing import Any

import torch

from bench.data.transforms import Prepared
from bench.inference.pipeline import Pipeline, PipelineInput
from tasks.base import Task
from tasks.targets import Targets


def predict(
    tasks: dict[str, Task], names: list[str], images: list[Targets], decoder: Any, ids: list[int] | None = None
) -> list[dict[str, Any]]:
    """Predictions of the named tasks and of those before them, decoded as one batch."""
    wanted: list[str] = []
    for name in names:
        wanted += [*tasks[name].after, name]
    pipeline = Pipeline(
        decoder=decoder,
        tasks=[task for name, task in tasks.items() if name in wanted],
        transform=lambda image: Prepared(pixels=torch.zeros(3, 8, 8), size=(8, 8)),
        fill=0,
        seed=0,
    )
    numbers = ids or list(range(len(images)))
    items = [
        PipelineInput(image_id=number, image=None, targets=image) for number, image in zip(numbers, images, strict=True)
    ]
    return [outcome.predictions for outcome in pipeline.predict(items)]


def perfect_prediction(tasks: dict[str, Task], name: str, image: Targets, decoder: Any) -> Any:
    """One task's prediction for one image."""
    return predict(tasks, [name], [image], decoder)[0][name]
