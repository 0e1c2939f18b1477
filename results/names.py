"""Which names and texts a stored file may hold: they reach the terminal, file names and commands to copy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

NAME = re.compile(r"\w[\w.+-]{0,99}")
"""Decoders, presets, tasks, modes and metrics: letters, digits and ``_ . + -``, no path and no markup."""
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters but for tab and new line, and those that turn the direction of writing."""


def check_names(names: Iterable[str]) -> None:
    """Refuse what is no name. Raises ValueError."""
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f"{printable(name[:60])!r} is no name; letters, digits and _ . + - are")


def check_text(value: Any) -> None:
    """Refuse control characters in any text of JSON data. Raises ValueError."""
    if isinstance(value, str) and UNPRINTABLE.search(value):
        raise ValueError(f"control characters in the text {printable(value[:60])!r}")
    if isinstance(value, Mapping):
        for name, part in value.items():
            check_text(name)
            check_text(part)
    elif isinstance(value, list | tuple):
        for part in value:
            check_text(part)


def printable(text: str) -> str:
    """Return the text with control characters written as escapes."""
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
