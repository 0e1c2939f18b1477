"""How the network is executed: ``eager``, ``compiled`` or ``graphed``; strategies notice nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import Tensor

from bench.inference import compiled
from bench.inference.compiled import Compiled
from bench.inference.cuda_graphs import Graphed
from results.record import Key, Mode, Sample

MODES = ("eager", "compiled", "graphed")


def unavailable_reason(mode: str, device: torch.device, *, network: bool = True) -> str | None:
    """Why a mode cannot be used; None if it can.

    Args:
        mode: one of ``MODES``.
        device: where the network computes.
        network: whether the decoder has a network at all.
    """
    if mode == "eager":
        return None
    if not network:
        return "the decoder uses no network"
    if mode == "graphed":
        return None if device.type == "cuda" else "CUDA graphs need a GPU"
    return compiled.unavailable_reason(device)


def wrap_network(mode: str, network: Any) -> Any:
    """What stands in for a network under a mode; the network itself in eager mode."""
    return {"eager": lambda own: own, "compiled": Compiled, "graphed": Graphed}[mode](network)


def captured_graphs(network: Any) -> int:
    """How many graphs a stand-in has compiled or recorded; 0 for a plain network."""
    return network.prepared if isinstance(network, (Compiled, Graphed)) else 0


def add_preparation_ms(network: Any, milliseconds: float) -> None:
    """Tell a compiled network how long a batch took during which it was compiled; recording graphs tells itself."""
    if isinstance(network, Compiled):
        network.prepare_ms += milliseconds


@dataclass(frozen=True)
class Agreement:
    """How far the tokens of two modes agree.

    Args:
        tokens: compared.
        different: of them.
    """

    tokens: int
    different: int


def agreement(first: Sequence[Mapping[str, Tensor]], second: Sequence[Mapping[str, Tensor]]) -> Agreement:
    """Compare the tokens (N, L) of every task of the same images; sequences that only one has differ in all tokens.

    Tasks behind a different detection are prompted differently, so one flipped token may count many times.
    """
    tokens = different = 0
    for one, other in zip(first, second, strict=True):
        for task in one.keys() | other.keys():
            here, there = one.get(task), other.get(task)
            if here is None or there is None or here.shape != there.shape:
                most = max(part.numel() for part in (here, there) if part is not None)
                tokens, different = tokens + most, different + most
            else:
                tokens, different = tokens + here.numel(), different + int((here != there).sum())
    return Agreement(tokens, different)


def compared(mode: Mode, own: Mapping[Key, Sample], eager: Mapping[Key, Sample]) -> Mode:
    """The mode with how many images have other tokens than in eager mode, which the same run measured too."""
    both = [key for key in own if key in eager]
    different = sum(own[key].tokens != eager[key].tokens for key in both)
    return msgspec.structs.replace(mode, compared_images=len(both), different_images=different)
