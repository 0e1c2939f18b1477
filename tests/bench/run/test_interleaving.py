"""Runs as a whole: decoders that take turns, modes, budgets, interruptions, times without data or accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from bench.config.loading import load_run
from bench.errors import UserError
from bench.inference import execution_modes as modes
from bench.run import peak_rates, runner
from bench.run.decoder_run import DecoderRun
from bench.run.runner import run
from bench.run.stopping import WarmUpRule
from results.record import Record, Sample, json_schema
from results.store import PARTIAL, RunFolder, StoreError, read_record, read_samples
from tests.bench.fake_accelerators import Compiled, Graphed
from tests.bench.tiny_weights import small, words, write_weights

TASKS = ("--tasks", "segmentation,depth")


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """One repetition of warm-up, and rates that nobody measures."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.run.interleaving.WarmUpRule", lambda: WarmUpRule(most=1))
        patch.setattr("bench.run.peak_rates.SECONDS", 0.0)
        patch.setitem(peak_rates.SIDES, "cpu", 16)
        patch.setitem(peak_rates.COPIED, "cpu", 1024)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights(scenes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECODER_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return write_weights(scenes_folder, tmp_path_factory.mktemp("weights"), "parallel", "mad")


@pytest.fixture
def said() -> list[str]:
    return []


Measure = Callable[..., dict[str, Record]]


@pytest.fixture
def measure(scenes_folder: Path, weights: Path, tmp_path: Path, said: list[str]) -> Measure:
    """Runs ``parallel`` and ``mad`` in a folder of the given name; records by the folder's name."""

    def measured(out: str, *more: str, decoder: str = "parallel,mad") -> dict[str, Record]:
        base = words(scenes_folder, weights, *TASKS, "--decoder", decoder, "--out", str(tmp_path / out))
        base += ["--prompts", "annotated"]  # random weights find nothing
        return {path.name: record for path, record in run(load_run([*base, *more]), said.append).items()}

    return measured


@pytest.fixture
def speed(tmp_path: Path, said: list[str]) -> Measure:
    """Times of random weights on random images."""

    def measured(out: str, *more: str) -> dict[str, Record]:
        base = ["--preset", "embedded", "--config", str(small(tmp_path)), "--out", str(tmp_path / out), *TASKS]
        base += ["--speed-only", "--random-weights", "--min-seconds", "0", "--min-images", "3", "--instances", "4"]
        return {path.name: record for path, record in run(load_run([*base, *more]), said.append).items()}

    return measured


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
    assert times.process_ms["total"] == pytest.approx(sum(v for k, v in times.process_ms.items() if k != "total"))
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


def test_a_budget_ends_all_decoders_at_the_same_image(measure: Measure, tmp_path: Path) -> None:
    records = measure("run", "--budget", "0.001s")
    assert {record.images for record in records.values()} == {1}
    assert {record.latency.ended for record in records.values()} == {"budget"}
    ids = [[sample.image_id for sample in read_samples(tmp_path / "run" / name)] for name in records]
    assert ids[0] == ids[1]
    told = "the budget ended the measurement before all images were decoded: accuracy and times are of 1 of 12"
    assert all(told in record.warnings for record in records.values())


def test_few_images_are_marked(measure: Measure) -> None:
    few = "times are of 2 images"
    (record,) = measure("few", "--limit", "2", decoder="mad").values()
    assert any(warning.startswith(few) for warning in record.warnings)
    (record,) = measure("enough", "--limit", "2", "--min-images", "2", "--min-seconds", "0", decoder="mad").values()
    assert not any(warning.startswith(few) for warning in record.warnings)


def test_a_mode_that_fails_is_left_out_and_the_others_are_measured(
    measure: Measure, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Graphed):
        def encode(self, features: Any) -> Any:
            raise RuntimeError("operation not permitted when stream is capturing\nand much more")

    monkeypatch.setattr(modes, "Graphed", Failing)
    monkeypatch.setattr(modes, "unavailable_reason", lambda mode, device, network: None)
    assert list(measure("run", "--mode", "eager,graphed", "--limit", "1", decoder="mad")) == ["mad"]
    assert said == ["left out: mad.graphed: RuntimeError: operation not permitted when stream is capturing"]
    assert not (tmp_path / "run/mad.graphed").exists()
    with pytest.raises(UserError, match="nothing is left"):
        measure("none", "--mode", "graphed", "--limit", "1", decoder="mad")


def test_a_mode_that_fails_in_the_middle_is_left_out_too(
    measure: Measure, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the third image, as where a new shape cannot be compiled; its lines stay for another attempt."""
    step, turns = DecoderRun.step, {"mad": 0, "mad.graphed": 0}

    def failing(run: DecoderRun) -> None:
        turns[run.name] += 1
        if run.mode == "graphed" and turns[run.name] == 3:
            raise RuntimeError("an illegal memory access was encountered")
        step(run)

    monkeypatch.setattr(modes, "Graphed", Graphed)
    monkeypatch.setattr(modes, "unavailable_reason", lambda mode, device, network: None)
    with monkeypatch.context() as patch:
        patch.setattr(DecoderRun, "step", failing)
        records = measure("run", "--mode", "eager,graphed", "--limit", "5", decoder="mad")
    assert list(records) == ["mad"] and records["mad"].images == 5 and records["mad"].interleaved == ["mad"]
    assert turns == {"mad": 5, "mad.graphed": 3}
    assert said == ["left out: mad.graphed: RuntimeError: an illegal memory access was encountered"]
    assert len((tmp_path / "run/mad.graphed" / PARTIAL).read_bytes().splitlines()) == 1 + 2
    again = measure("run", "--mode", "graphed", "--limit", "5", decoder="mad")["mad.graphed"]
    assert again.images == 5 and again.checksum == records["mad"].checksum


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
    monkeypatch.setattr("bench.run.plan.STREAM", (1, 2, 4))
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


@pytest.mark.parametrize(("mode", "fake"), [("graphed", Graphed), ("compiled", Compiled)])
def test_modes_give_the_same_predictions_in_records_of_their_own(
    measure: Measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, fake: type
) -> None:
    monkeypatch.setattr(modes, fake.__name__, fake)
    monkeypatch.setattr(modes, "unavailable_reason", lambda mode, device, network: None)
    records = measure("run", "--mode", f"eager,{mode}", "--limit", "4", decoder="mad")
    plain, other = records["mad"], records[f"mad.{mode}"]
    assert plain.mode.name == "eager" and plain.mode.prepared == 0
    assert other.mode.name == mode and other.mode.prepared > 0 and other.mode.prepare_ms > 0
    assert other.mode.checked_images == 2 and other.mode.checked_tokens > 0 and other.mode.different_tokens == 0
    assert (other.checksum, other.metrics) == (plain.checksum, plain.metrics)
    lines = [[line.tokens for line in read_samples(tmp_path / "run" / name)] for name in records]
    assert lines[0] == lines[1]
    assert not any("differ" in warning for warning in other.warnings)
    assert (other.mode.compared_images, other.mode.different_images) == (4, 0)
    assert plain.mode.compared_images == 0


def test_a_mode_that_flips_tokens_is_told(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Graphed):
        def logits(self, hidden: torch.Tensor, ids: torch.Tensor | slice) -> torch.Tensor:
            return -super().logits(hidden, ids)

    monkeypatch.setattr(modes, "Graphed", Wrong)
    monkeypatch.setattr(modes, "unavailable_reason", lambda mode, device, network: None)
    record = measure("run", "--mode", "graphed", "--limit", "2", decoder="mad")["mad.graphed"]
    assert record.mode.different_tokens > 0
    assert any(
        f"{record.mode.different_tokens} of {record.mode.checked_tokens} tokens differ" in w for w in record.warnings
    )


def test_a_token_that_differs_anywhere_in_the_run_is_told(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third image is not among those that are checked before."""
    kept = DecoderRun._sample

    def flipped(run: DecoderRun, read: Any, *more: Any) -> Sample:
        line = kept(run, read, *more)
        if run.mode == "graphed" and run.images == 2:
            line.tokens["depth"] = "0" * 16
        return line

    monkeypatch.setattr(DecoderRun, "_sample", flipped)
    monkeypatch.setattr(modes, "Graphed", Graphed)
    monkeypatch.setattr(modes, "unavailable_reason", lambda mode, device, network: None)
    record = measure("run", "--mode", "eager,graphed", "--limit", "4", decoder="mad")["mad.graphed"]
    assert (record.mode.compared_images, record.mode.different_images) == (4, 1)
    assert "graphed: 1 of 4 images have other tokens than in eager mode" in record.warnings


def test_modes_that_cannot_be_are_left_out_and_told(measure: Measure, said: list[str]) -> None:
    records = measure("run", "--mode", "eager,graphed", "--limit", "1", decoder="mad")
    assert list(records) == ["mad"]
    assert said == ["left out: mad, graphed: CUDA graphs need a GPU"]
    with pytest.raises(UserError, match="no decoder of this run"):
        measure("none", "--mode", "graphed", decoder="mad")


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


def test_the_yardstick_is_measured_before_each_batch(measure: Measure, tmp_path: Path) -> None:
    record = measure("run", "--calibrate", "--limit", "3", decoder="mad")["mad"]
    assert all(line.milliseconds["calibration"] > 0 for line in read_samples(tmp_path / "run/mad"))
    assert record.latency.phases["calibration"].n == 3
    inside = [
        v.mean_ms for name, v in record.latency.phases.items() if name not in ("read", "score", "loop", "calibration")
    ]
    assert sum(inside) == pytest.approx(record.latency.total.mean_ms)
