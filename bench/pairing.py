"""Lines of two runs that belong together: the same image, decoded for the same time."""

from __future__ import annotations

from collections.abc import Sequence

from results.record import Sample


def paired(first: Sequence[Sample], second: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Pairs of lines of the same image and repetition, in the order of ``first``.

    Runs for times alone repeat images until there is enough, so one may have lines that the other has not.
    """
    other = {sample.key: sample for sample in second}
    return [(sample, other[sample.key]) for sample in first if sample.key in other]
