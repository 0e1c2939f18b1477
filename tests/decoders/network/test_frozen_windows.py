"""Swin V2 blocks of the inference copy give timm's maps: one window, several, shifted ones, and padded maps."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from decoders.network.backbones.frozen_windows import FrozenWindowBlock, freeze_windows
from decoders.network.folding import folded
from decoders.network.network import build_network
from decoders.network.options import NetworkOptions
from tasks.formats.vocabulary import Sizes, Vocabulary

SMALL = {"depths": (2, 2), "num_heads": (2, 4), "embed_dim": 16, "window_size": 4, "num_classes": 0}


@pytest.mark.parametrize("side", [16, 32, 40, 72])  # one window a stage, several, and sides that no window divides
@torch.no_grad()
def test_blocks_give_timm_s_maps(side: int) -> None:
    torch.manual_seed(0)
    model = timm.create_model("swinv2_tiny_window8_256", img_size=64, strict_img_size=False, **SMALL).eval()
    _disturb(model)
    images = torch.randn(2, 3, side, side + 8)
    expected = model.forward_intermediates(images, intermediates_only=True)
    assert freeze_windows(model) == 4
    for actual, before in zip(model.forward_intermediates(images, intermediates_only=True), expected, strict=True):
        torch.testing.assert_close(actual, before, atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_inference_copy_has_them_and_the_same_parameters() -> None:
    options = NetworkOptions(
        backbone="swinv2_tiny_window8_256", image_side=64, stride=32, windows=[4, 4, 4, 2], width=16, heads=4, ffn=32,
        encoder_layers=1, decoder_layers=1, frozen_norm=False,
    )  # fmt: skip
    network = build_network(options, Vocabulary(Sizes(words=30))).eval()
    _disturb(network.backbone)
    images = torch.rand(1, 3, 64, 64)
    faster = folded(network)
    torch.testing.assert_close(
        faster.backbone_features(images).map, network.backbone_features(images).map, atol=1e-4, rtol=0
    )
    assert any(isinstance(module, FrozenWindowBlock) for module in faster.modules())
    assert _parameters(faster) == _parameters(network)


def _disturb(module: nn.Module) -> None:
    """Start values hide the blocks: norms behind the attention are 0, biases too, and scales alike."""
    for parameter in module.parameters():
        parameter.add_(torch.randn(parameter.shape) * (0.5 if parameter.dim() == 1 else 0.1))


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
