"""What is measured: random load, repetitions, batches, all decoders that can run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.run import runner
from results.store import read_record, read_samples
from tests.bench.run.measuring import Measure


def test_times_need_neither_data_nor_weights(speed: Measure, tmp_path: Path) -> None:
    records = speed("run", "--decoder", "parallel,autoregressive")
    for name, record in records.items():
        assert record.random_weights and record.metrics == {} and record.latency.ended == "enough"
        assert record.images >= 3 and record.latency.total.n == record.images
        assert record.cost["segmentation"].sequences == 4, "the load that was asked for"
        assert "random" in record.data
        assert read_record(tmp_path / "run" / name).latency == record.latency
    steps = records["autoregressive"].latency.passes
    assert steps["decode.depth.prefill"].per_image == 1 and steps["decode.depth.step"].per_image == 15
    assert records["autoregressive"].work["decode.depth"].megabytes > records["parallel"].work["decode.depth"].megabytes


def test_images_come_round_until_there_is_enough(speed: Measure, tmp_path: Path) -> None:
    record = speed("run", "--decoder", "parallel", "--min-images", "40", "--tasks", "depth")["parallel"]
    lines = read_samples(tmp_path / "run/parallel")
    assert record.images == len(lines) == len({line.key for line in lines}) == 40
    assert {line.repeat for line in lines} == {0, 1, 2}
    again = {line.image_id: line.tokens for line in lines if line.repeat == 1}
    assert all(again[line.image_id] == line.tokens for line in lines if line.image_id in again)


def test_scenarios_have_batches_and_folders_of_their_own(speed: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.run.choice.STREAM", (1, 2, 4))
    records = speed("stream", "--decoder", "parallel", "--scenario", "stream", "--tasks", "depth")
    assert {name: record.latency.batch for name, record in records.items()} == {
        "parallel.batch1": 1,
        "parallel.batch2": 2,
        "parallel.batch4": 4,
    }
    monkeypatch.setitem(runner.LARGEST_BATCH, "cpu", 4)
    (record,) = speed("throughput", "--decoder", "parallel", "--scenario", "throughput", "--tasks", "depth").values()
    assert (record.latency.batch, record.latency.scenario) == (4, "throughput")
    assert record.latency.images_per_second == pytest.approx(1000 / record.latency.total.mean_ms)


def test_all_decoders_means_those_that_can_run(measure: Measure, speed: Measure, said: list[str]) -> None:
    assert set(measure("run", "--limit", "1", decoder="all")) == {
        "oracle",
        "parallel",
        "mad",
        "mad-one-pass",
        "mad-released",
    }
    assert "left out: autoregressive: no weights for preset embedded" in said
    said.clear()
    names = set(speed("speed", "--decoder", "all", "--tasks", "detection"))
    assert {"autoregressive", "parallel", "mad", "ait", "ait-parallel"} < names and "oracle" not in names
    assert said == ["left out: oracle: it uses no network"]
