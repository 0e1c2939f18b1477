"""The scenes that the tests of `bench` share."""

from __future__ import annotations

from tests.bench.conftest import cache, scenes_folder

__all__ = ["cache", "scenes_folder"]
