"""Inference copy of a network: what weights alone decide is computed once, decoder matrices are stored by column."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d

from decoders.network.backbones.frozen_windows import freeze_windows
from decoders.network.network import Network

PAIRS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))  # names in timm's ResNets and their blocks
NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


def folded(network: Network) -> Network:
    """Return a faster copy for inference, equal up to rounding (5e-7 measured).

    A ResNet-50 took 30 % less time on a CPU, half due to folding and half due to channels-last memory. Blocks of a
    Swin V2 become ``FrozenWindowBlock``; other backbones without batch norms are copied unchanged. Decoder matrices
    stored by column speed up few tokens: one token through AiT's 36 matrices took 0.8 ms instead of 1.4, a hundred
    tokens took as long as before.
    """
    faster = copy.deepcopy(network).eval().requires_grad_(False)
    if _fold(faster.backbone):
        faster.backbone.to(memory_format=torch.channels_last)
    freeze_windows(faster.backbone)
    for module in faster.decoder.modules():
        if isinstance(module, nn.Linear):
            module.weight.data = module.weight.data.t().contiguous().t()
    return faster


@torch.no_grad()
def _fold(module: nn.Module) -> int:
    """Fold the norms below ``module``; return how many."""
    count = sum(_fold(child) for child in module.children())
    names = list(dict(module.named_children()))
    pairs = itertools.pairwise(names) if isinstance(module, nn.Sequential) else PAIRS
    for first, second in pairs:
        convolution, norm = _last(getattr(module, first, None)), getattr(module, second, None)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, NORMS):
            _into(convolution, norm)
            setattr(module, second, nn.Identity())
            count += 1
    return count


def _last(module: nn.Module | None) -> nn.Module | None:
    """Return the module, or the last of a sequence: a deep stem ends with the convolution that ``bn1`` normalizes."""
    return module[-1] if isinstance(module, nn.Sequential) else module


def _into(convolution: nn.Conv2d, norm: Any) -> None:
    weight, bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    convolution.weight, convolution.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
