"""Count the floating-point operations of a network and the bytes that it must read, without computing.

Operations are counted by torch on the meta device (on a CPU its counter gives 0 for attention). All sequences and new
positions cost the same, and the cost of a position is linear in the keys that it attends to. So two single positions
are counted, and the thousands of passes of a run follow from them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.inference.network_calls import BatchCalls, CallCounts

Work = tuple[float, float]  # floating-point operations, bytes
SPAN = 8  # keys between the two counted positions


@dataclass(frozen=True)
class ImageWork:
    """Work of one image's backbone, and of making its memory."""

    backbone: Work
    encoder: Work


class FlopCounter:
    """CallCounts the work of one network; every different shape is counted once.

    Args:
        network: the network whose shape and weights count; it is not used itself.

    Attributes:
        parameters: of the network.
    """

    def __init__(self, network: nn.Module) -> None:
        self.parameters = sum(parameter.numel() for parameter in network.parameters())
        self._network: Any = _on_meta(network)
        self._encoded = cache(self._encode)
        self._line = cache(self._count_line)
        self._row = cache(self._count_row)
        self._remembered = cache(self._memory_bytes)
        state = self._network.cache(batch=1, sequences=1, length=1)
        self._key_bytes = _bytes([*state.keys, *state.values])  # of one position, all layers together
        self._weights = _bytes(self._network.decoder.parameters())

    def image(self, height: int, width: int) -> ImageWork:
        """Return the work of encoding one image of height x width pixels."""
        return self._encoded(height, width)[1]

    def decode(self, height: int, width: int, counts: CallCounts) -> Work:
        """Return the work of decoder calls on images of height x width pixels."""
        table = self._network.embedding.table.weight
        base, slope = self._line(height, width)
        operations = base * counts.positions + slope * counts.pairs
        read = float(counts.passes * self._weights + counts.cached * self._key_bytes)
        read += counts.memories * self._remembered(height, width)
        for (columns, logits), (calls, rows) in counts.heads.items():
            operations += rows * self._row(columns, logits)
            read += calls * columns * table.shape[1] * table.element_size()
        return operations, read

    def per_image(self, calls: BatchCalls) -> dict[str, Work]:
        """Return the work of a batch per image, by phase: ``backbone``, ``encoder`` and ``decode.<task>``."""
        encoding, scale = self.image(*calls.size), 1 / calls.share
        work = {
            "backbone": (encoding.backbone[0] * calls.images * scale, encoding.backbone[1] * scale),
            "encoder": (encoding.encoder[0] * calls.images * scale, encoding.encoder[1] * scale),
        }
        for task, counts in calls.tasks.items():
            operations, read = self.decode(*calls.size, counts)
            work[f"decode.{task}"] = (operations * scale, read * scale)
        return work

    @torch.no_grad()
    def _encode(self, height: int, width: int) -> tuple[Any, ImageWork]:
        """Return the memory of one image, and the work of making it."""
        network, pixels = self._network, torch.empty(1, 3, height, width, device="meta")
        outputs: list[Any] = []
        backbone = _counted(lambda: outputs.append(network.backbone_features(pixels)))
        encoder = _counted(lambda: outputs.append(network.project_memory(network.encode(outputs[0]))))
        other = [network.backbone, network.decoder, network.embedding]
        rest = _bytes(network.parameters()) - sum(_bytes(part.parameters()) for part in other)
        work = ImageWork((backbone, float(_bytes(network.backbone.parameters()))), (encoder, float(rest)))
        return outputs[1], work

    def _memory_bytes(self, height: int, width: int) -> int:
        memory = self._encoded(height, width)[0]
        return _bytes([*memory.keys, *memory.values])

    @torch.no_grad()
    def _count_line(self, height: int, width: int) -> tuple[float, float]:
        """Return the operations of one position without keys, and per key."""
        memory = self._encoded(height, width)[0]

        def operations(keys: int) -> float:
            state = self._network.cache(batch=1, sequences=1, length=keys, static=True)  # steps gather operands once
            if keys > 1:
                self._network.decode(memory, _tokens(keys - 1), attention="causal", cache=state)
            return _counted(lambda: self._network.decode(memory, _tokens(1), attention="causal", cache=state))

        slope = (operations(1 + SPAN) - operations(1)) / SPAN
        return operations(1) - slope, slope

    @torch.no_grad()
    def _count_row(self, columns: int, logits: bool) -> float:
        """Return the operations of one hidden state or one soft embedding."""
        width = int(self._network.embedding.table.weight.shape[1])
        if not logits:
            return 2.0 * width * columns
        hidden = torch.empty(1, width, device="meta")
        return _counted(lambda: self._network.logits(hidden, slice(0, columns)))


def _tokens(count: int) -> Tensor:
    return torch.zeros(1, 1, count, dtype=torch.int64, device="meta")


def _counted(work: Callable[[], Any]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _on_meta(network: nn.Module) -> Any:
    """Return a copy on the meta device, whose tensors have shapes and no values."""
    copies: dict[int, Any] = {}
    for parameter in network.parameters():
        copies[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
    for buffer in network.buffers():
        copies[id(buffer)] = buffer.detach().to("meta")
    return copy.deepcopy(network, copies)
