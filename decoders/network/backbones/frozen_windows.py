"""Blocks of a Swin V2 for inference: what depends on weights alone is computed once, and windows are cut by one copy.

timm computes the bias of relative positions (an MLP, a gather and 16 · sigmoid over all pairs of a window) in every
block for every image, materializes all scores, and shifts, pads and cuts a map by three copies.

Shapes: B images, H x W a map, C channels, M windows of N tokens, A heads of d channels.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import torch
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from torch import Tensor, nn
from torch.nn import functional

HOTTEST = math.log(1 / 0.01)  # largest logarithm of a head's scale


class Cut(NamedTuple):
    """How a map of one size is cut into windows.

    Args:
        order: (M * N) token of each place of the windows, H * W for padding; None where the map is one window.
        inverse: (H * W) place of each token.
        biases: (A, N, N) of each kind of window: those at the lower and right edges hold parts that are not neighbors.
        kinds: kind of each of the M windows.
    """

    order: Tensor | None
    inverse: Tensor | None
    biases: list[Tensor]
    kinds: list[int]


class FrozenWindowBlock(nn.Module):
    """As timm's block, with the same parameters; its weights must not change any more.

    Args:
        block: in evaluation mode.
    """

    bias: Tensor
    scale: Tensor

    def __init__(self, block: SwinTransformerV2Block) -> None:
        super().__init__()
        self.block: Any = block
        self.register_buffer("bias", _position_bias(block.attn), persistent=False)
        scale = block.attn.logit_scale.clamp(max=HOTTEST).exp()  # (A, 1, 1)
        self.register_buffer("scale", scale.view(-1, 1), persistent=False)  # (A, 1)
        self._cuts: dict[tuple[int, int, torch.device], Cut] = {}

    def forward(self, maps: Tensor) -> Tensor:
        """(B, H, W, C) to the same shape."""
        block = self.block
        batch, height, width, channels = maps.shape
        cut = self._cut(height, width, maps.device)
        states = maps.reshape(batch, height * width, channels)
        states = states + block.norm1(self._attend(states, cut))
        states = states + block.norm2(block.mlp(states))
        output: Tensor = states.view(maps.shape)
        return output

    def _attend(self, states: Tensor, cut: Cut) -> Tensor:
        attention, batch, windows = self.block.attn, states.shape[0], len(cut.kinds)
        if cut.order is not None:
            padded = len(cut.order) > states.shape[1]
            states = (functional.pad(states, (0, 0, 0, 1)) if padded else states).index_select(1, cut.order)
        biases = torch.cat((attention.q_bias, attention.k_bias, attention.v_bias))
        projected = functional.linear(states, attention.qkv.weight, biases)
        projected = projected.view(batch, windows, -1, 3, attention.num_heads, states.shape[-1] // attention.num_heads)
        queries, keys = functional.normalize(projected[:, :, :, :2], dim=-1).unbind(3)  # (B, M, N, A, d)
        queries = queries * self.scale
        values = projected[:, :, :, 2].transpose(2, 3)  # (B, M, A, N, d)
        attended = self._windows(queries.transpose(2, 3), keys.transpose(2, 3), values, cut)
        attended = attended.transpose(2, 3).reshape(states.shape)
        output: Tensor = attention.proj(attended)
        return output if cut.inverse is None else output.index_select(1, cut.inverse)

    @staticmethod
    def _windows(queries: Tensor, keys: Tensor, values: Tensor, cut: Cut) -> Tensor:
        """Return the attention (B, M, A, N, d) within each window."""
        attend = partial(functional.scaled_dot_product_attention, scale=1.0)
        if len(cut.biases) == 1:
            flat = attend(
                queries.flatten(0, 1), keys.flatten(0, 1), values.flatten(0, 1), attn_mask=cut.biases[0][None]
            )
            return flat.view(queries.shape)
        each = [
            attend(queries[:, number], keys[:, number], values[:, number], attn_mask=cut.biases[kind][None])
            for number, kind in enumerate(cut.kinds)
        ]
        return torch.stack(each, dim=1)

    def _cut(self, height: int, width: int, device: torch.device) -> Cut:
        key = (height, width, device)
        if key not in self._cuts:
            self._cuts[key] = _cut(self.block, self.bias, height, width)
        return self._cuts[key]


def freeze_windows(module: nn.Module) -> int:
    """Replace all blocks of Swin V2 below ``module``; return how many."""
    count = 0
    for name, child in module.named_children():
        if isinstance(child, SwinTransformerV2Block):
            setattr(module, name, FrozenWindowBlock(child))
            count += 1
        else:
            count += freeze_windows(child)
    return count


@torch.no_grad()
def _position_bias(attention: Any) -> Tensor:
    """Return 16 · sigmoid of the bias of relative positions (A, N, N)."""
    area = attention.window_size[0] * attention.window_size[1]
    table = attention.cpb_mlp(attention.relative_coords_table).view(-1, attention.num_heads)
    table = (16 * torch.sigmoid(table)).t().contiguous()  # (A, pairs of coordinates)
    return table[:, attention.relative_position_index.view(-1)].view(-1, area, area)


@torch.no_grad()
def _cut(block: Any, bias: Tensor, height: int, width: int) -> Cut:
    sides, shifts, device = block.window_size, block.shift_size, bias.device
    rows, columns = -(-height // sides[0]), -(-width // sides[1])
    padding = (0, columns * sides[1] - width, 0, rows * sides[0] - height)
    if (rows, columns) == (1, 1) and not any(padding) and not any(shifts):
        return Cut(None, None, [bias], [0])
    tokens = torch.arange(height * width).view(height, width).roll((-shifts[0], -shifts[1]), (0, 1))
    order = functional.pad(tokens, padding, value=height * width)
    order = order.view(rows, sides[0], columns, sides[1]).transpose(1, 2).flatten()  # (M * N)
    inverse = torch.empty(height * width + 1, dtype=torch.int64)
    inverse[order] = torch.arange(len(order))
    kinds, biases = [0] * (rows * columns), [bias]
    if any(shifts):
        masks = block.get_attn_mask(bias.new_zeros(1, rows * sides[0], columns * sides[1], 1))  # (M, N, N)
        at_edge = [(row == rows - 1, column == columns - 1) for row in range(rows) for column in range(columns)]
        different = list(dict.fromkeys(at_edge))
        kinds = [different.index(edges) for edges in at_edge]
        biases = [bias + masks[at_edge.index(edges)] for edges in different]
    return Cut(order.to(device), inverse[:-1].to(device), biases, kinds)
