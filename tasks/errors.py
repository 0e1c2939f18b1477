"""The error of the tasks: what was given cannot be used, and what to do about it."""

from __future__ import annotations


class TaskError(ValueError):
    """A task was given something it cannot use; the message names it and says what to do."""
