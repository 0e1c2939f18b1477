"""Products of a phase are counted with their operations and bytes, and timed alone at their shapes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from bench.measurements.matrix_work import MachineRates, MatrixWork, ProductCalls, matrix_work

INPUT, WEIGHT, BIAS = torch.randn(5, 8), torch.randn(16, 8), torch.randn(16)


@torch.no_grad()
def products() -> None:
    functional.linear(INPUT, WEIGHT, BIAS).relu()
    functional.linear(INPUT, WEIGHT, BIAS)
    queries, keys = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 7, 4)
    functional.scaled_dot_product_attention(queries, keys, keys)
    functional.conv2d(torch.zeros(1, 3, 6, 6), torch.zeros(2, 3, 3, 3))


def test_operations_and_bytes_of_products_are_counted() -> None:
    work = matrix_work(products)
    linear, attention, convolution = 2 * 5 * 8 * 16, 2 * 2 * (2 * 3 * 4 * 7), 2 * 2 * 3 * 9 * 16
    assert work.operations == 2 * linear + attention + convolution
    assert work.bytes == 4 * (2 * (16 + 5 * 8 + 8 * 16) + (24 + 2 * 56) + (108 + 54))
    assert work.seconds > 0


def test_equal_calls_are_measured_once() -> None:
    with ProductCalls() as calls:
        products()
    assert sorted(calls.counts.values()) == [1, 1, 2]


def test_the_floor_is_the_larger_of_arithmetic_and_reading() -> None:
    rates = MachineRates(operations=100.0, bytes=10.0)
    assert rates.floor(MatrixWork(seconds=0, operations=200, bytes=10)) == pytest.approx(2)
    assert rates.floor(MatrixWork(seconds=0, operations=200, bytes=50)) == pytest.approx(5)
