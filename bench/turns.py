"""Which images are decoded together, and which decoder decodes next: A B A B, so that drift of the machine cancels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import groupby
from typing import Protocol, TypeVar

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
