"""Execution modes that need neither a GPU nor a compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.inference import compiled
from bench.inference import cuda_graphs as graphs


def record_nothing(work: Callable[[], None], rewind: Callable[[], None]) -> Callable[[], None]:
    """A recorder whose replay is the work itself."""
    work()
    rewind()
    return work


class Graphed(graphs.Graphed):
    """Graphs whose replay is the work itself, as there is no GPU."""

    def __init__(self, network: Any) -> None:
        super().__init__(network, capture=record_nothing)


class Compiled(compiled.Compiled):
    """A compiler that changes nothing and needs two calls for it."""

    def __init__(self, network: Any) -> None:
        self.calls = 0

        def compiler(function: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*given: Any, **named: Any) -> Any:
                self.calls += 1
                return function(*given, **named)

            return counted

        super().__init__(network, compiler=compiler, count=lambda: min(self.calls, 2))
