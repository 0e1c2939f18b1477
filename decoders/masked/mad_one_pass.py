"""MAD in one pass: the gain of masked training alone (row "+ masked training" of MAD's Table 2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from decoders.masked.mad import Mad, MadOptions


@dataclass(frozen=True, kw_only=True)
class MadOnePassOptions(MadOptions):
    """Options of ``mad-one-pass``: as ``mad``, but no task takes a further pass."""

    ratios: dict[str, tuple[float, ...]] = field(default_factory=dict)


class MadOnePass(Mad):
    """Weights of ``mad``, decoded like ``parallel``."""

    name: ClassVar[str] = "mad-one-pass"
    summary: ClassVar[str] = "the weights of mad, all tokens in one pass"
    Options: ClassVar[type[MadOptions]] = MadOnePassOptions
