"""The clock on the host and with events, which are played by a device whose time is under the test's control."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from bench.inference.clock import Clock, EventStopwatch, WallStopwatch


@dataclass
class Stream:
    """A device that reaches an event as soon as what was put into the stream before is done."""

    time: float = 0.0
    waits: int = 0
    made: int = 0
    done: bool = False

    def work(self, milliseconds: float) -> None:
        self.time += milliseconds
        self.done = False

    def synchronize(self) -> None:
        self.waits += 1
        self.done = True


@dataclass
class Event:
    stream: Stream
    at: float = field(default=float("nan"))

    def record(self) -> None:
        self.at = self.stream.time

    def elapsed_time(self, other: Event) -> float:
        assert self.stream.done, "an event was read before the device was waited for"
        return other.at - self.at


def events(stream: Stream) -> EventStopwatch:
    def make() -> Event:
        stream.made += 1
        return Event(stream)

    return EventStopwatch(torch.device("cuda"), event=make, synchronize=stream.synchronize)


def one_batch(clock: Clock, stream: Stream) -> None:
    with clock.phase("encoder"):
        stream.work(8)
    with clock.phase("decode.captioning"):
        stream.work(2)
        clock.mark("prefill")
        stream.work(10)
        for _ in range(3):
            clock.mark("step")
            stream.work(4)
    with clock.phase("interpret.captioning"):
        stream.work(1)


def test_phases_and_passes_are_shared_by_the_images_of_a_batch() -> None:
    stream = Stream()
    clock = Clock(events(stream), share=2)
    one_batch(clock, stream)
    times = clock.times()
    assert times.wall == {"encoder": 4, "decode.captioning": 12, "interpret.captioning": 0.5, "total": 16.5}
    assert times.passes == {"decode.captioning.prefill": (1, 5), "decode.captioning.step": (3, 6)}
    assert times.process.keys() == times.wall.keys()


def test_a_batch_waits_for_the_device_once_and_events_are_used_again() -> None:
    stream = Stream()
    watch = events(stream)
    for _ in range(3):
        clock = Clock(watch, share=1)
        one_batch(clock, stream)
        clock.times()
    assert stream.waits == 3
    assert stream.made == 2 + 2 * 3 + 4 + 1, (
        "two for the whole and each phase, one where a pass begins, one where the last ends"
    )


def test_a_phase_may_come_again() -> None:
    stream = Stream()
    clock = Clock(events(stream), share=1)
    for milliseconds in (3, 4):
        with clock.phase("preprocess"):
            stream.work(milliseconds)
    assert clock.times().wall == {"preprocess": 7, "total": 7}


def test_a_pass_ends_with_its_phase() -> None:
    stream = Stream()
    clock = Clock(events(stream), share=1)
    with clock.phase("decode.depth"):
        clock.mark("round")
        stream.work(5)
    stream.work(100)
    with clock.phase("interpret.depth"):
        stream.work(1)
    assert clock.times().passes == {"decode.depth.round": (1, 5)}


def test_time_between_phases_is_in_the_total_only() -> None:
    stream = Stream()
    clock = Clock(events(stream), share=1)
    with clock.phase("preprocess"):
        stream.work(3)
    stream.work(7)
    assert clock.times().wall == {"preprocess": 3, "total": 10}


def test_the_host_s_clock_runs_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter((0.5, 1.0, 1.25, 2.0))
    monkeypatch.setattr("bench.inference.clock.time.perf_counter", lambda: next(seconds))
    clock = Clock(WallStopwatch(), share=1)
    with clock.phase("preprocess"):
        pass
    assert clock.times().wall == {"preprocess": 250, "total": 1500}
