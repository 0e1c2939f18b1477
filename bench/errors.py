"""Errors a user can mend: one line that names what was given, what was expected and what to do."""

from __future__ import annotations

from difflib import get_close_matches


class UserError(Exception):
    """Something the user gave cannot be used. The command line prints it on one line and exits with code 2."""


class DataError(UserError):
    """A data folder or one of its records cannot be used; the message names file, record and remedy."""


def unknown(kind: str, name: str, known: list[str]) -> str:
    """Return the message for a name that is not known: the nearest one first, then all."""
    near = get_close_matches(str(name), known, n=1, cutoff=0.5)  # YAML makes numbers of some names
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown {kind} {name!r}{hint}; known: {', '.join(known) or 'none'}"
