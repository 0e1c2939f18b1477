"""Random streams, named by seed and key."""

from __future__ import annotations

import numpy as np
import torch


def random_stream(seed: int, *place: int) -> torch.Generator:
    """The random stream of one place, such as a step and a part of it."""
    state = np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def image_generator(seed: int, image_id: int, task: str) -> torch.Generator:
    """The random stream of one image and task, whatever batch or process it is decoded in."""
    words = [seed, image_id % 2**63, *task.encode()]
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
