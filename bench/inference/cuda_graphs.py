"""CUDA graphs: record each pass of the network once a shape and replay it, without a launch per kernel.

A graph reads and writes fixed memory. Inputs are copied there, and results are copied out because the next replay
overwrites them. What one graph writes and another reads (features, the memory of an image) stays where it is. All
graphs share one pool for intermediate tensors, so nothing that is read later may lie in it. A cache is static
(``Cache``) and reused, so that the graph of a step finds its row through a tensor. Only the network is recorded; the
few operations of a strategy (choosing a token, masking again) are launched one by one.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch
from torch import Tensor

Replay = Callable[[], Any]
Capture = Callable[[Callable[[], None], Callable[[], None]], Replay]

MOST = 512  # graphs; further shapes run eagerly
WARM_UPS = 3


@dataclasses.dataclass(frozen=True)
class _Graph:
    """A recorded pass.

    Args:
        inputs: memory that it reads.
        replay: runs it.
        result: its output, in memory that no other graph writes.
        state: attributes of the cache that it sets.
        kept: objects that must live as long, since their address or id identifies the graph.
    """

    inputs: list[Tensor]
    replay: Replay
    result: Any
    state: dict[str, Any]
    kept: tuple[Any, ...]


class Graphed:
    """A network whose passes are CUDA graphs; all other attributes are the network's.

    It serves one batch of images at a time, and one cache of each shape.

    Args:
        network: the network, in evaluation mode.
        capture: records work, given a function that undoes it, and returns the replay; for tests.
        most: largest number of graphs.

    Attributes:
        prepared: graphs recorded so far.
        prepare_ms: milliseconds of recording, warm-ups included.
        remarks: passes that ran eagerly, and why.
    """

    def __init__(self, network: Any, *, capture: Capture | None = None, most: int = MOST) -> None:
        self._network = network
        self._capture = capture or CudaCapture()
        self._most = most
        self._graphs: dict[Hashable, _Graph] = {}
        self._caches: dict[tuple[int, int, int], Any] = {}
        self._written: set[int] = set()  # addresses of results, which other graphs read in place
        self.prepared = 0
        self.prepare_ms = 0.0
        self.remarks: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def backbone_features(self, images: Tensor, pad: Tensor | None = None) -> Any:
        """As ``Network.backbone_features``; padding is read by the host, so padded images run eagerly."""
        if pad is not None:
            self._remark("backbone ran eagerly on batches of images of different sizes")
            return self._network.backbone_features(images, pad)
        return self._run("backbone_features", self._network.backbone_features, (images,))

    def encode(self, features: Any) -> Any:
        """As ``Network.encode``."""
        return self._run("encode", self._network.encode, (features,))

    def project_memory(self, encoding: Any) -> Any:
        """As ``Network.project_memory``."""
        return self._run("project_memory", self._network.project_memory, (encoding,))

    def decode(self, memory: Any, tokens: Tensor, *, attention: Any = "full", cache: Any = None, **more: Any) -> Tensor:
        """As ``Network.decode``; passes with a special mask run eagerly."""
        if self._network.options.family == "mad":
            more.pop("opening", None)  # all tasks share their positions
        if not isinstance(attention, str) or more:
            self._remark("passes with a mask of their own ran eagerly")
            eager: Tensor = self._network.decode(memory, tokens, attention=attention, cache=cache, **more)
            return eager

        def decode(memory: Any, tokens: Tensor) -> Any:
            return self._network.decode(memory, tokens, attention=attention, cache=cache)

        hidden: Tensor = self._run(f"decode {attention}", decode, (memory, tokens), cache=cache)
        return hidden.clone()

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """As ``Network.logits``."""
        rows: Hashable = (ids.start, ids.stop) if isinstance(ids, slice) else id(ids)
        logits: Tensor = self._run(
            f"logits {rows}", lambda states: self._network.logits(states, ids), (hidden,), kept=ids
        )
        return logits.clone()

    def cache(self, *, batch: int, sequences: int, length: int, static: bool = True) -> Any:
        """Return an empty static cache; the same one for the same shape."""
        del static
        key = (batch, sequences, length)
        if key not in self._caches:
            self._caches[key] = self._network.cache(batch=batch, sequences=sequences, length=length, static=True)
        self._caches[key].reset()
        return self._caches[key]

    def _run(
        self, name: str, work: Callable[..., Any], inputs: tuple[Any, ...], *, cache: Any = None, kept: Any = None
    ) -> Any:
        key = (name, tuple(self._kind(part) for part in tensors(inputs)), _state_of(cache))
        if key not in self._graphs:
            if len(self._graphs) >= self._most:
                self._remark(f"shapes behind the first {self._most} ran eagerly")
                return work(*inputs)
            self._graphs[key] = self._record(work, inputs, cache, kept)
        graph = self._graphs[key]
        for fixed, part in zip(graph.inputs, tensors(inputs), strict=True):
            if fixed.data_ptr() != part.data_ptr():
                fixed.copy_(part)
        graph.replay()
        if cache is not None:
            vars(cache).update(graph.state)
        return graph.result

    def _record(self, work: Callable[..., Any], inputs: tuple[Any, ...], cache: Any, kept: Any) -> _Graph:
        start = time.perf_counter()
        buffers = [part if part.data_ptr() in self._written else part.clone() for part in tensors(inputs)]
        fixed = rebuilt(inputs, iter(buffers))
        before = {} if cache is None else dict(vars(cache))
        filled = None if cache is None else cache.filled.clone()

        def rewind() -> None:
            if cache is not None:
                vars(cache).update(before)
                cache.filled.copy_(filled)

        def once() -> tuple[Any, dict[str, Any]]:
            output = work(*fixed)
            after = {} if cache is None else vars(cache)
            return output, {n: v for n, v in after.items() if isinstance(v, Tensor) and v is not before.get(n)}

        example = once()
        rewind()
        result, state = rebuilt(example, iter([torch.empty_like(part) for part in tensors(example)]))

        def write() -> None:
            for target, part in zip(tensors((result, state)), tensors(once()), strict=True):
                target.copy_(part)

        replay = self._capture(write, rewind)
        rewind()
        self._written.update(part.data_ptr() for part in tensors(result))
        self.prepared += 1
        self.prepare_ms += (time.perf_counter() - start) * 1000
        return _Graph(buffers, replay, result, state, (kept, fixed))

    def _kind(self, part: Tensor) -> Hashable:
        """Return what a graph is recorded for: shape, type, and the address if another graph wrote it."""
        return tuple(part.shape), part.dtype, part.data_ptr() if part.data_ptr() in self._written else None

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)


class CudaCapture:
    """Records work as a CUDA graph, after warm-ups on a side stream; all graphs share one memory pool."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, work: Callable[[], None], rewind: Callable[[], None]) -> Replay:
        """Record ``work``; ``rewind`` undoes its side effects."""
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        # Weights that autocast caches would lie in the pool.
        with torch.autocast("cuda", torch.get_autocast_dtype("cuda"), torch.is_autocast_enabled("cuda"), False):
            side.wait_stream(current)
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    work()
                    rewind()
            current.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                work()
        torch.cuda.synchronize()
        return graph.replay


