"""Clock of one batch: milliseconds of each phase, and of the network's passes inside a phase.

On a CPU, wall-clock and process time are read at the ends of a phase. On a GPU, events are put into the stream there;
the device is synchronized once, after the batch, and times are read then. Strategies know nothing of this: their
network marks its passes (``bench/inference/network_calls.py``).
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
    """Times of one batch, per image.

    Args:
        wall: phase to milliseconds; ``total`` is measured from the clock's start to its end, not their sum.
        process: phase to milliseconds of CPU time of all threads; ``total`` likewise.
        passes: ``<phase>.<kind>`` to the number of passes of the batch, and their milliseconds per image.
    """

    wall: dict[str, float] = field(default_factory=dict)
    process: dict[str, float] = field(default_factory=dict)
    passes: dict[str, tuple[int, float]] = field(default_factory=dict)


class Stopwatch(Protocol):
    """Points in time on some device."""

    def now(self) -> Any:
        """Return a point in time, without waiting for the device."""
        ...

    def finish(self) -> None:
        """Wait until every point has passed."""
        ...

    def between(self, first: Any, second: Any) -> float:
        """Return the milliseconds between two points, after ``finish``."""
        ...


class WallStopwatch:
    """Wall-clock time of the host."""

    def now(self) -> float:
        return time.perf_counter()

    def finish(self) -> None:
        """Do nothing: on a CPU every point has passed."""

    def between(self, first: float, second: float) -> float:
        return (second - first) * 1000


class EventStopwatch:
    """CUDA events in the current stream; in an idle stream they mark the time of the host.

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
        """Return a recorded event; events of earlier batches are reused."""
        event = self._free.pop() if self._free else self._make()
        event.record()
        self._used.append(event)
        return event

    def finish(self) -> None:
        """Synchronize with the device; from the next ``now`` on the events are reused."""
        self._synchronize()
        self._free, self._used = self._free + self._used, []

    def between(self, first: Any, second: Any) -> float:
        return float(first.elapsed_time(second))


def stopwatch(device: torch.device) -> Stopwatch:
    """Return the stopwatch of a device."""
    return EventStopwatch(device) if device.type == "cuda" else WallStopwatch()


class Clock:
    """Sums time per phase over one batch, and measures the whole, so that time outside the phases shows.

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
        self._start = (watch.now(), time.process_time())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block under ``name``; phases follow each other and never nest.

        CPU time is read within the wall-clock time: reading it is a system call, during which a busy machine may run
        other processes, and that wait must not fall between two phases.
        """
        start, process = self._watch.now(), time.process_time()
        self._name = name
        yield
        self._close()
        spent = time.process_time() - process
        self._phases.append((name, start, self._watch.now(), spent))

    def mark(self, kind: str) -> None:
        """Begin a pass of the network; it ends where the next begins or the phase ends."""
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
        """End the measurement, synchronize with the device and return all times."""
        end, process = self._watch.now(), time.process_time()
        self._watch.finish()
        times, scale = Times(), 1 / self._share
        for name, first, last, seconds in self._phases:
            times.wall[name] = times.wall.get(name, 0.0) + self._watch.between(first, last) * scale
            times.process[name] = times.process.get(name, 0.0) + seconds * 1000 * scale
        for name, first, last in self._passes:
            count, spent = times.passes.get(name, (0, 0.0))
            times.passes[name] = (count + 1, spent + self._watch.between(first, last) * scale)
        times.wall["total"] = self._watch.between(self._start[0], end) * scale
        times.process["total"] = (process - self._start[1]) * 1000 * scale
        return times
