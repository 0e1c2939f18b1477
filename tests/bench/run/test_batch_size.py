"""The largest batch is looked for in eager mode, on the images that take most room, and leaves room for graphs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.errors import UserError
from bench.run.batch_size import MEMORY_SHARE, find_batch_size


class Device:
    """A GPU on which every image takes a share of the memory; decoding what does not fit fails as torch does."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.used = 0.0
        self.decoded: list[list[Any]] = []

    def predict(self, items: list[Any]) -> None:
        self.decoded.append(items)
        self.used = len(items) * self.share
        if self.used > 1:
            raise torch.cuda.OutOfMemoryError

    def most(self) -> float:
        found, self.used = self.used, 0.0
        return found


def found(share: float, samples: list[str], most: int = 64) -> tuple[int, Device]:
    device = Device(share)
    return find_batch_size(device, str, samples, lambda sample: sample[0], most=most, peak_share=device.most), device


def test_a_batch_leaves_room_for_graphs() -> None:
    assert 8 * 0.05 < MEMORY_SHARE < 16 * 0.055
    assert found(0.05, ["a"])[0] == 16
    assert found(0.055, ["a"])[0] == 8, "16 would fit, with less room than compiled code may want"
    assert found(0.9, ["a"])[0] == 1, "one image has to do"
    with pytest.raises(UserError, match="not even one image fits"):
        found(1.1, ["a"])


def test_what_was_tried_before_is_given_back_first() -> None:
    device = Device(0.3)
    device.used = 0.9  # another decoder's batch
    assert find_batch_size(device, str, ["a"], lambda sample: sample, most=8, peak_share=device.most) == 2


def test_images_of_one_kind_come_round_in_order() -> None:
    size, device = found(0.001, ["a1", "b1", "a2", "a3"], most=4)
    assert size == 4
    assert device.decoded == [["a1"], ["a1", "a2"], ["a1", "a2", "a3", "a1"]]
