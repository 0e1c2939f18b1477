"""Sweeps: what a file expands to, what is skipped, and what a failing run leaves undone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
import yaml

from bench.cli.main import main
from bench.config.run import RunOptions
from bench.errors import UserError
from bench.paths import PRESETS
from bench.run.sweep import FINISHED, Sweep, read_sweep, run_sweep
from results.record import Record
from results.store import StoreError
from tasks.errors import TaskError
from tests.results.test_store import record


def write(path: Path, **content: Any) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def matrix(tmp_path: Path, **more: Any) -> Path:
    options = {"preset": "embedded", "limit": 3}
    values = {"decoder": ["mad", "parallel"], "batch": [1, 8]}
    return write(tmp_path / "batches.yaml", options=options, matrix=values, **more)


class Runner:
    """Stands in for ``run``: leaves a record for every decoder; one preset cannot be run."""

    def __init__(self) -> None:
        self.ran: list[RunOptions] = []

    def __call__(self, options: RunOptions) -> Mapping[Path, Record]:
        self.ran.append(options)
        if options.batch == 8 and options.decoder == "parallel":
            raise UserError("--batch 8: too large")
        assert options.out is not None
        made = {options.out / name: record(3) for name in options.decoders()}
        for folder in made:
            folder.mkdir(parents=True)
            (folder / "record.json").write_text("{}")
        return made


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def log(said: list[str]) -> Callable[[str], None]:
    return said.append


def test_every_combination_is_a_run_and_the_last_option_changes_fastest(tmp_path: Path) -> None:
    sweep = read_sweep(matrix(tmp_path))
    assert [point.name for point in sweep.points] == [
        "decoder-mad+batch-1",
        "decoder-mad+batch-8",
        "decoder-parallel+batch-1",
        "decoder-parallel+batch-8",
    ]
    assert sweep.points[1].values == {"preset": "embedded", "limit": 3, "decoder": "mad", "batch": 8}
    assert sweep.out == Path("results/runs/batches")


def test_combinations_can_be_left_out_or_picked(tmp_path: Path) -> None:
    file = matrix(tmp_path, exclude=[{"decoder": "mad", "batch": 8}], out="elsewhere")
    assert len(read_sweep(file).points) == 3
    assert [point.name for point in read_sweep(file, only="batch-8").points] == ["decoder-parallel+batch-8"]
    assert (read_sweep(file).out, read_sweep(file, out=tmp_path).out) == (Path("elsewhere"), tmp_path)


def test_values_that_look_alike_get_folders_of_their_own(tmp_path: Path) -> None:
    file = write(
        tmp_path / "s.yaml", matrix={"strategy": [{"mad": {"remask": "lowest"}}, {"mad": {"remask": "-lowest"}}]}
    )
    names = [point.name for point in read_sweep(file).points]
    assert len(set(names)) == 2 and all(name.startswith("strategy-mad-remask-lowest") for name in names)


def test_finished_runs_are_skipped_failed_ones_are_not(
    tmp_path: Path, said: list[str], log: Callable[[str], None]
) -> None:
    sweep, runner = read_sweep(matrix(tmp_path), out=tmp_path / "runs"), Runner()
    first = run_sweep(sweep, runner, log)
    assert [(options.decoder, options.batch) for options in runner.ran] == [
        ("mad", 1),
        ("mad", 8),
        ("parallel", 1),
        ("parallel", 8),
    ]
    assert first.failed == {"decoder-parallel+batch-8": "--batch 8: too large"}
    assert len(first.records) == 3 and first.skipped == []
    assert runner.ran[0].limit == 3 and runner.ran[0].out == tmp_path / "runs/decoder-mad+batch-1"

    again = Runner()
    second = run_sweep(sweep, again, log)
    assert [(options.decoder, options.batch) for options in again.ran] == [("parallel", 8)]
    assert second.records == first.records and len(second.skipped) == 3
    assert "[1/4] decoder-mad+batch-1: finished before, skipped" in said


def test_other_options_or_a_lost_record_run_again(tmp_path: Path, log: Callable[[str], None]) -> None:
    def ran(sweep: Sweep, **more: Any) -> int:
        runner = Runner()
        for point in sweep.points:
            for old in (sweep.out / point.name).glob("*/record.json"):
                old.unlink()
                old.parent.rmdir()
        run_sweep(sweep, runner, log, **more)
        return len(runner.ran)

    options = {"decoder": "mad", "preset": "embedded"}
    one = read_sweep(write(tmp_path / "s.yaml", options=options), out=tmp_path / "runs")
    run_sweep(one, Runner(), log)
    told = json.loads((tmp_path / "runs/run" / FINISHED).read_text())
    assert told["records"] == ["mad"] and "source" in told
    assert ran(one) == 1, "its record is gone"
    other = read_sweep(write(tmp_path / "s.yaml", options=options | {"seed": 3}), out=tmp_path / "runs")
    assert ran(other) == 1


def test_other_code_or_weights_are_told_and_another_preset_runs_again(
    tmp_path: Path, said: list[str], log: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(code: str, weights: str) -> None:
        monkeypatch.setattr("bench.run.sweep.source_hash", lambda: code)
        monkeypatch.setattr("bench.run.sweep.weights_hashes", lambda name, options: {name: weights})

    def runner(options: RunOptions) -> Mapping[Path, Record]:
        return {path: msgspec.structs.replace(made, weights={"mad": "w1"}) for path, made in Runner()(options).items()}

    shutil.copytree(PRESETS, tmp_path / "presets")
    monkeypatch.setattr("bench.paths.PRESETS", tmp_path / "presets")
    here("c1", "w1")
    sweep = read_sweep(write(tmp_path / "s.yaml", options={"decoder": "mad"}), out=tmp_path / "runs")
    run_sweep(sweep, runner, log)
    for code, weights, told in (
        ("c2", "w1", " by other code (--fresh runs it again)"),
        ("c1", "w2", " by other weights (--fresh runs it again)"),
        ("c2", "w2", " by other code and weights (--fresh runs it again)"),
        ("c1", "w1", ""),
    ):
        here(code, weights)
        assert run_sweep(sweep, runner, log).skipped == ["run"]
        assert said[-1] == f"[1/1] run: finished before{told}, skipped"

    preset = tmp_path / "presets/embedded.yaml"
    preset.write_text(preset.read_text().replace("width: 128", "width: 64"))
    assert run_sweep(sweep, lambda options: {}, log).skipped == []


@pytest.mark.parametrize("error", [StoreError("other"), TaskError("no"), torch.cuda.OutOfMemoryError("full")])
def test_whatever_cannot_be_run_does_not_stop_the_others(
    tmp_path: Path, log: Callable[[str], None], error: Exception
) -> None:
    """Of several processes it does: one may have met what the others did not, and they wait for each other."""
    sweep, ran = read_sweep(matrix(tmp_path), out=tmp_path / "runs"), Runner()

    def runner(options: RunOptions) -> Mapping[Path, Record]:
        if len(ran.ran) == 1:
            ran.ran.append(options)
            raise error
        return ran(options)

    result = run_sweep(sweep, runner, log)
    assert len(ran.ran) == 4 and list(result.failed) == ["decoder-mad+batch-8", "decoder-parallel+batch-8"]
    ran.ran = []
    with pytest.raises(type(error)):
        run_sweep(read_sweep(matrix(tmp_path), out=tmp_path / "again"), runner, log, alone=False)


def test_fresh_runs_everything_again(tmp_path: Path, log: Callable[[str], None]) -> None:
    sweep = read_sweep(write(tmp_path / "s.yaml", options={"decoder": "mad"}), out=tmp_path / "runs")
    run_sweep(sweep, Runner(), log)
    seen: list[bool] = []

    def runner(options: RunOptions) -> Mapping[Path, Record]:
        seen.append(options.fresh)
        return {}

    run_sweep(sweep, runner, log, fresh=True)
    assert seen == [True]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"matrx": {}}, r"unknown section 'matrx' \(did you mean 'matrix'\?\)"),
        ({"matrix": {"batch": 8}}, r"matrix\.batch must be a list"),
        ({"matrix": {"batch": []}}, r"matrix\.batch must be a list"),
        ({"options": {"batch": 1}, "matrix": {"batch": [1]}}, "batch stands in options and in matrix"),
        ({"options": ["mad"]}, "options must name options"),
        ({"options": {"seed": 1}, "exclude": {"batch": 8}}, "exclude must be a list"),
        ({}, "no run in it"),
        ({"matrix": {"batch": [1]}, "exclude": [{"batch": 1}]}, "exclude leaves no run"),
        ({"matrix": {"batch": [1, 2]}, "exclude": [{"bach": 1}]}, r"unknown option of this sweep 'bach'"),
        ({"matrix": {"batch": [1, 2]}, "exclude": ["batch 1"]}, "exclude has 'batch 1'"),
        ({"matrix": {"batch": [1]}, "out": 5}, "out must be a folder's name"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path: Path, content: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read_sweep(write(tmp_path / "s.yaml", **content))


def test_a_missing_file_names_the_shipped_sweeps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "nowhere.yaml"]) == 2
    assert "give a YAML file, or one of: gpu" in capsys.readouterr().err


def test_the_gpu_measurement_is_ready_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "gpu", "--show"]) == 0
    names = capsys.readouterr().out.split()
    assert names == [f"preset-{preset}+batch-{batch}" for preset in ("mad-r50", "mad-vitb") for batch in (1, 8)]
    from bench.run.choice import modes_of, scenario_of
    from bench.run.sweep import options_of

    for point in read_sweep(Path("gpu")).points:
        options = options_of(point, tmp_path / point.name)
        assert modes_of(options.mode) == ["eager", "graphed"]
        assert scenario_of(options.scenario, options.batch)[1] == [options.batch]
        assert options.network.width == 256 and options.speed_only and options.random_weights


def test_options_that_run_would_refuse_fail_alone(tmp_path: Path, said: list[str], log: Callable[[str], None]) -> None:
    file = write(tmp_path / "s.yaml", options={"decoder": "mad"}, matrix={"batch": [0, 1]})
    runner = Runner()
    result = run_sweep(read_sweep(file, out=tmp_path / "runs"), runner, log)
    assert list(result.failed) == ["batch-0"] and len(runner.ran) == 1
    assert any("--batch 0: give at least 1" in line for line in said)
