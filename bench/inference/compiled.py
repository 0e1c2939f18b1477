"""Compile a network's passes with ``torch.compile``, with a static cache so that shapes do not change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

Compiler = Callable[..., Any]
GAVE_UP = "some shapes ran eagerly, as torch.compile had reached its limit of recompilations"


class Compiled:
    """A network with compiled passes; all other attributes are the network's.

    Products with the vocabulary stay eager: the network caches their normalized rows, which compiled code cannot.

    Args:
        network: the network, in evaluation mode.
        compiler: compiles a function; for tests.
        count: returns the number of graphs compiled by this process so far; for tests.
        refused: returns how often the compiler gave up on a shape in this process so far; for tests.

    Attributes:
        prepared: graphs compiled in this network's calls.
        prepare_ms: set from outside (``add_preparation_ms``), as compiling happens within the first calls.
        remarks: whether the compiler gave up on some shapes, so that passes ran eagerly.
    """

    def __init__(
        self,
        network: Any,
        *,
        compiler: Compiler = torch.compile,
        count: Callable[[], int] | None = None,
        refused: Callable[[], int] | None = None,
    ) -> None:
        self._network = network
        self._count = count or _compiled_graphs
        self._refused = refused or _refused_shapes
        self.backbone_features = self._counted(compiler(network.backbone_features))
        self.encode = self._counted(compiler(network.encode))
        self.project_memory = self._counted(compiler(network.project_memory))
        self._decode = self._counted(compiler(network.decode))
        self.prepared = 0
        self.prepare_ms = 0.0
        self.remarks: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Count around each call: the counters are global, and other networks of the run are compiled too."""

        def call(*arguments: Any, **options: Any) -> Any:
            graphs, refused = self._count(), self._refused()
            result = function(*arguments, **options)
            self.prepared += self._count() - graphs
            if self._refused() > refused and GAVE_UP not in self.remarks:
                self.remarks.append(GAVE_UP)
            return result

        return call

    def decode(self, memory: Any, tokens: Tensor, *, attention: Any = "full", cache: Any = None, **more: Any) -> Tensor:
        """As ``Network.decode``."""
        hidden: Tensor = self._decode(memory, tokens, attention=attention, cache=cache, **more)
        return hidden

    def cache(self, *, batch: int, sequences: int, length: int, static: bool = True) -> Any:
        """Return a static cache."""
        del static
        return self._network.cache(batch=batch, sequences=sequences, length=length, static=True)


def _compiled_graphs() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def _refused_shapes() -> int:
    """Return how often the limit of recompilations was hit; the text of a counter says so."""
    from torch._dynamo.utils import counters

    events = [counters[kind] for kind in ("unimplemented", "graph_break")]
    return sum(int(times) for kind in events for text, times in kind.items() if "recompile limit" in str(text).lower())


def unavailable_reason(device: torch.device) -> str | None:
    """Return why ``torch.compile`` cannot be used on a device; None if it can."""
    if device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        return "torch.compile needs a C++ compiler (g++), and none is installed"
    if device.type == "cuda" and find_spec("triton") is None:
        return "torch.compile needs triton on a GPU, and it is not installed"
    return None
