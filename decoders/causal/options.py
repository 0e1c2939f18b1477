"""Options of the causal strategies. Nothing here needs torch, so that commands can explain and check them at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Order = Literal["ascending", "random"]
ORDERS: tuple[Order, ...] = ("ascending", "random")


def check_order(name: str, order: str) -> None:
    """Raise ValueError unless ``order`` is an order of objects."""
    if order not in ORDERS:
        raise ValueError(f"{name}: order is {order!r}; give {' or '.join(ORDERS)}")


def released_nucleus() -> dict[str, float]:
    """Return the nucleus of each task in AiT's release; depth is greedy."""
    return {"detection": 0.4, "segmentation": 0.3, "boxes": 0.4, "instances": 0.3}


def released_weights() -> dict[str, float]:
    """Return the weight of each task's loss through the detokenizer, beside the mean cross-entropy.

    The release adds 5 · 0.2 · (mask tokens) of it to the sum over all tokens. In ``instances`` a mask token weighs .2;
    in ``segmentation`` all tokens are mask tokens and weigh 1.
    """
    return {"segmentation": 1.0, "depth": 1.0, "instances": 5.0}


def check_by_task(name: str, *, dense_weight: Mapping[str, float], top_p: Mapping[str, float]) -> None:
    """Raise ValueError for a weight that is negative or infinite, or a nucleus that is no probability."""
    for task, weight in dense_weight.items():
        if not 0 <= weight < math.inf:
            raise ValueError(f"{name}: dense_weight of {task} is {weight}; give 0 (none) or more")
    for task, share in top_p.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{name}: top_p of {task} is {share}; give 0 (the likeliest token) to 1 (all)")


@dataclass(frozen=True, kw_only=True)
class AutoregressiveOptions:
    """Options of ``autoregressive``; defaults as in MAD's Table 2, which leaves ``order`` open.

    Args:
        temperature: 0 is greedy; above, legal tokens are sampled at this temperature.
        top_p: sample from the likeliest legal tokens that make up this probability (nucleus); 1 for all.
        crossing: whether the token that crosses ``top_p`` is kept (``keep``: AiT) or dropped unless it is the
            likeliest (``drop``: Pix2Seq V2).
        stop_at_end: stop once every sequence of the batch has ended; end tokens fill the rest. Off, every sequence runs
            to its full length.
        use_cache: keep keys and values of earlier tokens; off, every step recomputes them.
        order: of the objects in training: ``ascending`` by their tokens, so boxes from left to right, or ``random``
            (Pix2Seq), after which greedy decoding here repeats some objects and misses others.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    crossing: Literal["keep", "drop"] = "keep"
    stop_at_end: bool = False
    use_cache: bool = True
    order: Order = "ascending"

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"autoregressive: temperature is {self.temperature}; give 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"autoregressive: top_p is {self.top_p}; give more than 0 and at most 1")
        check_order("autoregressive", self.order)


@dataclass(frozen=True, kw_only=True)
class AitOptions:
    """Options of ``ait``. Rows of AiT's Table 9 vary ``soft_input``, ``soft_output`` and ``dense_weight``.

    Args:
        soft_input: feed on soft embeddings at dense positions.
        soft_output: let the detokenizer read dense positions as mixtures, where a format can.
        dense_weight: task to the weight of the loss through its detokenizer, in training; 0 for other tasks.
        top_p: task to the probability of its nucleus (the token that crosses it is kept); 0, as for other tasks, is
            greedy. Dense positions with soft input are not sampled.
        order: of the objects of ``detection`` in training, as for ``autoregressive``; AiT's own ``boxes`` and
            ``instances`` have the release's random order.
        use_cache: keep keys and values of earlier tokens; off, every step recomputes them.
    """

    soft_input: bool = True
    soft_output: bool = True
    dense_weight: dict[str, float] = field(default_factory=released_weights)
    top_p: dict[str, float] = field(default_factory=released_nucleus)
    order: Order = "ascending"
    use_cache: bool = True

    def __post_init__(self) -> None:
        check_order("ait", self.order)
        check_by_task("ait", dense_weight=self.dense_weight, top_p=self.top_p)


@dataclass(frozen=True, kw_only=True)
class AitParallelOptions:
    """Options of ``ait-parallel``.

    Args:
        soft_output: let the detokenizer read dense positions as mixtures, where a format can.
        dense_weight: task to the weight of the loss through its detokenizer, in training; 0 for other tasks.
        top_p: as for ``ait``, of sparse tokens. Dense ones are greedy: independent draws would not fit together.
        one_pass: take a run of dense positions in one pass; off, every position is a step, as in the released code.
        order: of the objects of ``detection`` in training, as for ``autoregressive``; AiT's own ``boxes`` and
            ``instances`` have the release's random order.
        use_cache: keep keys and values of earlier tokens; off, every pass recomputes them.
    """

    soft_output: bool = True
    dense_weight: dict[str, float] = field(default_factory=released_weights)
    top_p: dict[str, float] = field(default_factory=released_nucleus)
    one_pass: bool = True
    order: Order = "ascending"
    use_cache: bool = True

    def __post_init__(self) -> None:
        check_order("ait-parallel", self.order)
        check_by_task("ait-parallel", dense_weight=self.dense_weight, top_p=self.top_p)
