"""The example package of the documents: installed like any other, it runs and keeps the contract."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.config.loading import load_run
from bench.run.runner import run
from results.store import read_record
from tests.bench.run.test_runner import NO_CAPTIONS, words
from tests.paths import REPOSITORY

EXAMPLE = REPOSITORY / "docs" / "example"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "example.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLE))
    importlib.invalidate_caches()


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


def test_the_example_is_as_short_as_promised() -> None:
    assert len((EXAMPLE / "example_decoder.py").read_text().splitlines()) <= 42
