"""The engine: what is killed continues, what is done is not done again, and an outcome is the same either way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.config.studies import StudyOptions
from bench.errors import UserError
from bench.studies import worker
from bench.studies.engine import run_study, show
from results.store import StoreError
from results.study import Outcome, read_outcomes
from tests.bench import tiny_presets as tiny

DEFINITION = """
title: a tiny study
decoder: parallel
weights: trained
options:
  tasks: "detection,depth"
  sizes: {slots: 2, bins: 16, depth_grid: [2, 2], depth_bins: 8}
  network: {backbone: test_resnet, width: 32, heads: 2, ffn: 64, encoder_layers: 1, decoder_layers: 1, positions: 64}
  image: {side: 64}
train:
  train:
    frozen: false
    log_every: 1
    save_every: 2
    evaluate_images: 0
    decoder: {steps: 6, batch: 2, precision: float32}
run: {accuracy_only: true}
arms:
  joint: {}
  depth alone: {options: {tasks: depth}}
  the same again: {run: {seed: 5}}
contrasts:
  joint training: {arms: {joint: 1, depth alone: -1}, metrics: {depth.rmse: up}}
tables: {each_seed: {}}
"""
LIMIT = 900  # seconds after which a process that should have ended counts as hung


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("definition") / "tiny.yaml"
    path.write_text(DEFINITION)
    return path


def options(definition: Path, root: Path, folder: Path, **more: Any) -> StudyOptions:
    return StudyOptions(name=str(definition), coco=root, nyu=root, work=folder / "work", out=folder / "out", **more)


@pytest.fixture(scope="module")
def finished(definition: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the study, done in one piece in this process."""
    folder = tmp_path_factory.mktemp("whole")
    messages: list[str] = []
    result = run_study(options(definition, root, folder), log=messages.append, resamples=50)
    assert not result.failed and result.page == folder / "out" / "tiny.md"
    assert any(text.startswith("about ") and "minutes" in text for text in messages)
    return folder


def outcome(folder: Path) -> Outcome:
    return read_outcomes(folder / "out")["tiny"]


def test_the_outcome_has_arms_contrasts_and_the_page(finished: Path) -> None:
    found = outcome(finished)
    assert list(found.points) == ["joint", "depth alone", "the same again"] and found.trained
    assert found.points["joint"].values["depth.rmse"] == found.points["the same again"].values["depth.rmse"]
    (contrast,) = found.contrasts
    (difference,) = [
        d for d in found.differences if (d.first, d.second, d.key) == ("joint", "depth alone", "depth.rmse")
    ]
    assert contrast.value == pytest.approx(-difference.value) and contrast.low == pytest.approx(-difference.high)
    assert contrast.verdict in ("agrees", "disagrees", "cannot tell")
    page = (finished / "out" / "tiny.md").read_text()
    assert "| depth alone |" in page and "| joint training |" in page and "bench study tiny" in page
    assert len(list((finished / "work" / "trainings").iterdir())) == 2, "arms of the same settings train once"


def test_what_is_finished_is_not_done_again(
    finished: Path, definition: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "start", lambda *_: pytest.fail("done again"))
    before = outcome(finished)
    messages: list[str] = []
    run_study(options(definition, root, finished), log=messages.append, resamples=50)
    assert outcome(finished) == before and messages == []
    lines = show(options(definition, root, finished))
    assert all(line.endswith(": done") for line in lines[:-1]) and len(lines) == 6


def test_other_settings_are_refused(finished: Path, root: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(DEFINITION.replace("run: {accuracy_only: true}", "run: {accuracy_only: true, limit: 3}"))
    with pytest.raises(UserError, match=r"joint-0: was filled with other settings \(limit\)"):
        run_study(options(path, root, finished))


def test_a_killed_study_continues_to_the_same_outcome(
    finished: Path, definition: Path, root: Path, tmp_path: Path
) -> None:
    """The engine and its worker are killed after the first checkpoint of the first training."""
    words = [sys.executable, "-m", "bench", "study", str(definition), "--coco", str(root), "--nyu", str(root)]
    words += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--jobs", "2"]
    first = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + LIMIT
    while not list((tmp_path / "work").glob("trainings/*/state.pt")):
        assert first.poll() is None and time.monotonic() < limit
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)  # its workers find out by themselves
    first.wait()
    assert not (tmp_path / "out" / "tiny.json").exists()
    result = run_study(options(definition, root, tmp_path), log=lambda text: None, resamples=50)
    assert not result.failed
    whole, pieces = outcome(finished), outcome(tmp_path)
    assert pieces.contrasts == whole.contrasts
    assert {name: point.values for name, point in pieces.points.items()} == {
        name: point.values for name, point in whole.points.items()
    }


def test_a_failing_arm_does_not_stop_the_others(
    finished: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(DEFINITION.replace("  joint: {}\n", "  joint: {}\n  broken: {train: {start_parts: nowhere}}\n"))
    result = run_study(options(path, root, finished, only=["broken"]), log=lambda text: None, resamples=50)
    assert list(result.failed) == ["broken"] and "start_parts" in result.failed["broken"] and result.page is None
    result = run_study(options(path, root, finished), log=lambda text: None, resamples=50)
    assert list(result.failed) == ["broken"] and result.page is not None
    assert "Failed: broken: " in result.page.read_text() and "| joint |" in result.page.read_text()
    assert list(outcome(finished).failed) == ["broken"]


def test_missing_weights_fail_their_arm_alone(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("title: t\ndecoder: mad\nrun: {checkpoints: /nowhere}\narms: {a: {}}\n")
    result = run_study(options(path, root, tmp_path), log=lambda text: None)
    assert "mad.safetensors: no such weights" in result.failed["a"] and result.page is None


def test_a_folder_that_cannot_be_written_is_found_before_any_training(
    definition: Path, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        run_study(options(definition, root, tmp_path))
    assert not (tmp_path / "work").exists()


def test_an_outcome_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(msgspec.json.encode({"schema": 1}))
    with pytest.raises(StoreError, match="study x"):
        read_outcomes(tmp_path)
    assert json.loads((tmp_path / "x.json").read_text()) == {"schema": 1}


def test_workers_without_work_are_not_waited_for() -> None:
    assert list(worker._Workers(2).finished()) == []
