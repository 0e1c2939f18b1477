"""Random streams keep their numbers: predictions and trained weights depend on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.seeding import random_stream


@pytest.mark.parametrize(
    ("seed", "key", "words"),
    [
        (0, (), [0]),
        (3, (17, 2), [3, 17, 2]),  # a step and its part
        (1, (5, "detection"), [1, 5, *b"detection"]),  # an image and a task
        (1, (-5, "depth"), [1, 2**63 - 5, *b"depth"]),
    ],
)
def test_a_stream_is_that_of_its_words(seed: int, key: tuple[int | str, ...], words: list[int]) -> None:
    state = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) >> 1
    assert random_stream(seed, *key).initial_seed() == state


def test_golden_streams() -> None:
    draws = {key: torch.rand(2, generator=random_stream(*key)).tolist() for key in GOLDEN}
    assert draws == {key: pytest.approx(numbers, abs=1e-7) for key, numbers in GOLDEN.items()}


GOLDEN: dict[tuple[int | str, ...], list[float]] = {
    (0, 139, "detection"): [0.58372128, 0.91981477],
    (7, 1000, 3): [0.99453813, 0.61834741],
}
