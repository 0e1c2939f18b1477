"""Measuring: decoders warm up and take turns until there is nothing left, or enough; modes that fail are left out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Protocol, TypeVar

from bench.console import progress
from bench.distributed import Team
from bench.errors import UserError
from bench.run.decoder_run import Lane
from bench.run.stopping import Limits, WarmUpRule
from results.store import StoreError


@dataclass
class Measurement:
    """The measurement of a run in one process.

    Args:
        lanes: decoders in the order in which they take turns; the same in all processes of the run.
        limits: when there is enough.
        endless: whether images come round until there is enough; otherwise all are decoded once.
        team: the processes of the run.
        tell: what is said of modes that are left out.
    """

    lanes: Sequence[Lane]
    limits: Limits
    endless: bool
    team: Team
    tell: Callable[[str], None]

    def __post_init__(self) -> None:
        self._start = time.perf_counter()
        self._told: set[str] = set()

    @property
    def intact(self) -> list[Lane]:
        """The decoders that did not fail."""
        return [lane for lane in self.lanes if not lane.failed]

    def warm_up(self) -> None:
        """Compile, record, check and warm up.

        Raises:
            UserError: if no decoder is left.
        """
        rule = WarmUpRule()
        if self.limits.budget is not None:  # a tenth of it goes to the warm-up of all decoders
            rule = replace(rule, seconds=self.limits.budget / 10 / len(self.lanes))
        for lane in self.lanes:
            self._attempt(lane, partial(lane.prepare, rule))
            self._agree(lane)
        self._check()

    def take_turns(self) -> str:
        """Decode until there is nothing left, or enough; gives the reason, on which all processes agree.

        Raises:
            UserError: if no decoder is left.
        """
        ended = self._turns()
        for lane in self.lanes:
            self._agree(lane)
        self._check()
        return "budget" if "budget" in self.team.everyone(ended) else ended

    def _turns(self) -> str:
        total = sum(len(batch) for lane in self.lanes for batch in lane.batches)
        if self.endless:
            total = self.limits.images * len(self.lanes)
        with progress(", ".join(lane.name for lane in self.lanes)) as report:
            before = time.perf_counter()
            for lane in turns(self.lanes):
                if ended := self._ended():
                    return ended
                self._attempt(lane, lane.advance)
                done = sum(lane.images for lane in self.lanes)
                report(done, max(total, done))
                now = time.perf_counter()
                lane.settle((now - before) * 1000)
                before = now
        return "data"

    def _ended(self) -> str | None:
        if not self.endless and self.limits.budget is None:
            return None
        # A process of many may have no batch of a decoder at all.
        lanes, passed = [lane for lane in self.intact if lane.batches], time.perf_counter() - self._start
        least = min((lane.images for lane in lanes), default=0)
        if not least:
            return None
        if self.endless:
            return self.limits.ended(images=least, measured=min(lane.seconds for lane in lanes), passed=passed)
        if not level(lanes):  # all decoders are scored on the same images
            return None
        return replace(self.limits, images=sys.maxsize).ended(images=least, measured=0, passed=passed)

    def _attempt(self, lane: Lane, work: Callable[[], None]) -> None:
        """Give a mode up that fails: compilers and recorders raise whatever they like. Eager mode must work."""
        try:
            work()
        except (UserError, StoreError):
            raise
        except Exception as error:
            if lane.mode == "eager":
                raise
            lane.failed = f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0][:200]}"

    def _agree(self, lane: Lane) -> None:
        """What fails in one process is left out in all, and told once."""
        reasons = [reason for reason in self.team.everyone(lane.failed) if reason]
        if reasons and lane.name not in self._told:
            self._told.add(lane.name)
            lane.failed = reasons[0]
            self.tell(f"left out: {lane.name}: {lane.failed}")

    def _check(self) -> None:
        if not self.intact:
            modes = ", ".join(dict.fromkeys(lane.mode for lane in self.lanes))
            raise UserError(f"--mode {modes}: nothing is left to measure; see the lines above")


T = TypeVar("T")


def planned(samples: Sequence[T], size: int, kinds: Callable[[T], Hashable]) -> list[list[T]]:
    """Batches of consecutive images with the same kinds of annotation.

    They depend on the data alone, never on what is done already or on who does it: resumed and distributed runs
    compute the very batches of a run in one piece.

    Args:
        samples: images in order.
        size: most images of a batch.
        kinds: what the images of a batch must agree on; asked for batches of more than one only.
    """
    if size == 1:
        return [[sample] for sample in samples]
    batches = []
    for _, group in groupby(samples, key=kinds):
        together = list(group)
        batches += [together[first : first + size] for first in range(0, len(together), size)]
    return batches


class Taker(Protocol):
    """Who takes turns."""

    @property
    def images(self) -> int:
        """Images done so far."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether there is more to do."""
        ...


Taken = TypeVar("Taken", bound=Taker)


def turns(takers: Sequence[Taken]) -> Iterator[Taken]:
    """Whoever has done the fewest images, the first of those in order; until nobody waits.

    With equal batches that is strict alternation; with batches of 1 and 8, eight turns of the one to one of the other.
    One that was ahead when a run was interrupted lets the others catch up.
    """
    while waiting := [taker for taker in takers if taker.waiting]:
        yield min(waiting, key=lambda taker: taker.images)


def level(takers: Sequence[Taker]) -> bool:
    """Whether everyone has done the same number of images."""
    return len({taker.images for taker in takers}) <= 1
