"""Depth: a map comes back as the mean of its cells within half a bin, holes and all."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import Task, TaskError
from tasks.depth import Depth
from tasks.formats.sequence import Decoded, SequenceFormat, Slot
from tasks.targets import Context, Targets
from tests.tasks.task_examples import parts, perfect

HALF_RATIO = math.exp(math.log(20) / 128 / 2)


def targets(depth: torch.Tensor) -> Targets:
    return Targets((depth.shape[0], depth.shape[1]), depth=depth)


@given(st.floats(0.5, 10), st.integers(1, 70), st.integers(1, 70))
def test_a_wall_comes_back_within_half_a_bin(meters, height, width):
    found = perfect(Depth(parts(depth_grid=(3, 4))), targets(torch.full((height, width), meters)))
    assert found.shape == (height, width)
    assert found.dtype == torch.float32
    ratio = found / meters
    assert bool((ratio <= HALF_RATIO * 1.001).all() and (ratio >= 0.999 / HALF_RATIO).all())


@given(st.integers(0, 2**31))
def test_a_map_at_grid_size_comes_back_within_half_a_bin(seed):
    depth = torch.rand(5, 7, generator=torch.Generator().manual_seed(seed)) * 9 + 0.6
    ratio = perfect(Depth(parts(depth_grid=(5, 7))), targets(depth)) / depth
    assert bool((ratio <= HALF_RATIO * 1.001).all() and (ratio >= 0.999 / HALF_RATIO).all())


def test_only_valid_pixels_count_and_holes_take_their_nearest_neighbor():
    depth = torch.zeros(4, 6)
    depth[:, 0:2] = 2.0
    depth[0, 0] = 0  # a hole inside of a cell does not pull its mean down
    depth[0:2, 4:6] = 8.0
    task: Task = Depth(parts(depth_grid=(2, 3)))
    encoded = task.encode(targets(depth))
    assert encoded.weights.tolist() == [[1, 0, 1, 1, 0, 0]]
    tokens = encoded.tokens[0]
    assert tokens[0] == tokens[3] == tokens[4]
    assert tokens[2] == tokens[5] != tokens[0]
    assert encoded.prompts.tolist() == task.prompt(Context((4, 6))).tolist() == [[14]]


def test_a_map_without_any_depth_weighs_nothing():
    encoded = Depth(parts()).encode(targets(torch.zeros(30, 40)))
    assert encoded.weights.sum() == 0
    assert bool(torch.isin(encoded.tokens, torch.tensor(list(parts().vocabulary["depth_bin"].ids()))).all())


def test_the_edge_reading_is_the_lower_edge():
    found = perfect(Depth(parts("edge", depth_bins=2, depth_grid=(1, 1))), targets(torch.full((2, 2), 9.0)))
    assert found[0, 0].item() == pytest.approx(math.sqrt(0.5 * 10))


def test_a_map_is_needed():
    task = Depth(parts())
    assert not task.annotated(Targets((4, 4)))
    with pytest.raises(TaskError, match="annotated"):
        task.encode(Targets((4, 4)))


class Levels:
    """Another format: the whole map as one code, read softly."""

    def __init__(self) -> None:
        self.range = parts().vocabulary["depth_bin"]
        self.slots = (Slot((self.range,), dense=True),)
        self.groups = 1

    def encode(self, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return depth.mean().round().long()[None] + self.range.start, torch.ones(1)

    def decode(self, decoded: Decoded, format: SequenceFormat) -> torch.Tensor:
        levels = torch.arange(len(self.range), dtype=torch.float32)
        return (decoded.probabilities[0][:, format.column(self.range)] @ levels).reshape(1, 1)


def test_another_format_can_be_plugged_in():
    found = perfect(Depth(parts(), depths=Levels()), targets(torch.full((3, 5), 7.0)))
    assert torch.allclose(found, torch.full((3, 5), 7.0))
