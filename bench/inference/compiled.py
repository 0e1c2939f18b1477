"""torch.compile: the network's passes as compiled functions, with a static cache so that shapes do not change."""

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
    """Stands in for a network; what is not named here is the network's own.

    Products with the vocabulary stay as they are: the network keeps their normalized rows, which compiled code cannot.

    Args:
        network: the network, in evaluation mode.
        compiler: makes a compiled function of a function; for tests.
        count: how many graphs were compiled so far, in the whole process; for tests.
        refused: how often the compiler gave up on a shape so far, in the whole process; for tests.

    Attributes:
        prepared: graphs compiled in this network's calls.
        prepare_ms: filled by who measures: compiling happens within the first calls.
        remarks: that passes ran eagerly, if the compiler gave up on their shapes.
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
        self.extract = self._watched(compiler(network.extract))
        self.encode = self._watched(compiler(network.encode))
        self.memorize = self._watched(compiler(network.memorize))
        self._decode = self._watched(compiler(network.decode))
        self.prepared = 0
        self.prepare_ms = 0.0
        self.remarks: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The counters are the process's, and other networks of the run are compiled too: looked at around a call."""

        def called(*given: Any, **named: Any) -> Any:
            graphs, refused = self._count(), self._refused()
            found = function(*given, **named)
            self.prepared += self._count() - graphs
            if self._refused() > refused and GAVE_UP not in self.remarks:
                self.remarks.append(GAVE_UP)
            return found

        return called

    def decode(self, memory: Any, tokens: Tensor, *, attention: Any = "full", cache: Any = None, **more: Any) -> Tensor:
        """As ``Network.decode``."""
        found: Tensor = self._decode(memory, tokens, attention=attention, cache=cache, **more)
        return found

    def cache(self, *, batch: int, sequences: int, length: int, static: bool = True) -> Any:
        """A static cache."""
        del static
        return self._network.cache(batch=batch, sequences=sequences, length=length, static=True)


def _compiled_graphs() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def _refused_shapes() -> int:
    """Times that the limit of recompilations was hit; the counters' keys begin with what happened."""
    from torch._dynamo.utils import counters

    found = [counters[kind] for kind in ("unimplemented", "graph_break")]
    return sum(int(times) for kind in found for text, times in kind.items() if "recompile limit" in str(text).lower())


def unavailable_reason(device: torch.device) -> str | None:
    """Why nothing can be compiled for a device; None if it can."""
    if device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        return "torch.compile needs a C++ compiler (g++), and none is installed"
    if device.type == "cuda" and find_spec("triton") is None:
        return "torch.compile needs triton on a GPU, and it is not installed"
    return None
