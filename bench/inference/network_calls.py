"""Wrap a network to time and count its forward passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class CallCounts:
    """Calls of a network's decoder, summed as far as the cost depends on them.

    Args:
        passes: calls of ``Network.decode``.
        positions: new positions of all sequences.
        pairs: new positions times the keys that each may attend to, cached ones included.
        cached: keys of all sequences.
        memories: number of image memories read.
        heads: (vocabulary rows, whether logits were computed rather than soft embeddings) to calls and states.
    """

    passes: int = 0
    positions: int = 0
    pairs: int = 0
    cached: int = 0
    memories: int = 0
    heads: dict[tuple[int, bool], tuple[int, int]] = field(default_factory=dict)


class CountedNetwork:
    """A network whose decoder calls are counted and timed; all other attributes are the network's.

    Args:
        network: a network, also a wrapped one (``bench/inference/execution_modes.py``).
        mark: called at every pass with ``prefill``, ``step`` (causal: the first and the later ones) or ``round``.

    Attributes:
        counts: calls so far.
    """

    def __init__(self, network: Any, mark: Callable[[str], None]) -> None:
        self._network = network
        self._mark = mark
        self.counts = CallCounts()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def decode(self, memory: Any, tokens: Tensor, *, attention: Any = "full", cache: Any = None, **more: Any) -> Tensor:
        """As ``Network.decode``."""
        counts = self.counts
        causal = attention == "causal" if isinstance(attention, str) else cache is not None
        self._mark("round" if not causal else "step" if counts.passes else "prefill")
        batch, sequences, new = tokens.shape[:3]
        keys = new
        if cache is not None:
            keys = cache.length if cache.static else cache.position + new
        counts.passes += 1
        counts.positions += batch * sequences * new
        counts.pairs += batch * sequences * new * keys
        counts.cached += batch * sequences * keys
        counts.memories += batch
        hidden_states: Tensor = self._network.decode(memory, tokens, attention=attention, cache=cache, **more)
        return hidden_states

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """As ``Network.logits``."""
        self._head(hidden, ids, logits=True)
        logits: Tensor = self._network.logits(hidden, ids)
        return logits

    def soft_embedding(self, probabilities: Tensor, ids: Tensor | slice) -> Tensor:
        """As ``Network.soft_embedding``."""
        self._head(probabilities, ids, logits=False)
        embedding: Tensor = self._network.soft_embedding(probabilities, ids)
        return embedding

    def _head(self, states: Tensor, ids: Tensor | slice, *, logits: bool) -> None:
        columns = len(range(ids.start or 0, ids.stop)) if isinstance(ids, slice) else len(ids)
        calls, rows = self.counts.heads.get((columns, logits), (0, 0))
        self.counts.heads[columns, logits] = (calls + 1, rows + states.shape[:-1].numel())


@dataclass
class BatchCalls:
    """Network calls of a batch, as far as its cost depends on them.

    Args:
        size: height and width of the images, padding included.
        images: B, each window of an image counted.
        share: number of images that share the cost.
        tasks: task to its decoder calls.
    """

    size: tuple[int, int]
    images: int
    share: int
    tasks: dict[str, CallCounts] = field(default_factory=dict)
