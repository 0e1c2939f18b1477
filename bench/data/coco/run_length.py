"""COCO run-length codes as annotation files hold them: the pixels they cover, to find a wrong one on loading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.data.problems import Fault, quote

FIRST_LETTER = 48
WIDEST_RUN = 60  # bits; far more than any image needs
REMEDY = "make the code again for the image's height and width"


def code_fault(code: Mapping[str, Any], height: int, width: int) -> Fault | None:
    """What is wrong with a run-length code of an image of ``height`` x ``width`` pixels, or None."""
    if code.get("size") != [height, width]:
        message = f"run-length code has size {quote(code.get('size'))}, its image {[height, width]} (height, width)"
        return Fault("run-length code of the wrong size", message, REMEDY)
    counts = code.get("counts")
    pixels = _sum_of_text(counts) if isinstance(counts, str) else _sum_of_list(counts)
    if pixels is None:
        return Fault("broken run-length code", f"run-length counts {quote(counts)} cannot be read", REMEDY)
    if pixels != height * width:
        message = f"run-length counts cover {pixels} pixels, its image has {height * width}"
        return Fault("run-length code of the wrong size", message, REMEDY)
    return None


def _sum_of_list(counts: object) -> int | None:
    if not isinstance(counts, list) or not counts:
        return None
    if any(type(run) is not int or run < 0 for run in counts):
        return None
    return sum(counts)


def _sum_of_text(counts: str) -> int | None:
    """Pixels of a compressed code: 5 bits a letter, low first; a fourth or later run is relative to two runs before."""
    runs: list[int] = []
    value = shift = 0
    for letter in map(ord, counts):
        bits = letter - FIRST_LETTER
        if not 0 <= bits < 64 or shift > WIDEST_RUN:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if value < 0:
            return None
        runs.append(value)
        value = shift = 0
    return sum(runs) if runs and not shift else None
