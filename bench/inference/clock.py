"""Clocks of one batch: milliseconds per phase, and of the network's passes inside a phase.

On a CPU wall-clock and process time are read where a phase begins and ends. On a GPU an event is put into the stream
there and nothing waits: the device is waited for once, when the batch is done, and only then are the times read.
Strategies know nothing of this: their network marks its passes (``bench/inference/network_calls.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch


@dataclass
class Times:
    """What one batch took, per image.

    Args:
        wall: phase to milliseconds; ``total`` is their sum.
        process: phase to milliseconds of CPU time of all threads; ``total`` is their sum.
        passes: ``<phase>.<kind>`` to how many passes the batch took, and their milliseconds per image.
    """

    wall: dict[str, float] = field(default_factory=dict)
    process: dict[str, float] = field(default_factory=dict)
    passes: dict[str, tuple[int, float]] = field(default_factory=dict)


class Stopwatch(Protocol):
    """Points in time on some device."""

    def now(self) -> Any:
        """A point in time; what computes there is not waited for."""
        ...

    def finish(self) -> None:
        """Wait until every point has passed."""
        ...

    def between(self, first: Any, second: Any) -> float:
        """Milliseconds from one point to another, once ``finish`` was called."""
        ...


class WallStopwatch:
    """Wall-clock time of the host."""

    def now(self) -> float:
        """Seconds."""
        return time.perf_counter()

    def finish(self) -> None:
        """Nothing runs behind the host's back."""

    def between(self, first: float, second: float) -> float:
        """Milliseconds."""
        return (second - first) * 1000


class EventStopwatch:
    """CUDA events in the current stream. Where the stream is idle, an event marks the time of the host.

    Args:
        device: the GPU.
        event: makes an event; for tests.
        synchronize: waits for the device; for tests.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        event: Callable[[], Any] | None = None,
        synchronize: Callable[[], None] | None = None,
    ) -> None:
        self._make = event or (lambda: torch.cuda.Event(enable_timing=True))  # type: ignore[no-untyped-call]
        self._synchronize = synchronize or (lambda: torch.cuda.synchronize(device))
        self._free: list[Any] = []
        self._used: list[Any] = []

    def now(self) -> Any:
        """A recorded event; events of earlier batches are used again."""
        event = self._free.pop() if self._free else self._make()
        event.record()
        self._used.append(event)
        return event

    def finish(self) -> None:
        """Wait for the device, once; the events may be used again from the next ``now`` on."""
        self._synchronize()
        self._free, self._used = self._free + self._used, []

    def between(self, first: Any, second: Any) -> float:
        """Milliseconds."""
        return float(first.elapsed_time(second))


def stopwatch(device: torch.device) -> Stopwatch:
    """The stopwatch of a device."""
    return EventStopwatch(device) if device.type == "cuda" else WallStopwatch()


class Clock:
    """Sums time per phase over one batch.

    Args:
        watch: points in time on the device that computes.
        share: images of the batch; times are shared equally among them.
    """

    def __init__(self, watch: Stopwatch, *, share: int) -> None:
        self._watch = watch
        self._share = share
        self._phases: list[tuple[str, Any, Any, float]] = []  # name, first point, last point, seconds of CPU time
        self._passes: list[tuple[str, Any, Any]] = []
        self._name = ""
        self._open: tuple[str, Any] | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block under ``name``; phases follow each other and never nest.

        CPU time is read inside the wall-clock time: reading it asks the system, which on a busy machine takes the
        opportunity to let others run, and that wait must not fall between two phases.
        """
        start, process = self._watch.now(), time.process_time()
        self._name = name
        yield
        self._close()
        spent = time.process_time() - process
        self._phases.append((name, start, self._watch.now(), spent))

    def mark(self, kind: str) -> None:
        """A pass of the network begins; it ends where the next begins, or the phase ends."""
        closed = self._close()
        point = self._watch.now() if closed is None else closed
        self._open = (f"{self._name}.{kind}", point)

    def _close(self) -> Any:
        if self._open is None:
            return None
        point = self._watch.now()
        self._passes.append((*self._open, point))
        self._open = None
        return point

    def times(self) -> Times:
        """Wait for the device and read all times."""
        self._watch.finish()
        found, scale = Times(), 1 / self._share
        for name, first, last, seconds in self._phases:
            found.wall[name] = found.wall.get(name, 0.0) + self._watch.between(first, last) * scale
            found.process[name] = found.process.get(name, 0.0) + seconds * 1000 * scale
        for name, first, last in self._passes:
            count, spent = found.passes.get(name, (0, 0.0))
            found.passes[name] = (count + 1, spent + self._watch.between(first, last) * scale)
        found.wall["total"], found.process["total"] = sum(found.wall.values()), sum(found.process.values())
        return found
