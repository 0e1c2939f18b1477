"""Whether runs decoded equally many sequences; a time says something of a strategy only at equal work."""

from __future__ import annotations

import math
from collections.abc import Mapping

CLOSE = 0.005  # relative difference of mean counts that counts as none
ADVICE = "--prompts annotated prompts all runs alike"


def unequal_work(first: Mapping[str, float], second: Mapping[str, float]) -> str:
    """Return the tasks of which two runs decoded different numbers of sequences; empty at equal work.

    Args:
        first: task to mean sequences per image.
        second: the same of the other run.

    Example: ``segmentation 6 and 12 sequences an image``.
    """
    both = [task for task in first if task in second]
    different = [task for task in both if not math.isclose(first[task], second[task], rel_tol=CLOSE)]
    parts = [f"{task} {first[task]:.3g} and {second[task]:.3g}" for task in different]
    return f"{', '.join(parts)} sequences an image" if parts else ""
