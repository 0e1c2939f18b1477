"""Attention in bfloat16 on a CPU goes another way than in float32; both must see the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from decoders.network.attention import ROWS, attend

QUERIES, KEYS = 2 * ROWS + 5, 70


def masks() -> dict[str, Tensor | None]:
    seen = torch.rand(2, 1, QUERIES, KEYS) < 0.5
    seen[..., 0] = True
    return {
        "none": None,
        "padding": torch.arange(KEYS)[None, None, None] < torch.tensor([40, 70]).view(2, 1, 1, 1),
        "own": seen,
    }


@pytest.mark.parametrize("name", ["none", "padding", "own"])
@torch.no_grad()
def test_rounded_attention_is_that_of_float32(name: str) -> None:
    torch.manual_seed(0)
    mask = masks()[name]
    queries, keys, values = (torch.randn(2, 3, n, 16) for n in (QUERIES, KEYS, KEYS))
    expected = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    actual = attend(queries.bfloat16(), keys.bfloat16(), values.bfloat16(), mask, 0.0)
    assert actual.dtype == torch.bfloat16
    assert (actual.float() - expected).norm() < 0.01 * expected.norm()
