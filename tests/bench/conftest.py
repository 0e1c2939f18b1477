"""Folders and caches for whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.scenes import dataset as scenes
from tests.bench import altered_runs


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


@pytest.fixture(scope="session")
def oracle_run(scenes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the oracle on the scenes, of which ``altered_runs.altered`` makes others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECODER_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return altered_runs.oracle(scenes_folder, tmp_path_factory.mktemp("oracle"))
