"""Warm decoders up, then alternate them image by image until all images, or enough of them, are decoded."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from bench.console import progress
from bench.distributed import ProcessGroup
from bench.errors import UserError
from bench.run.stopping import Limits, WarmUpRule
from results.store import StoreError


class Turn(Protocol):
    """A decoder that takes turns with others."""

    @property
    def images(self) -> int:
        """Number of images decoded so far."""
        ...

    @property
    def unfinished(self) -> bool:
        """Whether there is more to decode."""
        ...


class Measurable(Turn, Protocol):
    """A decoder while it is measured: ``bench/run/decoder_run.py``."""

    name: str
    mode: str
    batches: Sequence[Sequence[object]]
    seconds: float
    failed: str | None

    def prepare(self, rule: WarmUpRule) -> None:
        """Compile or record, and warm up."""

    def step(self) -> None:
        """Decode the next batch."""

    def end_turn(self, milliseconds: float) -> None:
        """End a turn of this length."""


AnyTurn = TypeVar("AnyTurn", bound=Turn)


def interleave(decoders: Sequence[AnyTurn]) -> Iterator[AnyTurn]:
    """Yield the decoder with the fewest processed images (ties: in order) until all are finished.

    With equal batches decoders alternate strictly; with batches of 1 and 8, eight turns of one meet one of the other.
    Decoders that were behind when a run was interrupted catch up first.
    """
    while unfinished := [decoder for decoder in decoders if decoder.unfinished]:
        yield min(unfinished, key=lambda decoder: decoder.images)


def in_step(decoders: Sequence[Turn]) -> bool:
    """Return whether all decoders have decoded the same number of images."""
    return len({decoder.images for decoder in decoders}) <= 1


@dataclass
class Interleaving:
    """The measurement of all decoders of a run in one process.

    Args:
        decoders: in the order of their turns; the same in all processes.
        limits: when there is enough.
        endless: repeat the images until there is enough; otherwise decode each once.
        group: processes of the run.
        log: called with a message for each mode that is left out.
    """

    decoders: Sequence[Measurable]
    limits: Limits
    endless: bool
    group: ProcessGroup
    log: Callable[[str], None]

    def __post_init__(self) -> None:
        self._start = time.perf_counter()
        self._reported: set[str] = set()

    @property
    def intact(self) -> list[Measurable]:
        """Decoders that did not fail."""
        return [decoder for decoder in self.decoders if not decoder.failed]

    def warm_up(self) -> None:
        """Compile, record, compare and warm up every decoder.

        Raises:
            UserError: if no decoder is left.
        """
        rule = WarmUpRule()
        if self.limits.budget is not None:  # a tenth of it goes to the warm-up of all decoders
            rule = replace(rule, seconds=self.limits.budget / 10 / len(self.decoders))
        for decoder in self.decoders:
            self._attempt(decoder, partial(decoder.prepare, rule))
            self._share_failure(decoder)
        self._require_intact()

    def run(self) -> str:
        """Decode until all images, or enough of them, are done; return why it ended, the same in all processes.

        Raises:
            UserError: if no decoder is left.
        """
        ended = self._take_turns()
        for decoder in self.decoders:
            self._share_failure(decoder)
        self._require_intact()
        return "budget" if "budget" in self.group.all_gather(ended) else ended

    def _take_turns(self) -> str:
        total = sum(len(batch) for decoder in self.decoders for batch in decoder.batches)
        if self.endless:
            total = self.limits.images * len(self.decoders)
        with progress(", ".join(decoder.name for decoder in self.decoders)) as report:
            before = time.perf_counter()
            for decoder in interleave(self.decoders):
                if ended := self._ended():
                    return ended
                self._attempt(decoder, decoder.step)
                done = sum(decoder.images for decoder in self.decoders)
                report(done, max(total, done))
                now = time.perf_counter()
                decoder.end_turn((now - before) * 1000)
                before = now
        return "data"

    def _ended(self) -> str | None:
        if not self.endless and self.limits.budget is None:
            return None
        # A process of many may have no batch of a decoder at all.
        decoders, passed = [one for one in self.intact if one.batches], time.perf_counter() - self._start
        fewest = min((decoder.images for decoder in decoders), default=0)
        if not fewest:
            return None
        if self.endless:
            measured = min(decoder.seconds for decoder in decoders)
            return self.limits.ended(images=fewest, measured=measured, passed=passed)
        if not in_step(decoders):  # all decoders are scored on the same images
            return None
        return replace(self.limits, images=sys.maxsize).ended(images=fewest, measured=0, passed=passed)

    def _attempt(self, decoder: Measurable, work: Callable[[], None]) -> None:
        """Give up a mode that fails: compilers and recorders raise any exception. Eager mode must work."""
        try:
            work()
        except (UserError, StoreError):
            raise
        except Exception as error:
            if decoder.mode == "eager":
                raise
            decoder.failed = f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0][:200]}"

    def _share_failure(self, decoder: Measurable) -> None:
        """Leave a decoder that failed in one process out in all, and report it once."""
        reasons = [reason for reason in self.group.all_gather(decoder.failed) if reason]
        if reasons and decoder.name not in self._reported:
            self._reported.add(decoder.name)
            decoder.failed = reasons[0]
            self.log(f"left out: {decoder.name}: {decoder.failed}")

    def _require_intact(self) -> None:
        if not self.intact:
            modes = ", ".join(dict.fromkeys(decoder.mode for decoder in self.decoders))
            raise UserError(f"--mode {modes}: nothing is left to measure; see the lines above")
