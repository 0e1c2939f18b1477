"""The example package of the documents: installed like any other, it runs and keeps the contract."""

from __future__ import annotations

import dataclasses
import importlib
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import registry
from bench.cli.main import main
from bench.config.loading import load_run
from bench.run.runner import run
from results.store import read_record
from tests.bench.run.test_runner import NO_CAPTIONS, words
from tests.bench.tiny_weights import words as weight_words
from tests.bench.tiny_weights import write_weights
from tests.paths import REPOSITORY

EXAMPLE = REPOSITORY / "docs" / "example"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return what installs the example into this process."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "example.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))

    def install() -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.syspath_prepend(str(EXAMPLE))
        importlib.invalidate_caches()
        registry.refresh()

    yield install
    monkeypatch.undo()
    registry.refresh()


@pytest.fixture
def installed(install: Callable[[], None]) -> None:
    install()


@pytest.mark.usefixtures("installed")
def test_the_example_decoder_and_task_run_beside_ours(
    scenes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(words(scenes_folder, out, "--decoder", "oracle,guess", "--tasks", f"counting,{NO_CAPTIONS}")) == 0
    perfect, random = read_record(out / "oracle"), read_record(out / "guess")
    assert perfect.metrics["counting"]["mae"] == 0
    assert random.metrics["counting"]["mae"] > 1  # type: ignore[operator]
    assert random.metrics["detection"]["AP"] < 0.05  # type: ignore[operator]
    assert "guess" in capsys.readouterr().out


@pytest.mark.usefixtures("installed")
def test_a_random_decoder_is_the_same_in_any_batch(scenes_folder: Path, tmp_path: Path) -> None:
    checksums = set()
    for size in ("1", "4"):
        options = load_run(
            words(scenes_folder, tmp_path / size, "--decoder", "guess", "--batch", size, "--tasks", NO_CAPTIONS)
        )
        checksums |= {record.checksum for record in run(options).values()}
    assert len(checksums) == 1


def test_weights_run_as_before_where_a_package_adds_ids(
    scenes_folder: Path, tmp_path: Path, install: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_weights(scenes_folder, tmp_path / "weights", "mad")
    words = [*weight_words(scenes_folder, weights, "--decoder", "mad"), "--limit", "2", "--accuracy-only"]
    assert main([*words, "--out", str(tmp_path / "before")]) == 0
    install()
    assert main([*words, "--out", str(tmp_path / "after")]) == 0
    before, after = (read_record(tmp_path / name / "mad") for name in ("before", "after"))
    assert after.checksum == before.checksum and after.metrics == before.metrics
    assert after.off == before.off | {"counting": "the weights were trained without it"}
    assert main([*words, "--tasks", "detection,depth", "--out", str(tmp_path / "named")]) == 0
    capsys.readouterr()
    assert main([*words, "--tasks", "counting", "--out", str(tmp_path / "asked")]) == 2
    assert "trained without counting" in capsys.readouterr().err


def test_weights_that_know_added_ids_run_where_further_packages_add_more(
    scenes_folder: Path, tmp_path: Path, install: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    weights = write_weights(scenes_folder, tmp_path / "weights", "mad")
    words = [*weight_words(scenes_folder, weights, "--decoder", "mad"), "--limit", "2", "--accuracy-only"]
    assert main([*words, "--out", str(tmp_path / "before")]) == 0
    entry = registry.task("boxes")  # its ranges come before those of ``counting``
    monkeypatch.setattr(
        registry,
        "task",
        lambda name, task=registry.task: (
            dataclasses.replace(entry, ranges=lambda sizes: {"early": 3}) if name == "boxes" else task(name)
        ),
    )
    assert main([*words, "--out", str(tmp_path / "after")]) == 0
    before, after = (read_record(tmp_path / name / "mad") for name in ("before", "after"))
    assert after.checksum == before.checksum and "counting" in after.metrics


def test_the_example_is_as_short_as_promised() -> None:
    assert len((EXAMPLE / "example_decoder.py").read_text().splitlines()) <= 42
