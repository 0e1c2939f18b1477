"""The host while times are measured: load of other processes, memory of this one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence

import psutil

BUSY_CORES = 0.25
"""Cores in other processes' use above which times are marked: an idle desktop uses less than a tenth of one."""

BUSY_TIMES = ("user", "nice", "system", "irq", "softirq", "steal")
"""Times of psutil in which a core is not idle; ``user`` includes guests."""


class HostLoad:
    """Number of cores that other processes keep busy.

    Args:
        every: seconds between two readings; in between the last value is returned.
        busy: returns core seconds of all processes since the machine started.
        own: returns core seconds of this process and of those that share its run.
        now: returns seconds.
    """

    def __init__(
        self,
        *,
        every: float = 1.0,
        busy: Callable[[], float] | None = None,
        own: Callable[[], float] = time.process_time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every = every
        self._busy = busy or busy_core_seconds
        self._own = own
        self._now = now
        self._last = self._read()
        self._others: float | None = None

    def others(self) -> float | None:
        """Return the cores that other processes used since the last reading; None until there are two."""
        if self._now() - self._last[0] < self._every:
            return self._others
        before, self._last = self._last, self._read()
        passed, busy, own = (new - old for new, old in zip(self._last, before, strict=True))
        if passed <= 0:
            return None
        self._others = max(0.0, (busy - own) / passed)
        return self._others

    def _read(self) -> tuple[float, float, float]:
        return self._now(), self._busy(), self._own()


def busy_core_seconds() -> float:
    """Return the core seconds in which the machine was not idle, time stolen by its host included."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, name, 0.0) for name in BUSY_TIMES))


def core_seconds(pids: Sequence[int]) -> float:
    """Return the core seconds of processes of this machine; those that have ended count as 0."""
    total = 0.0
    for pid in pids:
        if pid == os.getpid():
            total += time.process_time()
            continue
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def load_average() -> float:
    """Return the mean number of runnable processes in the last minute."""
    return float(round(psutil.getloadavg()[0], 2))


def peak_rss_mib() -> float | None:
    """Return the most memory that this process ever held; None where the system has no such number."""
    try:
        import resource  # psutil knows the peak on Windows only
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
