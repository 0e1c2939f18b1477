"""When measuring stops: warm-up until times agree, least images and seconds, budget."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.errors import UserError

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Return the seconds of ``60s``, ``2m``, ``1h`` or ``90``.

    Raises:
        UserError: if the text is no such time, or 0.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text)
    if match is None or match[2] not in UNITS or not float(match[1]):
        raise UserError(f"--budget {text}: give a time, e.g. 60s, 5m or 1h")
    return float(match[1]) * UNITS[match[2]]


@dataclass(frozen=True)
class Limits:
    """Limits of a measurement: it ends when both minimums are reached or the budget is spent.

    Args:
        seconds: least time in measured phases, for each decoder.
        images: least images, for each decoder.
        budget: most seconds since the start, for all decoders together; None for no limit.
    """

    seconds: float = 10.0
    images: int = 50
    budget: float | None = None

    def ended(self, *, images: int, measured: float, passed: float) -> str | None:
        """Return ``budget``, ``enough``, or None to go on.

        Args:
            images: fewest that a decoder has measured.
            measured: fewest seconds that a decoder spent in measured phases.
            passed: seconds since the start.
        """
        if self.budget is not None and passed >= self.budget:
            return "budget"
        return "enough" if images >= self.images and measured >= self.seconds else None


@dataclass(frozen=True)
class WarmUpRule:
    """When a decoder is warm.

    Args:
        agree: number of times in a row that must agree.
        spread: largest ratio of two of them, less 1.
        most: largest number of repetitions.
        seconds: limit of all repetitions; the first is always made.
    """

    agree: int = 3
    spread: float = 0.1
    most: int = 15
    seconds: float = 5.0

    def stable(self, times: Sequence[float]) -> bool:
        """Return whether the last times agree."""
        last = times[-self.agree :]
        return len(last) == self.agree and max(last) <= min(last) * (1 + self.spread)


def warm_up(
    once: Callable[[], float], rule: WarmUpRule, *, now: Callable[[], float] = time.perf_counter
) -> tuple[list[float], bool]:
    """Repeat ``once``, which returns its milliseconds, until times agree or a limit is reached.

    Returns:
        The times, and whether the last ones agree.
    """
    start, times = now(), [once()]
    while not rule.stable(times) and len(times) < rule.most and now() - start < rule.seconds:
        times.append(once())
    return times, rule.stable(times)
