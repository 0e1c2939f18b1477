"""Distances of soft and hard tokens: a hard token that is right is at distance 0, a mixture lies between."""

from __future__ import annotations

import pytest
import torch

from bench.studies.soft_distance import fed_distance
from tests.decoders import tiny_networks as tiny


def test_distance_is_between_what_is_fed_and_the_true_token() -> None:
    network = tiny.network(tiny.small_parts())
    ids = torch.tensor([20, 21, 22])
    table = network.embedding.table.weight.detach()
    true, other = torch.tensor([21, 22]), torch.tensor([21, 20])
    expected = float((table[20] - table[22]).norm()) / 2
    assert fed_distance(network, true, tokens=other) == pytest.approx(expected, rel=1e-5)
    mixtures = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    assert fed_distance(network, true, mixtures=mixtures, ids=ids) == pytest.approx(expected / 2, rel=1e-5)
