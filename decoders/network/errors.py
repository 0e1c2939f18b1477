"""The error of networks, backbones and weights."""

from __future__ import annotations


class NetworkError(ValueError):
    """Options or weights that no network can be built from; the message says what to do."""
