"""Folders and caches for whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.scenes import dataset as scenes


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve embedded scenes, a COCO root and a NYUv2 root at once."""
    root = tmp_path_factory.mktemp("data") / "scenes"
    scenes.write(root, splits=("val2017",), counts={"val2017": 12}, processes=1)
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test session's own."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("DECODER_BENCH_CACHE", str(folder))
    return folder
