"""What the times of a record are made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.inference.network_calls import CountedNetwork
from bench.run.summary import timing
from bench.run.timing_warnings import clocked_share
from results.record import Latency
from results.store import read_samples
from tests.bench.run.measuring import Measure


def test_a_record_tells_what_the_time_went_into(measure: Measure) -> None:
    record = measure("run", "--limit", "4", decoder="mad")["mad"]
    times = record.latency
    assert times.scenario == "latency" and times.ended == "data" and times.sittings == 1
    assert times.warm_up is not None and times.warm_up.images == 1
    assert set(times.passes) == {f"decode.{task}.round" for task in ("segmentation", "depth")}
    assert times.passes["decode.depth.round"].per_image == 1
    assert times.passes["decode.depth.round"].mean_ms <= times.phases["decode.depth"].mean_ms
    own = sum(
        times.phases[name].mean_ms for name in ("preprocess", "backbone", "encoder", "decode.depth", "interpret.depth")
    )
    assert times.alone["depth"].mean_ms == pytest.approx(own)
    needed = own - times.phases["decode.depth"].mean_ms - times.phases["interpret.depth"].mean_ms
    needed += sum(
        times.phases[f"{kind}.{task}"].mean_ms
        for kind in ("decode", "interpret")
        for task in ("detection", "segmentation")
    )
    assert times.alone["segmentation"].mean_ms == pytest.approx(needed), "it needs the boxes"
    assert 0 < clocked_share(times) <= 1
    assert times.harness_share == pytest.approx(
        (times.phases["score"].mean_ms + times.phases["loop"].mean_ms) / times.total.mean_ms
    )
    assert times.tokens_per_second["depth"] == pytest.approx(16 / times.phases["decode.depth"].mean_ms * 1000)
    assert record.cost["depth"].tokens == 16
    assert set(record.work) == {
        "backbone",
        "encoder",
        *(f"decode.{task}" for task in ("segmentation", "depth")),
    }
    assert all(work.gflops > 0 and work.megabytes > 0 and work.matmul_share for work in record.work.values())
    assert record.machine is not None and record.machine.fingerprint and record.machine.rates is not None
    assert record.parameters and record.mode.name == "eager" and record.processes == 1


def test_predictions_do_not_depend_on_what_is_timed(measure: Measure) -> None:
    timed, untimed = measure("timed")["mad"], measure("untimed", "--accuracy-only")["mad"]
    assert (untimed.metrics, untimed.checksum, untimed.cost) == (timed.metrics, timed.checksum, timed.cost)
    assert untimed.latency.scenario == "untimed"
    assert untimed.latency.warm_up is None and untimed.warnings == [] and untimed.work == {}
    assert untimed.machine is not None and untimed.machine.rates is None and untimed.machine.other_cores is None


def test_few_images_are_marked(measure: Measure) -> None:
    few = "times are of 2 images"
    (record,) = measure("few", "--limit", "2", decoder="mad").values()
    assert any(warning.startswith(few) for warning in record.warnings)
    (record,) = measure("enough", "--limit", "2", "--min-images", "2", "--min-seconds", "0", decoder="mad").values()
    assert not any(warning.startswith(few) for warning in record.warnings)


def test_the_yardstick_is_measured_before_each_batch(measure: Measure, tmp_path: Path) -> None:
    record = measure("run", "--calibrate", "--limit", "3", decoder="mad")["mad"]
    assert all(line.milliseconds["calibration"] > 0 for line in read_samples(tmp_path / "run/mad"))
    assert record.latency.phases["calibration"].n == 3
    assert clocked_share(record.latency) <= 1, "it is no part of the total"


def test_time_outside_the_phases_is_marked(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(network: Any, mark: Callable[[str], None]) -> CountedNetwork:
        time.sleep(0.5)  # between two phases
        return CountedNetwork(network, mark)

    monkeypatch.setattr("bench.inference.pipeline.CountedNetwork", slow)
    (record,) = measure("run", "--limit", "1", decoder="mad").values()
    assert record.latency.total.mean_ms > 1000, "twice, for two tasks"
    (warning,) = [warning for warning in record.warnings if "phases explain" in warning]
    share = 100 * sum(v.mean_ms for k, v in record.latency.phases.items() if k not in ("read", "score", "loop"))
    assert f"{share / record.latency.total.mean_ms:.0f} %" in warning


def test_phases_that_explain_the_total_are_not_marked() -> None:
    phases = {"read": 50.0, "backbone": 6.0, "decode.depth": 3.8}
    latency = Latency(
        total=timing([10.0]), phases={name: timing([ms]) for name, ms in phases.items()}, batch=1, sittings=1
    )
    assert clocked_share(latency) == pytest.approx(0.98)