def tensors(value: Any) -> list[Tensor]:
    """Return all tensors in nested tuples, lists, dicts and dataclasses, in order."""
    if isinstance(value, Tensor):
        return [value]
    if dataclasses.is_dataclass(value):
        return tensors([getattr(value, part.name) for part in dataclasses.fields(value)])
    if isinstance(value, dict):
        return tensors(list(value.values()))
    return [tensor for part in value for tensor in tensors(part)] if isinstance(value, (tuple, list)) else []


def rebuilt(value: Any, parts: Iterator[Tensor]) -> Any:
    """Return the same nest with other tensors, taken in order from ``parts``."""
    if isinstance(value, Tensor):
        return next(parts)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {part.name: rebuilt(getattr(value, part.name), parts) for part in dataclasses.fields(value)}
        return type(value)(**fields)
    if isinstance(value, dict):
        return {name: rebuilt(part, parts) for name, part in value.items()}
    return type(value)(rebuilt(part, parts) for part in value) if isinstance(value, (tuple, list)) else value


def _state_of(cache: Any) -> Hashable:
    """Return what a pass with a cache depends on beside its inputs: the addresses of the cache's tensors."""
    if cache is None:
        return None
    return id(cache), tuple((n, v.data_ptr()) for n, v in vars(cache).items() if isinstance(v, Tensor))
