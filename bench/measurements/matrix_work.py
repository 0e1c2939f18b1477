"""Where the time of a phase goes: its matrix products alone, at their shapes, and the floor that the machine sets."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

ATEN = torch.ops.aten
FUSED = ATEN._scaled_dot_product_flash_attention_for_cpu
PRODUCTS = {ATEN.mm, ATEN.addmm, ATEN.bmm, ATEN.baddbmm, ATEN.convolution, FUSED}
REPEATS, LEAST_SECONDS = 5, 2e-4  # measurements of a product, each of as many calls as take that long


class TensorSpec(NamedTuple):
    """Shape, strides and type of a tensor."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    def tensor(self) -> Tensor:
        """Return such a tensor; all elements are alike."""
        size = 1 + sum((side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True))
        return torch.full((size,), 0.5, dtype=self.dtype).as_strided(self.shape, self.strides)


class ProductCalls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the matrix products of a block by their arguments.

    Attributes:
        counts: (function, arguments, named arguments) to calls.
        cost: the same to operations and bytes of one call.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[tuple[Any, Any, Any]] = Counter()
        self.cost: dict[tuple[Any, Any, Any], tuple[int, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.overloadpacket in PRODUCTS:
            key = (func, _spec(args), _spec(tuple(sorted(kwargs.items()))))
            self.counts[key] += 1
            if key not in self.cost:
                self.cost[key] = (_operations(func.overloadpacket, args, kwargs, result), _bytes(args))
        return result


@dataclass(frozen=True)
class MatrixWork:
    """Matrix products of one phase.

    Args:
        seconds: CPU seconds that they take alone, each shape at its best.
        operations: floating-point operations.
        bytes: of their operands, those that are read again counted again.
    """

    seconds: float
    operations: float
    bytes: float


@dataclass(frozen=True)
class MachineRates:
    """Best rates of the machine in this run: operations per second of products, bytes per second that one reads."""

    operations: float
    bytes: float

    def floor(self, work: MatrixWork) -> float:
        """Return the seconds that the products need at least: the larger of arithmetic and reading."""
        return max(work.operations / self.operations, work.bytes / self.bytes)


def cpu_seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of some work and the processor seconds that it took."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


@torch.no_grad()
def matrix_work(work: Callable[[], Any]) -> MatrixWork:
    """Run a phase once and measure its matrix products alone."""
    with ProductCalls() as calls:
        work()
    seconds = sum(count * _alone(key) for key, count in calls.counts.items())
    operations, read = (sum(calls.counts[key] * cost[part] for key, cost in calls.cost.items()) for part in (0, 1))
    return MatrixWork(seconds, operations, read)


@torch.no_grad()
def machine_rates(works: list[MatrixWork], *, side: int, megabytes: float, dtype: torch.dtype) -> MachineRates:
    """Return the machine's rates in this run.

    Args:
        works: products that were measured; none may exceed the rate.
        side: of the square matrices that are multiplied.
        megabytes: read at once, as many as a decoder's weights.
        dtype: of the matrices.
    """
    square = torch.full((side, side), 0.5, dtype=dtype)
    rate = 2 * side**3 / _fastest(lambda: torch.mm(square, square))
    weights = torch.full((max(1, round(megabytes * 1e6 / square.element_size() / side)), side), 0.5, dtype=dtype)
    bandwidth = weights.numel() * weights.element_size() / _fastest(lambda: torch.mv(weights, square[0]))
    reached = [work.operations / work.seconds for work in works if work.seconds]
    return MachineRates(max([rate, *reached]), bandwidth)


def _alone(key: tuple[Any, Any, Any]) -> float:
    func, args, kwargs = key
    arguments, named = _built(args), dict(_built(kwargs))
    return _fastest(lambda: func(*arguments, **named))


def _fastest(work: Callable[[], Any]) -> float:
    """Return the processor seconds of a call, the best of several measurements."""
    calls = max(1, round(LEAST_SECONDS / max(cpu_seconds(work)[1], 1e-7)))

    def several() -> None:
        for _ in range(calls):
            work()

    return min(cpu_seconds(several)[1] for _ in range(REPEATS)) / calls


def _operations(packet: Any, args: Any, kwargs: Any, result: Any) -> int:
    if packet is FUSED:
        return int(sdpa_flop_count(*(tuple(part.shape) for part in args[:3])))  # type: ignore[no-untyped-call]
    return int(flop_registry[packet](*args, **kwargs, out_val=result))


def _bytes(args: Any) -> int:
    return sum(part.numel() * part.element_size() for part in args if isinstance(part, Tensor))


def _spec(value: Any) -> Any:
    if isinstance(value, Tensor):
        return TensorSpec(tuple(value.shape), value.stride(), value.dtype)
    return tuple(map(_spec, value)) if isinstance(value, (tuple, list)) else value


def _built(value: Any) -> Any:
    if isinstance(value, TensorSpec):
        return value.tensor()
    return tuple(map(_built, value)) if isinstance(value, tuple) else value
