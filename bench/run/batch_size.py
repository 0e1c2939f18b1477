"""The largest batch that fits a GPU: powers of two are decoded in eager mode, in the shapes that take most room."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Any

import torch

from bench.errors import UserError
from bench.run.decoder_run import Reader

ROOM = 0.8
"""Share of a GPU's memory that a batch may take in eager mode: graphs and compiled code take more, and what is decoded
varies from image to image."""


def probe(
    pipeline: Any,
    reading: Reader,
    samples: Sequence[Any],
    kinds: Callable[[Any], Hashable],
    *,
    most: int,
    memory: Callable[[], float] | None = None,
) -> int:
    """Images of the largest batch, a power of two, at most ``most``.

    Args:
        pipeline: with the network itself, so that no size is compiled or recorded for nothing.
        reading: reads a sample.
        samples: images, those that take most room first; they come round where there are too few.
        kinds: what the images of a batch must agree on.
        most: images at most.
        memory: gives back what is free, and the share of the device's memory that was in use at most since it was
            asked last; by default torch's.

    Raises:
        UserError: if not even one image fits.
    """
    share, first = memory or (lambda: _share(pipeline.device)), kinds(samples[0])
    alike = list(islice((sample for sample in samples if kinds(sample) == first), most))

    def fits(size: int) -> bool:
        items = [reading(alike[number % len(alike)]).item for number in range(size)]
        share()  # what was tried before is given back
        try:
            pipeline.predict(items)
        except torch.cuda.OutOfMemoryError:
            return False
        return size == 1 or share() <= ROOM

    return largest_batch(fits, most=most)


def _share(device: torch.device) -> float:
    if device.type != "cuda":
        return 0.0
    used = torch.cuda.max_memory_reserved(device) / torch.cuda.get_device_properties(device).total_memory
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return used


def largest_batch(fits: Callable[[int], bool], *, most: int) -> int:
    """Largest power of two, at most ``most``, that fits; ``fits`` is asked for 1, 2, 4, ...

    Raises:
        UserError: if not even one image fits.
    """
    size, found = 1, 0
    while size <= most and fits(size):
        found, size = size, 2 * size
    if not found:
        raise UserError("not even one image fits into the device's memory; choose a smaller --preset or --device cpu")
    return found
