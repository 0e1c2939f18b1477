"""Pair the samples of two runs: the same image, decoded for the same time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from results.record import Sample


def paired(first: Sequence[Sample], second: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Return pairs of samples of the same image and repetition, in the order of ``first``.

    Runs for speed alone repeat images until there are enough, so either may have samples that the other lacks.
    """
    by_key = {sample.key: sample for sample in second}
    return [(sample, by_key[sample.key]) for sample in first if sample.key in by_key]


def sample_blocks(*sides: Sequence[Sample]) -> list[int]:
    """Return the measurement blocks of paired samples of one or more runs."""
    return measurement_blocks(*([sample.measurement for sample in side] for side in sides))


def measurement_blocks(*sides: Sequence[Hashable]) -> list[int]:
    """Return the number of each image's block: a block ends where every side starts another measurement.

    Args:
        sides: for each run, a value per image that is equal for the images of one batch.
    """
    blocks: list[int] = []
    for n in range(len(sides[0])):
        starts = n > 0 and all(side[n] != side[n - 1] for side in sides)
        blocks.append((blocks[-1] if blocks else 0) + starts)
    return blocks
