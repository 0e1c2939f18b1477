"""The host while times are measured: what other processes take of it, its load and its memory."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

BUSY_CORES = 0.25
"""Cores in other processes' use above which times are marked: an idle desktop uses less than a tenth of one."""


class HostLoad:
    """How many cores other processes keep busy.

    Args:
        every: seconds between two looks; in between the last answer holds.
        busy: core seconds that all processes took since the machine started; None where nothing tells.
        own: core seconds that this process took, and those that share its run.
        now: seconds.
    """

    def __init__(
        self,
        *,
        every: float = 1.0,
        busy: Callable[[], float | None] | None = None,
        own: Callable[[], float] = time.process_time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every = every
        self._busy = busy or busy_core_seconds
        self._own = own
        self._now = now
        self._last = self._look()
        self._found: float | None = None

    def others(self) -> float | None:
        """Cores that other processes used since the look before; None until there are two looks."""
        if self._now() - self._last[0] < self._every:
            return self._found
        before, self._last = self._last, self._look()
        passed = self._last[0] - before[0]
        if before[1] is None or self._last[1] is None or passed <= 0:
            return None
        self._found = max(0.0, (self._last[1] - before[1] - (self._last[2] - before[2])) / passed)
        return self._found

    def _look(self) -> tuple[float, float | None, float]:
        return self._now(), self._busy(), self._own()


def busy_core_seconds(path: Path = Path("/proc/stat")) -> float | None:
    """Core seconds in which the machine was not idle, time stolen by its host included; None outside Linux."""
    try:
        with path.open() as lines:
            words = lines.readline().split()
        user, nice, system, _idle, _wait, interrupts, soft, stolen = map(int, words[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def core_seconds(pids: Sequence[int], processes: Path = Path("/proc")) -> float:
    """Core seconds that processes of this machine took; of this one alone where the system does not tell."""
    total = 0.0
    for pid in pids:
        if pid == os.getpid():
            total += time.process_time()
            continue
        try:
            words = (processes / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended, or there is no such file system
        total += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return total


def load_average() -> float | None:
    """Runnable processes in the last minute, mean; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def peak_rss_mib() -> float | None:
    """Most memory that this process ever held; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
