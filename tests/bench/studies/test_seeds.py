"""The recipe of published weights is trained again under other seeds, and everything is scored alike."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import stdev
from types import SimpleNamespace
from typing import Any

import pytest

from bench.checkpoints.checkpoint import checkpoint_path
from bench.config.run import RunOptions
from bench.config.studies import SeedsOptions
from bench.config.training import TrainOptions
from bench.errors import UserError
from bench.paths import CHECKPOINTS
from bench.studies import seeds
from bench.studies.seeds import METRICS, measure_seeds

VALUES = {None: 0.5, "weights-1": 0.56, "weights-2": 0.47}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainOptions]:
    """Trainings that were asked for; each leaves weights, and the runs score what ``VALUES`` says."""
    asked: list[TrainOptions] = []

    def train(options: TrainOptions) -> list[Path]:
        asked.append(options)
        assert options.out is not None
        options.out.mkdir(parents=True)
        path = options.out / f"{options.decoder}.safetensors"
        path.write_bytes(b"weights")
        path.with_suffix(".json").write_text("{}")
        return [path]

    def run(options: RunOptions) -> dict[Path, Any]:
        place = options.checkpoints
        if place is not None:
            assert {p.name for p in (place / "embedded").glob("*.safetensors")} == {
                "encoder.safetensors",
                "mad.safetensors",
                "parallel.safetensors",
            }
        value = VALUES[None if place is None else place.name]
        metrics = {task: {metric: value} for task, metric in METRICS.values()}
        metrics["captioning"] = {"BLEU-4": value, "CIDEr": 2 * value}
        return {Path(name): SimpleNamespace(decoder=name, metrics=metrics) for name in options.decoders()}

    monkeypatch.setattr(seeds, "train", train)
    monkeypatch.setattr(seeds, "run", run)
    return asked


def test_the_published_recipe_is_trained_under_other_seeds(tmp_path: Path, trained: list[TrainOptions]) -> None:
    text = measure_seeds(SeedsOptions(out=tmp_path, runs=tmp_path / "runs"))
    told = json.loads((tmp_path / "seeds.json").read_text())
    assert (tmp_path / "seeds.md").read_text() == text
    assert told["rows"]["mad"]["box AP"] == [0.5, 0.56, 0.47]
    deviation = stdev([0.5, 0.56, 0.47]) * 100
    assert f"| mad | 51.0 ± {deviation:.1f} (50.0) |" in text

    card = json.loads(checkpoint_path("embedded", "mad").with_suffix(".json").read_text())
    own = [options for options in trained if options.decoder == "mad"]
    assert [options.seed for options in own] == [1, 11, 2, 12] and len(trained) == 2 * len(own)
    first, second = own[:2]
    assert first.start is None and first.train.decoder.steps == card["before"]["steps"]
    assert first.out is not None and second.start == first.out / "mad.safetensors"
    assert (second.train.decoder.steps, second.train.decoder.rate) == (card["steps"], card["schedule"]["rate"])
    assert told["steps"]["mad"] == [first.train.decoder.steps, second.train.decoder.steps]


def test_what_cannot_be_measured_is_said(tmp_path: Path, trained: list[TrainOptions]) -> None:
    with pytest.raises(UserError, match="a deviation needs 2"):
        measure_seeds(SeedsOptions(out=tmp_path, seeds=1))
    assert not (CHECKPOINTS / "embedded" / "oracle.safetensors").exists()
    with pytest.raises(UserError, match="oracle: preset embedded has no published weights"):
        measure_seeds(SeedsOptions(out=tmp_path, decoder="oracle"))
    assert trained == []
