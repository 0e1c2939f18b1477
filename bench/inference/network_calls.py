"""A network as a strategy sees it while it is measured: its passes are marked on the clock and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class CallCounts:
    """What was asked of a network, summed as far as the cost depends on it.

    Args:
        passes: calls of ``Network.decode``.
        positions: new positions of all sequences.
        pairs: those times the keys that each of them may attend to in its sequence, cached ones included.
        cached: keys of all sequences.
        memories: images whose memory was read.
        heads: (rows of the vocabulary, whether hidden states became logits and not probabilities a mixture) to calls
            and hidden states.
    """

    passes: int = 0
    positions: int = 0
    pairs: int = 0
    cached: int = 0
    memories: int = 0
    heads: dict[tuple[int, bool], tuple[int, int]] = field(default_factory=dict)


class CountedNetwork:
    """Stands in for a network; what is not named here is the network's own.

    Args:
        network: a network, or what stands in for one (``bench/inference/execution_modes.py``).
        mark: told of every pass: ``prefill`` and ``step`` (causal: the first and the later ones) or ``round``.

    Attributes:
        counts: what was asked so far.
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
        found: Tensor = self._network.decode(memory, tokens, attention=attention, cache=cache, **more)
        return found

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """As ``Network.logits``."""
        self._head(hidden, ids, logits=True)
        found: Tensor = self._network.logits(hidden, ids)
        return found

    def mixture(self, probabilities: Tensor, ids: Tensor | slice) -> Tensor:
        """As ``Network.mixture``."""
        self._head(probabilities, ids, logits=False)
        found: Tensor = self._network.mixture(probabilities, ids)
        return found

    def _head(self, given: Tensor, ids: Tensor | slice, *, logits: bool) -> None:
        columns = len(range(ids.start or 0, ids.stop)) if isinstance(ids, slice) else len(ids)
        calls, rows = self.counts.heads.get((columns, logits), (0, 0))
        self.counts.heads[columns, logits] = (calls + 1, rows + given.shape[:-1].numel())


@dataclass
class BatchCalls:
    """What a batch asked of the network, as far as its cost depends on it.

    Args:
        size: height and width of the images, padding included.
        images: B, windows of an image counted each.
        share: images that they are shared among.
        tasks: task to what its decoding asked for.
    """

    size: tuple[int, int]
    images: int
    share: int
    tasks: dict[str, CallCounts] = field(default_factory=dict)
