"""The error of the network: what was given cannot be used, and what to do about it."""

from __future__ import annotations


class NetworkError(ValueError):
    """The network was given something it cannot use; the message names it and says what to do."""
