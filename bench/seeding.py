"""Random streams, named by a seed and a key."""

from __future__ import annotations

import numpy as np
import torch


def random_stream(seed: int, *key: int | str) -> torch.Generator:
    """Return the random stream of a key, such as (step, part) or (image id, task), whatever batch or process uses it.

    Args:
        seed: of all streams.
        key: integers, of which the lowest 63 bits count, and names.
    """
    words = [seed]
    for part in key:
        words += part.encode() if isinstance(part, str) else [part % 2**63]
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
