"""Faults of data folders: one description, to stop a run at the first fault or to list all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bench.errors import DataError

LONGEST_QUOTE = 80  # characters of foreign text in a message


@dataclass(frozen=True)
class Fault:
    """What is wrong with one record and what to do about it.

    Args:
        kind: short name shared by problems of the same sort, e.g. ``missing image``.
        message: what was found.
        remedy: what to do.
    """

    kind: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Problem:
    """A fault and where it was found. ``record`` is empty when the whole file is at fault."""

    file: Path
    record: str
    fault: Fault

    def __str__(self) -> str:
        where = f"{self.file}: {self.record}" if self.record else str(self.file)
        return printable(f"{where}: {self.fault.message}; {self.fault.remedy}")


Reporter = Callable[[Problem], None]
"""Takes a problem and raises, or records it; then the reader skips the record and continues."""


class Refused(DataError):
    """Raised for a problem that ends the reading; its message is one line."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def refuse(problem: Problem) -> NoReturn:
    """The reporter that stops at the first problem.

    Raises:
        Refused: always.
    """
    raise Refused(problem) from None


def printable(text: str) -> str:
    """``text`` on one line and without control characters: names in data files are foreign text."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def quote(value: object) -> str:
    """A foreign value as it is shown in messages: escaped, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 1]}…"
