"""Decoders of a run take turns; what is interrupted ends as a run in one piece."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from bench.errors import UserError
from bench.run.decoder_run import DecoderRun
from results.record import Record, Sample, json_schema
from results.store import PARTIAL, RunFolder, StoreError, read_samples
from tests.bench.run.measuring import Measure


def same(record: Record) -> object:
    """What must not depend on how a run came about."""
    return (
        record.metrics,
        record.checksum,
        record.data,
        record.images,
        record.cost,
        record.signature,
        record.work.keys(),
    )


def test_decoders_take_turns_and_each_scores_as_it_does_alone(measure: Measure, tmp_path: Path) -> None:
    together, alone = measure("together"), measure("alone", decoder="mad")
    for record in together.values():
        assert record.interleaved == ["parallel", "mad"]
        jsonschema.validate(
            json.loads((tmp_path / "together" / record.decoder / "record.json").read_text()), json_schema()
        )
    assert alone["mad"].interleaved == ["mad"]
    assert together["mad"].metrics == alone["mad"].metrics
    assert together["mad"].checksum == alone["mad"].checksum
    assert together["mad"].signature != together["parallel"].signature


def test_turns_go_image_by_image(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    step = DecoderRun.step

    def told(run: DecoderRun) -> None:
        order.append(run.name)
        step(run)

    monkeypatch.setattr(DecoderRun, "step", told)
    measure("run", "--limit", "3")
    assert order == ["parallel", "mad"] * 3


def test_a_budget_ends_all_decoders_at_the_same_image(measure: Measure, tmp_path: Path) -> None:
    records = measure("run", "--budget", "0.001s")
    assert {record.images for record in records.values()} == {1}
    assert {record.latency.ended for record in records.values()} == {"budget"}
    ids = [[sample.image_id for sample in read_samples(tmp_path / "run" / name)] for name in records]
    assert ids[0] == ids[1]
    told = "the budget ended the measurement before all images were decoded: accuracy and times are of 1 of 12"
    assert all(told in record.warnings for record in records.values())


@pytest.mark.parametrize("batch", ["1", "5"])
def test_interrupted_turns_end_in_the_records_of_a_run_in_one_piece(
    measure: Measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: str
) -> None:
    """Killed between two lines, which with batches is within one; the other decoder's lines stand as they are."""
    whole = measure("whole", "--batch", batch)
    with monkeypatch.context() as patch:
        lines: list[Sample] = []
        append = RunFolder.append

        def killed(folder: RunFolder, sample: Sample) -> None:
            if len(lines) == 13:
                raise KeyboardInterrupt
            lines.append(sample)
            append(folder, sample)

        patch.setattr(RunFolder, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            measure("broken", "--batch", batch)
    before = {name: (tmp_path / "broken" / name / PARTIAL).read_bytes().splitlines()[1:] for name in whole}
    assert sum(map(len, before.values())) == 13 and all(before.values())
    resumed = measure("broken", "--batch", batch)
    for name, record in whole.items():
        assert same(resumed[name]) == same(record)
        assert resumed[name].latency.sittings == 2
        after = (tmp_path / "broken" / name / "samples.jsonl").read_bytes().splitlines()
        assert set(before[name]) < set(after), "what was measured before is kept as it was"


def test_a_run_is_not_continued_with_other_weights_or_code(
    measure: Measure, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(DecoderRun, "end_turn", lambda run, milliseconds: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            measure("run", decoder="mad")
    for place, changed in (
        ("bench.run.plan.weights_hashes", {"mad": "other"}),
        ("bench.run.runner.source_hash", "other"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, lambda *given, found=changed: found)
            with pytest.raises(StoreError, match=r"weights.mad" if "weights" in place else r"code.source"):
                measure("run", decoder="mad")
    record = measure("run", decoder="mad")["mad"]
    card = json.loads(next(weights.rglob("mad.json")).read_text())
    assert record.latency.sittings == 2 and record.weights["mad"] == card["hash"]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--speed-only", "--accuracy-only"), "nothing is left to do"),
        (("--random-weights",), "give --speed-only too"),
        (("--mode", "fast"), "unknown mode 'fast'"),
        (("--mode", "eager,eager"), "name each mode once"),
        (("--scenario", "latency", "--batch", "2"), "decodes images one by one"),
        (("--budget", "soon"), "give a time"),
    ],
)
def test_options_that_contradict_each_other(measure: Measure, more: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        measure("run", *more)
