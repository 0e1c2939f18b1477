"""Whole runs of tiny networks on a few scenes, or on random images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.config.loading import load_run
from bench.run import peak_rates
from bench.run.runner import run
from bench.run.stopping import WarmUpRule
from results.record import Record
from tests.bench.run.measuring import TASKS, Measure
from tests.bench.tiny_weights import small, words, write_weights


@pytest.fixture
def quick() -> Iterator[None]:
    """One repetition of warm-up, and rates that nobody measures."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.run.interleaving.WarmUpRule", lambda: WarmUpRule(most=1))
        patch.setattr("bench.run.peak_rates.SECONDS", 0.0)
        patch.setitem(peak_rates.SIDES, "cpu", 16)
        patch.setitem(peak_rates.COPIED, "cpu", 1024)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def weights(scenes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECODER_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return write_weights(scenes_folder, tmp_path_factory.mktemp("weights"), "parallel", "mad")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def measure(quick: None, scenes_folder: Path, weights: Path, tmp_path: Path, said: list[str]) -> Measure:
    """Runs ``parallel`` and ``mad`` in a folder of the given name; records by the folder's name."""

    def measured(out: str, *more: str, decoder: str = "parallel,mad") -> dict[str, Record]:
        base = words(scenes_folder, weights, *TASKS, "--decoder", decoder, "--out", str(tmp_path / out))
        base += ["--prompts", "annotated"]  # random weights find nothing
        return {path.name: record for path, record in run(load_run([*base, *more]), said.append).items()}

    return measured


@pytest.fixture
def speed(quick: None, tmp_path: Path, said: list[str]) -> Measure:
    """Times of random weights on random images."""

    def measured(out: str, *more: str) -> dict[str, Record]:
        base = ["--preset", "embedded", "--config", str(small(tmp_path)), "--out", str(tmp_path / out), *TASKS]
        base += ["--speed-only", "--random-weights", "--min-seconds", "0", "--min-images", "3", "--instances", "4"]
        return {path.name: record for path, record in run(load_run([*base, *more]), said.append).items()}

    return measured
