"""Errors a user can mend: one line that names what was given, what was expected and what to do."""

from __future__ import annotations


class UserError(Exception):
    """Something the user gave cannot be used. The command line prints it on one line and exits with code 2."""


class DataError(UserError):
    """A data folder or one of its records cannot be used; the message names file, record and remedy."""
