"""Two runs compared: what differs, how sure that is, and what may not be compared at all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.cli.main import main
from bench.compare.runs import compare, expand
from bench.errors import UserError
from results.comparison import Change, Comparison, RunPair, Speed
from results.record import Mode
from results.run_files import checksum
from results.store import RECORD, SAMPLES, StoreError, read_record, read_samples
from tests.bench import altered_runs as runs


@pytest.fixture
def careless(oracle_run: Path, scenes_folder: Path, tmp_path: Path) -> Path:
    """A run with worse predictions that takes a third of the time."""
    times = runs.noisy(1, factor=1 / 3)
    return runs.altered(
        oracle_run, tmp_path / "careless", scenes_folder, decoder="hasty", change=runs.worse, times=times
    )


def change(pair: RunPair, task: str, metric: str) -> Change:
    (found,) = (c for c in pair.metrics if (c.task, c.metric) == (task, metric))
    return found


def speed(pair: RunPair, phase: str) -> Speed:
    (found,) = (s for s in pair.times if s.phase == phase)
    return found


def test_one_command_says_what_differs(
    oracle_run: Path, careless: Path, scenes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(oracle_run), str(careless / RECORD), "--coco", str(scenes_folder), "--nyu", str(scenes_folder)]
    assert main(["compare", *words, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"hasty is (2\.9|3\.0)\S* \(.+\) times faster than oracle at −", printed)
    written = msgspec.json.decode((tmp_path / "out/comparison.json").read_bytes(), type=Comparison)
    (pair,) = written.pairs
    box, depth = change(pair, "detection", "AP"), change(pair, "depth", "rmse")
    assert box.difference is not None and box.difference < -0.05
    assert box.low and box.high and box.low < box.difference < box.high < 0
    assert box.p and box.adjusted and box.p <= box.adjusted < 0.05
    assert depth.first and depth.difference == pytest.approx(depth.first * 0.1)
    assert speed(pair, "total").ratio == pytest.approx(1 / 3, rel=0.02)
    assert (tmp_path / "out/comparison.md").read_text().count("| box AP |") == 1
    assert str(tmp_path) not in (tmp_path / "out/comparison.json").read_text()


def test_the_same_seed_gives_the_same_and_the_tables_are_cached(
    oracle_run: Path, careless: Path, scenes_folder: Path
) -> None:
    first = compare([oracle_run, careless], data=runs.data(scenes_folder))
    again = compare([oracle_run, careless])  # no folders: the tables are known by now
    assert first == again
    other = compare([oracle_run, careless], seed=5)
    assert change(other.pairs[0], "detection", "AP").low != change(first.pairs[0], "detection", "AP").low


def test_a_run_against_itself_differs_by_nothing(oracle_run: Path, scenes_folder: Path) -> None:
    (pair,) = compare([oracle_run, oracle_run], data=runs.data(scenes_folder), every=True).pairs
    assert (pair.first, pair.second) == ("oracle #1", "oracle #2")
    assert {c.difference for c in pair.metrics} == {0.0}
    assert {c.p for c in pair.metrics} == {1.0}
    assert {(s.ratio, s.p) for s in pair.times} == {(1.0, 1.0)}
    assert {s.phase for s in pair.times} >= {"total", "decode", "decode.depth", "preprocess"}
    assert "do not differ significantly in time" in pair.sentence


def test_a_folder_of_runs_stands_for_all_of_them(oracle_run: Path, scenes_folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        runs.altered(oracle_run, tmp_path / "runs" / name, scenes_folder, decoder=name, times=runs.noisy(ord(name)))
    deep = tmp_path / "runs/batch-1"  # as a sweep leaves them
    deep.mkdir()
    (tmp_path / "runs/a").rename(deep / "a")
    found = compare([tmp_path / "runs"], data=runs.data(scenes_folder))
    assert expand([tmp_path / "runs"]) == [tmp_path / "runs" / name for name in ("b", "batch-1/a", "c")]
    assert [(p.first, p.second) for p in found.pairs] == [("b", "a"), ("b", "c"), ("a", "c")]
    assert all(s.adjusted is not None and s.adjusted >= s.p for pair in found.pairs for s in pair.times)


def test_modes_and_batches_are_told_apart(oracle_run: Path, scenes_folder: Path, tmp_path: Path) -> None:
    record = read_record(oracle_run)
    batched = msgspec.structs.replace(record.latency, batch=8)
    graphed = runs.altered(oracle_run, tmp_path / "b", scenes_folder, decoder="mad", mode=Mode(name="graphed"))
    runs.altered(oracle_run, tmp_path / "a", scenes_folder, decoder="mad")
    eight = read_record(runs.altered(oracle_run, tmp_path / "c", scenes_folder, decoder="mad"))
    (tmp_path / "c" / RECORD).write_bytes(msgspec.json.encode(msgspec.structs.replace(eight, latency=batched)))
    found = compare([tmp_path / "a", graphed, tmp_path / "c"], data=runs.data(scenes_folder))
    assert list(found.runs) == ["mad", "mad.graphed", "mad.batch8"]
    assert "the runs differ in mode eager and graphed" in found.pairs[0].remarks


def test_other_data_is_refused(oracle_run: Path, scenes_folder: Path, tmp_path: Path) -> None:
    data = read_record(oracle_run).data | {"hash": "0123456789abcdef"}
    other = runs.altered(oracle_run, tmp_path / "other", scenes_folder, decoder="other", data=data)
    with pytest.raises(UserError, match=r"different data.*0123456789abcdef"):
        compare([oracle_run, other])
    with pytest.raises(UserError, match="two runs or more"):
        compare([oracle_run])


def test_on_other_hardware_time_is_not_compared(oracle_run: Path, scenes_folder: Path, tmp_path: Path) -> None:
    environment = read_record(oracle_run).environment | {"gpu": "Some GPU", "threads": 64}
    other = runs.altered(oracle_run, tmp_path / "gpu", scenes_folder, decoder="other", environment=environment)
    (pair,) = compare([oracle_run, other], data=runs.data(scenes_folder)).pairs
    assert pair.times == []
    assert "time is not compared: other hardware (gpu: None and Some GPU)" in pair.remarks
    assert pair.sentence.startswith("other has +0.0 box AP")


def test_what_may_have_disturbed_the_time_is_said(oracle_run: Path, scenes_folder: Path, tmp_path: Path) -> None:
    record = read_record(oracle_run)
    later = {"started": "2100-01-01T00:00:00+00:00", "finished": "2100-01-01T00:01:00+00:00"}
    changed: dict[str, Any] = {"options": record.options | {"batch": 8}, **later}
    changed["cost"] = record.cost | {"detection": msgspec.structs.replace(record.cost["detection"], sequences=2.0)}
    other = runs.altered(oracle_run, tmp_path / "later", scenes_folder, decoder="other", **changed)
    (pair,) = compare([oracle_run, other], data=runs.data(scenes_folder)).pairs
    assert any("batch 1 and 8" in remark for remark in pair.remarks)
    assert any("one after the other" in remark for remark in pair.remarks)
    assert any("unequal work (detection 1 and 2 sequences an image)" in remark for remark in pair.remarks)
    assert pair.times


def test_repeated_images_are_paired_by_their_repetition(oracle_run: Path, scenes_folder: Path, tmp_path: Path) -> None:
    """Runs for times alone decode images again; one of them may have had time for one more."""

    def again(name: str, count: int, factor: float) -> Path:
        out = runs.altered(oracle_run, tmp_path / name, scenes_folder, decoder=name)
        once = read_samples(out)
        lines = [
            msgspec.structs.replace(
                once[n % len(once)],
                repeat=n // len(once),
                milliseconds={"decode.depth": 1.0, "total": factor * (10.0 if n < len(once) else 30.0)},
            )
            for n in range(count)
        ]
        (out / SAMPLES).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        record = msgspec.structs.replace(read_record(out), checksum=checksum(lines), metrics={}, images=count)
        (out / RECORD).write_bytes(msgspec.json.encode(record))
        return out

    (pair,) = compare([again("short", 23, 1.0), again("long", 24, 1.5)], data=runs.data(scenes_folder)).pairs
    assert speed(pair, "total").ratio == pytest.approx(1.5)
    assert speed(pair, "total").first_ms == pytest.approx((12 * 10 + 11 * 30) / 23)
    assert "time is compared on the 23 images that both have, of 23 and 24" in pair.remarks


def test_with_other_tasks_only_the_decoding_of_common_ones_is_compared(
    oracle_run: Path, scenes_folder: Path, tmp_path: Path
) -> None:
    times = {"preprocess": 20.0, "decode.detection": 15.0, "total": 35.0}
    fewer = runs.altered(
        oracle_run,
        tmp_path / "f",
        scenes_folder,
        decoder="fewer",
        times=lambda number: dict(times),
        tasks=["detection"],
    )
    (pair,) = compare([oracle_run, fewer], data=runs.data(scenes_folder)).pairs
    assert [found.phase for found in pair.times] == ["decode"]
    assert speed(pair, "decode").ratio == pytest.approx(1.0)
    assert any("ran other tasks" in remark for remark in pair.remarks)


def test_without_samples_there_is_a_difference_but_no_interval(
    oracle_run: Path, careless: Path, scenes_folder: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.json"
    alone.write_bytes((careless / RECORD).read_bytes())
    (pair,) = compare([oracle_run, alone], data=runs.data(scenes_folder)).pairs
    box = change(pair, "detection", "AP")
    assert box.difference is not None and box.low is None and box.p is None
    assert box.note == "no interval: hasty has no samples beside its record"
    assert pair.times == []


def test_samples_of_another_run_are_refused(oracle_run: Path, careless: Path) -> None:
    (careless / SAMPLES).write_bytes((oracle_run / SAMPLES).read_bytes())
    with pytest.raises(StoreError, match="not of the run"):
        compare([oracle_run, careless])


def test_a_record_that_its_samples_do_not_give_is_refused(
    oracle_run: Path, careless: Path, scenes_folder: Path
) -> None:
    content = json.loads((careless / RECORD).read_text())
    content["metrics"]["detection"]["AP"] += 0.01
    (careless / RECORD).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"hasty, detection AP: the samples give"):
        compare([oracle_run, careless], data=runs.data(scenes_folder))


def test_the_data_must_be_given_where_it_is_not_the_embedded(
    oracle_run: Path, careless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECODER_BENCH_CACHE", str(tmp_path / "no-tables-here"))
    with pytest.raises(UserError, match="give it with --coco DIR"):
        compare([oracle_run, careless])
