"""How long is measured: scenarios and their batches, warm-up until times agree, and when there is enough.

Scenarios (MLPerf's names in brackets): ``latency`` decodes images one by one, as the papers time them (single stream);
``throughput`` the largest batch that fits (offline); ``stream`` fixed batches of 1, 4, 8 and 32 (multi-stream).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.errors import UserError

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Seconds of ``60s``, ``2m``, ``1h`` or ``90``.

    Raises:
        UserError: if the text is no such time, or none at all.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text)
    if found is None or found[2] not in UNITS or not float(found[1]):
        raise UserError(f"--budget {text}: give a time, e.g. 60s, 5m or 1h")
    return float(found[1]) * UNITS[found[2]]


@dataclass(frozen=True)
class Limits:
    """When enough was measured: both minimums are reached, or the budget is spent.

    Args:
        seconds: least time in measured phases, for each decoder.
        images: least images, for each decoder.
        budget: most seconds from the start of the measurement, all decoders together; None for no limit.
    """

    seconds: float = 10.0
    images: int = 50
    budget: float | None = None

    def ended(self, *, images: int, measured: float, passed: float) -> str | None:
        """``budget``, ``enough``, or None to go on.

        Args:
            images: measured so far by the decoder that has measured least.
            measured: seconds that it spent in measured phases.
            passed: seconds since the measurement began.
        """
        if self.budget is not None and passed >= self.budget:
            return "budget"
        return "enough" if images >= self.images and measured >= self.seconds else None


@dataclass(frozen=True)
class WarmUpRule:
    """When a decoder is warm.

    Args:
        agree: how many times in a row must agree.
        spread: largest of them over smallest, less 1, at which they agree.
        most: repetitions at most.
        seconds: seconds at most; the first repetition is always made.
    """

    agree: int = 3
    spread: float = 0.1
    most: int = 15
    seconds: float = 5.0

    def stable(self, times: Sequence[float]) -> bool:
        """Whether the last times agree."""
        last = times[-self.agree :]
        return len(last) == self.agree and max(last) <= min(last) * (1 + self.spread)


def warm_up(
    once: Callable[[], float], rule: WarmUpRule, *, now: Callable[[], float] = time.perf_counter
) -> tuple[list[float], bool]:
    """Repeat ``once`` (which gives its milliseconds) until times agree or a limit is reached.

    Returns:
        The times, and whether they agreed at the end.
    """
    start, times = now(), [once()]
    while not rule.stable(times) and len(times) < rule.most and now() - start < rule.seconds:
        times.append(once())
    return times, rule.stable(times)
