"""Find the largest batch that fits a GPU: decode powers of two in eager mode, on the images that take most memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Any

import torch

from bench.errors import UserError

MEMORY_SHARE = 0.8
"""Share of a GPU's memory that a batch may take in eager mode: graphs and compiled code need more."""


def find_batch_size(
    pipeline: Any,
    load: Callable[[Any], Any],
    samples: Sequence[Any],
    kinds: Callable[[Any], Hashable],
    *,
    most: int,
    peak_share: Callable[[], float] | None = None,
) -> int:
    """Return the largest batch that fits, a power of two.

    Args:
        pipeline: of the network itself, so that no size is compiled or recorded in vain.
        load: makes the pipeline's input of a sample.
        samples: images, those that take most memory first; repeated where there are too few.
        kinds: what the images of a batch must agree on.
        most: largest batch to try.
        peak_share: frees unused memory and returns the largest share in use since its last call; default: torch's.

    Raises:
        UserError: if not even one image fits.
    """
    peak, first = peak_share or (lambda: _peak_share(pipeline.device)), kinds(samples[0])
    alike = list(islice((sample for sample in samples if kinds(sample) == first), most))

    def fits(size: int) -> bool:
        inputs = [load(alike[number % len(alike)]) for number in range(size)]
        peak()  # forget the batch before
        try:
            pipeline.predict(inputs)
        except torch.cuda.OutOfMemoryError:
            return False
        return size == 1 or peak() <= MEMORY_SHARE

    return largest_batch(fits, most=most)


def _peak_share(device: torch.device) -> float:
    if device.type != "cuda":
        return 0.0
    share = torch.cuda.max_memory_reserved(device) / torch.cuda.get_device_properties(device).total_memory
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return share


def largest_batch(fits: Callable[[int], bool], *, most: int) -> int:
    """Return the largest power of two, at most ``most``, that fits; ``fits`` is called with 1, 2, 4, ...

    Raises:
        UserError: if not even one image fits.
    """
    size, largest = 1, 0
    while size <= most and fits(size):
        largest, size = size, 2 * size
    if not largest:
        raise UserError("not even one image fits into the device's memory; choose a smaller --preset or --device cpu")
    return largest
