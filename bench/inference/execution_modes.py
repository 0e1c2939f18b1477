"""How a network is executed: ``eager``, ``compiled`` or ``graphed``. Strategies do not depend on it."""

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


def unavailable_reason(mode: str, device: torch.device, *, network: bool = True) -> str | None:
    """Return why a mode cannot be used; None if it can.

    Args:
        mode: ``compiled`` or ``graphed``.
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
    """Wrap a network for a mode; eager mode returns it unchanged."""
    return {"eager": lambda plain: plain, "compiled": Compiled, "graphed": Graphed}[mode](network)


def captured_graphs(network: Any) -> int:
    """Return the number of graphs that a wrapped network has compiled or recorded; 0 for a plain one."""
    return network.prepared if isinstance(network, (Compiled, Graphed)) else 0


def add_preparation_ms(network: Any, milliseconds: float) -> None:
    """Add the time of a batch during which a network was compiled; graphs count their own."""
    if isinstance(network, Compiled):
        network.prepare_ms += milliseconds


@dataclass(frozen=True)
class Agreement:
    """Number of tokens of two modes that were compared, and of those that differ."""

    tokens: int
    different: int


def agreement(first: Sequence[Mapping[str, Tensor]], second: Sequence[Mapping[str, Tensor]]) -> Agreement:
    """Compare the tokens (N, L) of every task of the same images; missing sequences count as different.

    Tasks after a different detection get different prompts, so one flipped token may count many times.
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


def compared(mode: Mode, samples: Mapping[Key, Sample], eager: Mapping[Key, Sample]) -> Mode:
    """Return the mode with the number of images whose tokens differ from eager mode of the same run."""
    both = [key for key in samples if key in eager]
    different = sum(samples[key].tokens != eager[key].tokens for key in both)
    return msgspec.structs.replace(mode, compared_images=len(both), different_images=different)
