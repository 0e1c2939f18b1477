"""Work is equal where all common tasks decode as many sequences an image."""

from __future__ import annotations

import pytest

from results.equal_work import unequal_work


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"depth": 1, "segmentation": 6}, {"depth": 1, "segmentation": 6}, ""),
        ({"segmentation": 6.0}, {"segmentation": 6.0 + 1e-9, "depth": 1}, ""),
        ({"segmentation": 6, "keypoints": 2}, {"segmentation": 12, "keypoints": 2.5},
         "segmentation 6 and 12, keypoints 2 and 2.5 sequences an image"),
        ({"depth": 1}, {"captioning": 2}, ""),
    ],
)  # fmt: skip
def test_work(first: dict[str, float], second: dict[str, float], expected: str) -> None:
    assert unequal_work(first, second) == expected
