"""Scenes, an encoder and a training that the training tests share and only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.train.network import train
from tests.bench import tiny_presets as tiny


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Restore torch's threads, which trainings set."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training and four validation scenes, a COCO root and a NYUv2 root at once."""
    return tiny.data(tmp_path_factory.mktemp("scenes") / "data")


@pytest.fixture(scope="session")
def encoder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained encoder beside its learning curve."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECODER_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        folder = tmp_path_factory.mktemp("encoder") / "run"
        return train(tiny.options(folder, root, "encoder", "--train.evaluate_images", "3"))[0]


@pytest.fixture(scope="session")
def whole(root: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of ``mad`` that nothing interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECODER_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        folder = tmp_path_factory.mktemp("whole") / "run"
        train(tiny.options(folder, root, "mad", "--encoder", str(encoder)))
    return folder
