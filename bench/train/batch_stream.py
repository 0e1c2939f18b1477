"""Which images a training step sees, and their batches, prepared ahead; all follows from seed, step and part."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from bench.seeding import random_stream

Indices = npt.NDArray[np.int64]


class Batches(Protocol):
    """Training data."""

    def batch(self, indices: Indices, generator: torch.Generator) -> Any:
        """Return what the objective needs of these images; random choices are drawn from ``generator``."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...


class BatchStream:
    """The batches of a training.

    Args:
        batches: training data.
        seed: of every random choice.
        size: images of one part of a step.
        parts: parts of a step, over all processes.
        own_parts: the parts that this process works on.
        workers: threads that prepare batches ahead; 0 prepares each batch when it is asked for.
        steps: steps of the training; nothing behind the last is prepared.
    """

    def __init__(
        self, batches: Batches, *, seed: int, size: int, parts: int, own_parts: range, workers: int, steps: int
    ) -> None:
        self._batches = batches
        self._seed = seed
        self._size = size
        self._parts = parts
        self._own_parts = own_parts
        self._steps = steps
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._pending: dict[tuple[int, int], Future[Any]] = {}
        self._orders: OrderedDict[int, Indices] = OrderedDict()

    def get(self, step: int, part: int) -> tuple[Any, int]:
        """Return the batch of one part of a step, and the seed of what else is drawn for it."""
        generator_seed = random_stream(self._seed, step, part).initial_seed()
        if self._pool is None:
            return self._make(step, part), generator_seed
        self._prepare(self._pool, step, part)
        return self._pending.pop((step, part)).result(), generator_seed

    def indices(self, step: int, part: int) -> Indices:
        """Return the (size,) images of one part of a step: every epoch is a new order of all images."""
        total = len(self._batches)
        first = (step * self._parts + part) * self._size
        draws = range(first, first + self._size)
        return np.array([self._order(draw // total)[draw % total] for draw in draws], dtype=np.int64)

    def _make(self, step: int, part: int) -> Any:
        return self._batches.batch(self.indices(step, part), random_stream(self._seed, step, part))

    def _prepare(self, pool: ThreadPoolExecutor, step: int, part: int) -> None:
        """Submit this part and those after it, two for each worker."""
        for _ in range(1 + 2 * self._workers):
            if step >= self._steps:
                return
            if (step, part) not in self._pending:
                self._pending[step, part] = pool.submit(self._make, step, part)
            part += 1
            if part not in self._own_parts:
                step, part = step + 1, self._own_parts.start

    def _order(self, epoch: int) -> Indices:
        if epoch not in self._orders:
            self._orders[epoch] = epoch_order(self._seed, epoch, len(self._batches))
            if len(self._orders) > 3:  # batches prepared ahead can be of the next epoch
                self._orders.popitem(last=False)
        return self._orders[epoch]

    def close(self) -> None:
        """Stop preparing."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def epoch_order(seed: int, epoch: int, total: int) -> Indices:
    """Return the (total,) order of the images in one epoch."""
    return np.random.default_rng([seed, epoch, total]).permutation(total)
