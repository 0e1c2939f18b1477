"""AiT's studies on a dozen scenes: every row is trained, scored and compared, and nothing finished is done again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.cli.parser import parse
from bench.config.training import TrainOptions
from bench.stats.seed_means import Interval
from bench.studies import study
from bench.studies.parallel_study import STEPWISE, measure_parallel_study
from bench.studies.soft_tokens import ROWS, measure_soft_tokens
from bench.studies.study import verdict
from bench.train.network import train
from decoders.causal.ait import Ait
from decoders.causal.ait_parallel import AitParallel
from results.record import Record
from results.store import read_record
from tests.bench import tiny_presets as tiny


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of its own, plain formats (no codec is trained here), and the thread count as it was."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECODER_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        for cls in (Ait, AitParallel):
            patch.setattr(cls, "formats", {})
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, patched: None) -> TrainOptions:
    folder = tmp_path_factory.mktemp("study")
    root = tiny.data(folder / "data")
    encoder = train(tiny.options(folder / "encoder", root, "encoder"))[0]
    return tiny.options(folder / "unused", root, "ait", "--encoder", str(encoder), "--train.decoder.steps", "3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of trainings and runs, shared by both studies."""
    return tmp_path_factory.mktemp("runs")


def test_soft_tokens(options: TrainOptions, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = measure_soft_tokens(options, out=tmp_path, folder=folder, seeds=2)
    assert (tmp_path / "soft_tokens.md").read_text() == text
    told = json.loads((tmp_path / "soft_tokens.json").read_text())
    assert list(told["rows"]) == list(ROWS)
    assert (told["images"], told["seeds"]) == (4, 2)
    for row, found in told["rows"].items():
        assert f"| {row} | " in text
        for task in ("depth", "segmentation"):
            assert sum(found[task]["values"]) == pytest.approx(2 * found[task]["mean"])
            assert (found[task]["difference"] is None) == (row == "none")
    none, solver = told["rows"]["none"]["depth"], told["rows"]["solver"]["depth"]
    assert solver["difference"]["value"] == pytest.approx(solver["mean"] - none["mean"])
    assert (none["paper"], solver["paper"]) == (0.3174, 0.3127)
    records = [read_record(path) for path in sorted(folder.glob("runs/*/ait"))]
    assert len(records) == 2 * len(ROWS)
    assert all(_only_masks_and_depth(record) for record in records)
    trained = {path.name for path in folder.glob("train/*")}
    assert trained == {"ait-0", "ait-1", "ait-plain-0", "ait-plain-1"}
    card = json.loads((folder / "train/ait-plain-0/ait.json").read_text())
    learned = tiny.curve(folder / "train/ait-0")[0].keys()
    assert set(study.TASKS) <= learned and "detection" not in learned
    assert card["strategy"]["ait"]["dense_weight"] == {}

    monkeypatch.setattr(study, "run", _never)
    assert measure_soft_tokens(options, out=tmp_path, folder=folder, seeds=2) == text


def test_parallel_study(options: TrainOptions, folder: Path, tmp_path: Path) -> None:
    text = measure_parallel_study(options, out=tmp_path, folder=folder, seeds=1)
    assert (tmp_path / "parallel_study.md").read_text() == text
    rows = json.loads((tmp_path / "parallel_study.json").read_text())["rows"]
    assert rows["ait"]["depth"]["evaluations"] == rows[STEPWISE]["depth"]["evaluations"] == 16
    assert rows["ait-parallel"]["depth"]["evaluations"] == rows["ait-parallel"]["segmentation"]["evaluations"] == 1
    assert rows["ait-parallel"]["depth"]["values"] == pytest.approx(rows[STEPWISE]["depth"]["values"], rel=1e-6)
    assert rows["ait"]["depth"]["decode_ms"] > rows["ait-parallel"]["depth"]["decode_ms"] > 0
    assert "times as long" in text


def test_other_settings_run_again(options: TrainOptions, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = study.Study(options, folder)
    weights = {"ait": own.train("ait", "ait", seed=0, strategy={})}
    first = own.run("again", weights, seed=0, strategy={})["ait"]
    monkeypatch.setattr(study, "run", _never)
    assert own.run("again", weights, seed=0, strategy={})["ait"].record == first.record
    for changed in (replace(options, reading="centre"), replace(options, fresh=True)):
        with pytest.raises(AssertionError, match="ran again"):
            study.Study(changed, folder).run("again", weights, seed=0, strategy={})


def test_verdicts() -> None:
    better, unsure = Interval(-0.2, -0.3, -0.1), Interval(-0.2, -0.5, 0.1)
    assert verdict(better, 0.30, 0.31) == "agrees"
    assert verdict(better, 0.32, 0.31) == "disagrees"
    assert verdict(unsure, 0.30, 0.31) == "cannot tell"
    assert verdict(better, None, 0.31) == verdict(None, 0.30, 0.31) == "–"


def test_the_commands_take_the_options_of_train() -> None:
    chosen = parse("soft-tokens", ["--seed", "4", "--train.decoder.batch", "2"])
    assert isinstance(chosen, TrainOptions)
    assert (chosen.decoder, chosen.seed, chosen.train.decoder.steps, chosen.train.decoder.batch) == ("ait", 4, 1000, 2)
    assert parse("parallel-study", ["--train.decoder.steps", "9"]).train.decoder.steps == 9


def _only_masks_and_depth(record: Record) -> bool:
    return record.metrics.keys() == {"depth", "segmentation"} and "annotated" in record.off["detection"]


def _never(*_: object) -> None:
    raise AssertionError("ran again")
