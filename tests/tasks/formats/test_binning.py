"""Bins: a coordinate comes back within half a bin, a depth within half a ratio, exact means over cells."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import TaskError
from tasks.formats.binning import Coordinates, LogBins, overlaps
from tasks.formats.vocabulary import IdRange

SLACK = 1e-3  # of a bin: float32 rounding

sizes = st.tuples(st.integers(1, 2000), st.integers(1, 2000))
bins = st.integers(1, 1000)


def coordinates(bins: int, reading: str = "centre") -> Coordinates:
    return Coordinates(IdRange(7, 7 + bins + 1, "coordinate"), bins, reading)


@given(sizes, bins, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_a_coordinate_comes_back_within_half_a_bin(size, bins, shares):
    height, width = size
    points = torch.tensor(shares, dtype=torch.float32) * torch.tensor([width, height])
    found = coordinates(bins)
    error = (found.pixels(found.tokens(points, size), size) - points).abs() / torch.tensor([width, height]) * bins
    assert float(error.max()) <= 0.5 + SLACK


@given(sizes, bins, st.sampled_from(["centre", "edge"]))
def test_every_token_is_found_again_from_its_own_pixels(size, bins, reading):
    found = coordinates(bins, reading)
    tokens = torch.arange(bins + 1).repeat_interleave(2)[None] + 7
    again = found.again(found.pixels(tokens, size), size)
    moved = (again != tokens).nonzero()
    assert reading == "edge" or not len(moved)
    assert bool(((tokens - again) >= 0).all() and ((tokens - again) <= 1).all())


def test_the_edge_reading_moves_the_bins_that_mads_release_moves():
    found = coordinates(500, "edge")
    tokens = torch.arange(501).repeat_interleave(2)[None] + 7
    again = found.again(found.pixels(tokens, (427, 640)), (427, 640))
    assert sorted(set((tokens[again != tokens] - 7).tolist())) == [251, 253]


def test_the_far_border_has_a_token_of_its_own_and_outside_is_clamped():
    found = coordinates(50)
    tokens = found.tokens(torch.tensor([[-5.0, 0.0], [200.0, 100.0], [300.0, 99.0]]), (100, 200))
    assert tokens.tolist() == [[7, 7], [57, 57], [57, 56]]
    assert found.pixels(tokens[1:2], (100, 200)).tolist() == [[200.0, 100.0]]


def test_an_unknown_reading_is_refused():
    with pytest.raises(TaskError, match="middle"):
        coordinates(10, "middle")
    with pytest.raises(TaskError, match="middle"):
        LogBins(4, 1.0, 2.0, "middle")


@given(st.integers(1, 300), st.lists(st.floats(0.5, 10.0), min_size=1, max_size=8))
def test_a_depth_comes_back_within_half_a_ratio(bins, meters):
    found = LogBins(bins, 0.5, 10.0)
    depth = torch.tensor(meters, dtype=torch.float32)
    error = (found.meters(found.index(depth)) / depth).log().abs() / math.log(20) * bins
    assert float(error.max()) <= 0.5 + SLACK


def test_depths_outside_fall_into_the_end_bins():
    found = LogBins(8, 0.5, 10.0, "edge")
    index = found.index(torch.tensor([0.0, 0.1, 10.0, 99.0]))
    assert index.tolist() == [0, 0, 7, 7]
    assert found.meters(index)[0] == pytest.approx(0.5)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6), st.integers(1, 6))
def test_cells_are_exact_means_of_the_image(height, width, rows, columns):
    image = torch.arange(height * width, dtype=torch.float64).reshape(height, width)
    zero = torch.zeros(1, dtype=torch.float64)
    means = overlaps(zero, zero + height, rows, height)[0] @ image @ overlaps(zero, zero + width, columns, width)[0].T
    fine = image.repeat_interleave(rows, 0).repeat_interleave(columns, 1)  # every cell now holds whole pixels
    expected = torch.nn.functional.avg_pool2d(fine[None, None], (height, width))[0, 0]
    assert torch.allclose(means, expected)
