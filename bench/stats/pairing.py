"""Lines of two runs that belong together: the same image, decoded for the same time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from results.record import Sample


def paired(first: Sequence[Sample], second: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Pairs of lines of the same image and repetition, in the order of ``first``.

    Runs for times alone repeat images until there is enough, so one may have lines that the other has not.
    """
    other = {sample.key: sample for sample in second}
    return [(sample, other[sample.key]) for sample in first if sample.key in other]


def pieces(*sides: Sequence[Hashable]) -> list[int]:
    """Consecutive images that cannot be told apart: a new piece starts where every side starts another batch.

    Args:
        sides: of each run, what is equal for the images of a batch, image by image.

    Returns:
        Number of each image's piece.
    """
    found: list[int] = []
    for place in range(len(sides[0])):
        other = place > 0 and all(side[place] != side[place - 1] for side in sides)
        found.append((found[-1] if found else 0) + other)
    return found
