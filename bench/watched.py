"""A network as a strategy sees it while it is measured: its passes are marked on the clock and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor


class Pass(NamedTuple):
    """One call of ``Network.decode``, as far as its cost depends on it.

    Args:
        sequences: B * N.
        new: positions that are computed.
        keys: positions that each of them may attend to in its sequence, cached ones included.
        images: B, whose memories are read.
    """

    sequences: int
    new: int
    keys: int
    images: int


class Head(NamedTuple):
    """Products of hidden states with rows of the vocabulary, or of probabilities with them.

    Args:
        rows: hidden states.
        columns: rows of the vocabulary.
        logits: whether hidden states became logits, and not probabilities a mixture.
    """

    rows: int
    columns: int
    logits: bool


class Watched:
    """Stands in for a network; what is not named here is the network's own.

    Args:
        network: a network, or what stands in for one (``bench/modes.py``).
        mark: told of every pass: ``prefill`` and ``step`` (causal: the first and the later ones) or ``round``.

    Attributes:
        passes: how often each pass was made.
        heads: how often each product was made.
    """

    def __init__(self, network: Any, mark: Callable[[str], None]) -> None:
        self._network = network
        self._mark = mark
        self.passes: Counter[Pass] = Counter()
        self.heads: Counter[Head] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def decode(self, memory: Any, tokens: Tensor, *, attention: Any = "full", cache: Any = None, **more: Any) -> Tensor:
        """As ``Network.decode``."""
        causal = attention == "causal" if isinstance(attention, str) else cache is not None
        self._mark("round" if not causal else "step" if self.passes else "prefill")
        batch, sequences, new = tokens.shape[:3]
        keys = new
        if cache is not None:
            keys = cache.length if cache.static else cache.position + new
        self.passes[Pass(batch * sequences, new, keys, batch)] += 1
        found: Tensor = self._network.decode(memory, tokens, attention=attention, cache=cache, **more)
        return found

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """As ``Network.logits``."""
        self.heads[Head(hidden.shape[:-1].numel(), _count(ids), True)] += 1
        found: Tensor = self._network.logits(hidden, ids)
        return found

    def mixture(self, probabilities: Tensor, ids: Tensor | slice) -> Tensor:
        """As ``Network.mixture``."""
        self.heads[Head(probabilities.shape[:-1].numel(), _count(ids), False)] += 1
        found: Tensor = self._network.mixture(probabilities, ids)
        return found


def _count(ids: Tensor | slice) -> int:
    return len(range(ids.start or 0, ids.stop)) if isinstance(ids, slice) else len(ids)
