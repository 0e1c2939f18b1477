"""Scenes that are rendered once for all tests of this folder."""

from __future__ import annotations

import pytest

from bench.data.scenes.elements import Scene
from bench.data.scenes.scene import render

MANY = 150


@pytest.fixture(scope="session")
def many_scenes() -> list[Scene]:
    """The first scenes of the validation split; read only."""
    return [render("val2017", index) for index in range(MANY)]
