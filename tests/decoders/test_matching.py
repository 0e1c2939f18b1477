"""Matching: the cheapest pairs, nothing for empty images. Parity holds the release's pairs and choices."""

from __future__ import annotations

import itertools

import pytest
import torch

from decoders.matching import assign, fix_known, nearest_alternative


def test_assign_finds_the_cheapest_pairs_among_the_objects_that_there_are() -> None:
    costs = torch.rand(4, 5, 3, generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([3, 1, 0, 2])
    actual = assign(costs, counts)
    for row, count in enumerate(counts.tolist()):
        pairs = [(int(o), q) for q, o in enumerate(actual[row]) if o >= 0]
        assert sorted(o for o, _ in pairs) == list(range(count))
        best = min(
            (
                sum(float(costs[row, q, o]) for o, q in enumerate(slots))
                for slots in itertools.permutations(range(5), count)
            ),
        )
        assert sum(float(costs[row, q, o]) for o, q in pairs) == pytest.approx(best)


def test_costs_that_are_no_numbers_are_paired_last() -> None:
    costs = torch.tensor([[[float("nan"), 0.2], [0.1, float("inf")], [float("nan")] * 2]])
    assert assign(costs, torch.tensor([2])).tolist() == [[1, 0, -1]]


def test_known_tokens_are_certain() -> None:
    log_probabilities = torch.randn(2, 3, 4).log_softmax(-1)
    columns = torch.tensor([[0, 1, 2], [3, 2, 1]])
    predicted = torch.tensor([[True, False, True], [False, True, True]])
    actual = fix_known(log_probabilities, columns, predicted)
    assert torch.equal(actual[predicted], log_probabilities[predicted])
    assert actual[0, 1].tolist() == [-40, 0, -40, -40]
    logits = torch.tensor([-20.0, 20, -20, -20])
    torch.testing.assert_close(actual[0, 1], logits.log_softmax(-1))


def test_an_alternative_that_pads_is_never_chosen() -> None:
    log_probabilities = torch.randn(1, 2, 6).log_softmax(-1)
    best = log_probabilities.argmax(-1)  # (1, 2)
    worst = log_probabilities.argmin(-1)
    columns = torch.stack([best, worst], dim=1)  # (1, 2, 2)
    weights = torch.ones(1, 2, 2)
    assert nearest_alternative(log_probabilities, columns, weights).tolist() == [0]
    weights[:, 0] = 0
    assert nearest_alternative(log_probabilities, columns, weights).tolist() == [1]
