"""MAD in one pass: the gain of masked training alone (row "+ masked training" of MAD's Table 2)."""

from __future__ import annotations

from typing import ClassVar

from decoders.masked.mad import Mad
from decoders.masked.options import MadOnePassOptions, MadOptions


class MadOnePass(Mad):
    """Weights of ``mad``, decoded like ``parallel``."""

    name: ClassVar[str] = "mad-one-pass"
    summary: ClassVar[str] = "the weights of mad, all tokens in one pass"
    Options: ClassVar[type[MadOptions]] = MadOnePassOptions
