"""Which images are decoded at once: consecutive ones that carry the same annotations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from typing import Any, TypeVar

from tasks.base import Task

T = TypeVar("T")


def make_batches(samples: Sequence[T], size: int, kinds: Callable[[T], Hashable]) -> list[list[T]]:
    """Return batches of consecutive images with the same kinds of annotation.

    Batches depend on the data alone, never on what is done already or by which process. So a resumed or distributed
    run computes the very batches of an uninterrupted one.

    Args:
        samples: images in order.
        size: most images of a batch.
        kinds: what the images of a batch must agree on; not called for batches of one.
    """
    if size == 1:
        return [[sample] for sample in samples]
    batches = []
    for _, group in groupby(samples, key=kinds):
        alike = list(group)
        batches += [alike[first : first + size] for first in range(0, len(alike), size)]
    return batches


def annotation_kinds(dataset: Any, tasks: Sequence[Task]) -> Callable[[Any], Hashable]:
    """Return a function that gives the tasks for which a sample is annotated, as one flag a task."""

    def kinds(sample: Any) -> Hashable:
        targets = dataset.targets(sample)
        return tuple(task.annotated(targets) for task in tasks)

    return kinds
