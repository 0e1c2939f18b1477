"""The gate catches what is worse, lets pass what is not, and says "cannot tell" where it cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.errors import UserError
from bench.gate.gate import read_baselines
from bench.gate.gated_run import GatedRun, baseline_of, gated_runs
from bench.gate.judge import judge
from bench.gate.thresholds import BASELINES, FILE, Thresholds, read_thresholds
from results.baseline import Baseline, baseline_path, read_baseline, write_baseline
from results.gate_report import GateReport, Line
from results.record import Latency, Machine, Mode, Record, Sample, Timing
from results.run_files import RunFiles
from results.store import StoreError
from tasks.metrics.tables import MeanTable

IMAGES = 100
THRESHOLDS = read_thresholds(BASELINES / FILE)
QUIET: dict[str, Any] = {"cpu": "Some CPU", "cores": 2, "gpu": None, "threads": 1, "load_average": 1.0}


def record(decoder: str, checksum: str, rmse: float | None, **fields: Any) -> Record:
    timing = Timing(n=IMAGES, mean_ms=1.0, min_ms=1.0, max_ms=1.0)
    plain = {
        "preset": "embedded",
        "options": {"batch": 1, "device": "auto", "precision": "float32"},
        "data": {"hash": "abc"},
        "tasks": ["depth"],
        "off": {},
        "metrics": {"depth": {"rmse": rmse, "delta1": None}},
        "notes": {},
        "latency": Latency(total=timing, phases={}, batch=1, sittings=1),
        "cost": {},
        "environment": QUIET,
        "seed": 0,
        "images": IMAGES,
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
    }
    return Record(decoder=decoder, checksum=checksum, **(plain | fields))


def machine(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Speed of a machine over a run: it wanders by some percent within seconds."""
    slow = np.zeros(IMAGES)
    for n in range(1, IMAGES):
        slow[n] = 0.9 * slow[n - 1] + rng.normal(0, 0.02)
    return np.exp(slow + rng.normal(0, 0.03))


def run(
    seed: int,
    *,
    slower: float = 0.0,
    worse: float = 0.0,
    other: bool = False,
    drift: float | None = None,
    **fields: Any,
) -> GatedRun:
    """A run of a decoder that takes 80 ms, beside ``parallel`` (60 ms) and a calibration of 5 ms, taken in turns.

    Images differ; a run's errors are the same each time unless ``other``.
    """
    rng, own = np.random.default_rng(seed), np.random.default_rng(1000)
    errors = own.uniform(0.3, 0.9, IMAGES) + worse
    if other:
        errors = errors + rng.normal(0, 0.05, IMAGES)
    size, speed = own.uniform(0.8, 1.2, IMAGES), machine(rng)

    def times(ms: float) -> list[float]:
        return (ms * size * speed * np.exp(rng.normal(0, 0.05, IMAGES))).tolist()

    decode = np.array(times(60.0)) * (1 + slower)
    return GatedRun(
        record=record("mad", str(errors.sum()), float(errors.mean()), **fields),
        tables={"depth": MeanTable(range(IMAGES), {"rmse": errors}, frozenset({"rmse"}))},
        images=list(range(IMAGES)),
        total_ms=(decode + np.array(times(20.0))).tolist(),
        decode_ms=decode.tolist(),
        against={
            "parallel": {"total": times(60.0), "decode": times(40.0)},
            "calibration": {"total": times(5.0)},
        },
        interleaved=True,
        drift=drift,
    )


BASELINE = baseline_of(run(0))


def lines(
    now: GatedRun, baseline: Baseline | None = BASELINE, thresholds: Thresholds = THRESHOLDS
) -> Mapping[str, Line]:
    return {line.name: line for line in judge({"mad": now}, {"mad": baseline}, thresholds)}


def verdict(found: Mapping[str, Line]) -> str:
    return GateReport(preset="", commit=None, machine="", lines=list(found.values()), remarks=[]).verdict


def test_nothing_changed_and_the_gate_is_quiet() -> None:
    """A/A: 20 times the same decoder on a machine whose speed wanders, of which one may be a false alarm."""
    answers = [verdict(lines(run(seed))) for seed in range(1, 21)]
    assert answers.count("fail") <= 1
    assert answers.count("pass") >= 15, "a gate that never answers is quiet too"


def test_ten_percent_slower_is_caught() -> None:
    answers = [lines(run(seed, slower=0.1)) for seed in range(1, 21)]
    assert sum(found["decode time / parallel"].verdict == "fail" for found in answers) >= 19
    assert all(found["depth rmse"].verdict == "pass" for found in answers)
    line = answers[0]["decode time / parallel"]
    assert line.loss == pytest.approx(0.1, abs=0.03)
    assert line.low is not None and line.high is not None and 0.05 < line.low < 0.1 < line.high
    assert "slower" in line.reason and "surely more than 5 %" in line.reason
    assert line.detectable is not None and 0 < line.detectable < 0.05


def test_faster_passes() -> None:
    assert verdict(lines(run(1, slower=-0.3))) == "pass"


def test_worse_predictions_are_caught_and_better_ones_pass() -> None:
    worse, better = lines(run(1, worse=0.02, other=True)), lines(run(1, worse=-0.02, other=True))
    assert worse["depth rmse"].verdict == "fail"
    assert worse["depth rmse"].loss == pytest.approx(0.02, abs=0.012)
    assert better["depth rmse"].verdict == "pass"
    assert better["depth rmse"].now is not None and better["depth rmse"].before is not None


def test_equal_predictions_pass_whatever_the_noise() -> None:
    assert lines(run(1))["depth rmse"].reason == "the same predictions"


def test_equal_predictions_that_score_otherwise_fail() -> None:
    same = run(1)
    changed = replace(same, record=record("mad", same.record.checksum, 0.4))
    assert lines(changed)["depth rmse"].verdict == "fail"
    assert "the metric's computation changed" in lines(changed)["depth rmse"].reason
    renamed = replace(changed, record=record("mad", "of other tasks too", 0.4))
    assert lines(renamed)["depth rmse"].verdict == "fail", "the task's own table is the same"


def test_a_loss_that_may_be_large_or_nothing_cannot_be_told() -> None:
    now = run(1)
    noise = np.random.default_rng(5).normal(0, 0.2, IMAGES)
    errors = now.tables["depth"].values["rmse"] + noise - noise.mean() + 0.015  # type: ignore[attr-defined]
    tables = {"depth": MeanTable(range(IMAGES), {"rmse": errors}, frozenset({"rmse"}))}
    noisy = replace(now, tables=tables, record=record("mad", "other", float(errors.mean())))
    found = lines(noisy)["depth rmse"]
    assert found.verdict == "cannot tell"
    assert "it may be worse by" in found.reason and "has to be excluded" in found.reason


def test_on_a_busy_machine_a_slowdown_is_not_believed_but_no_slowdown_is() -> None:
    busy = QUIET | {"load_average": 3.4}
    found = lines(run(1, slower=0.3, environment=busy))["decode time / parallel"]
    assert found.verdict == "cannot tell"
    assert "surely more than 5 %, but the machine was busy (load 3.4" in found.reason
    calm = lines(run(1, environment=busy))
    assert calm["decode time / parallel"].verdict == "pass"
    assert calm["decode time / calibration"].verdict == "pass", "measured image by image"
    around = lines(run(1, environment=busy, drift=0.0))["decode time / calibration"]
    assert (around.verdict, around.reason[:20]) == ("cannot tell", "the machine was busy")


def test_a_slowdown_against_a_busy_baseline_is_not_believed() -> None:
    baseline = baseline_of(run(0, machine=Machine(fingerprint="f", other_cores=1.2)))
    found = lines(run(1, slower=0.3), baseline)["decode time / parallel"]
    assert found.verdict == "cannot tell"
    assert "when the baseline was measured, the machine was busy (other processes used 1.2 cores)" in found.reason
    assert lines(run(1), baseline)["decode time / parallel"].verdict == "pass"
    old = msgspec.structs.replace(baseline, busy=None, environment=QUIET | {"load_average": 5.0})
    assert "load 5.0" in lines(run(1, slower=0.3), old)["decode time / parallel"].reason


@pytest.mark.parametrize("slower", [0.0, 0.3])
@pytest.mark.parametrize("resumed", [False, True])
def test_times_that_were_not_taken_in_turns_say_nothing(slower: float, resumed: bool) -> None:
    now = run(1, slower=slower)
    if resumed:
        latency = msgspec.structs.replace(now.record.latency, sittings=2)
        now = replace(now, record=msgspec.structs.replace(now.record, latency=latency))
    else:
        now = replace(now, interleaved=False)
    found = lines(now)["decode time / parallel"]
    assert found.verdict == "cannot tell"
    assert ("interrupted and resumed" if resumed else "this run the decoders were not interleaved") in found.reason


def test_a_machine_that_changed_its_speed_makes_the_calibration_worthless() -> None:
    found = lines(run(1, slower=0.3, drift=0.2))
    assert found["decode time / calibration"].verdict == "cannot tell"
    assert "speed changed by +20 %" in found["decode time / calibration"].reason
    assert found["decode time / parallel"].verdict == "fail"


@pytest.mark.parametrize(
    ("fields", "name", "said"),
    [
        ({"data": {"hash": "xyz"}}, "accuracy", "other data"),
        ({"options": {"batch": 8, "device": "auto", "precision": "float32"}}, "total time / parallel", "batch 8, base"),
        ({"environment": QUIET | {"gpu": "Some GPU"}}, "total time / parallel", "the other had none"),
        ({"metrics": {}}, "depth rmse", "the task did not run"),
        ({"tasks": ["detection", "depth"]}, "total time / parallel", "other tasks (detection, depth; baseline depth)"),
        ({"mode": Mode(name="graphed")}, "total time / parallel", "mode graphed, baseline eager"),
        ({"options": {"batch": 1, "scenario": "stream"}}, "total time / parallel", "scenario stream, baseline latency"),
        ({"options": {"strategy": {"mad": {"remask": "lowest"}}}}, "accuracy", "strategy {'remask': 'lowest'}"),
        ({"options": {"formats": {"depth": "codes"}}}, "accuracy", "formats {'depth': 'codes'}, baseline {}"),
    ],
)
def test_what_cannot_be_compared_is_said(fields: dict[str, Any], name: str, said: str) -> None:
    found = lines(run(1, slower=0.3, **fields))[name]
    assert found.verdict == "cannot tell"
    assert said in found.reason


def test_options_of_other_strategies_and_settings_that_an_old_baseline_lacks_do_not_matter() -> None:
    options = {"batch": 1, "device": "auto", "precision": "float32", "strategy": {"parallel": {"x": 1}}}
    assert verdict(lines(run(1, options=options))) == "pass"
    old = msgspec.structs.replace(BASELINE, settings={"batch": 1, "threads": 1}, name="")
    assert verdict(lines(run(1), old)) == "pass"


def files(decoder: str, mode: str = "eager") -> RunFiles:
    times = {"decode.depth": 5.0, "calibration": 1.0, "total": 10.0 if mode == "eager" else 4.0}
    samples = [Sample(image_id=n, file="f", predictions={}, milliseconds=times, work={}) for n in range(IMAGES)]
    return RunFiles(Path(decoder) / mode, record(decoder, "c", 0.5, mode=Mode(name=mode)), samples)


def test_modes_of_one_decoder_are_runs_of_their_own(tmp_path: Path) -> None:
    both = [files(decoder, mode) for decoder in ("parallel", "mad") for mode in ("eager", "graphed")]
    found = gated_runs(both, lambda run: {})
    assert list(found) == ["parallel", "parallel.graphed", "mad", "mad.graphed"]
    assert found["mad.graphed"].against["parallel"]["total"][0] == 4.0, "beside parallel in the same mode"
    paths = [write_baseline(tmp_path, baseline_of(run)) for run in found.values()]
    assert sorted(path.name for path in paths)[:2] == ["embedded-mad.graphed.json", "embedded-mad.json"]
    assert {key[1] for key in read_baselines(tmp_path)} == set(found)
    with pytest.raises(UserError, match=r"both runs of mad\.graphed"):
        gated_runs([*both, files("mad", "graphed")], lambda run: {})


def test_another_machine_is_judged_by_ratios_with_wider_bounds() -> None:
    elsewhere = QUIET | {"cpu": "Other CPU", "cores": 64}
    assert lines(run(1, slower=0.1, environment=elsewhere))["decode time / parallel"].verdict == "pass"
    assert lines(run(1, slower=0.8, environment=elsewhere))["decode time / parallel"].verdict == "fail"


def test_images_that_are_missing_and_decoders_that_did_not_run() -> None:
    now = run(1)
    fewer = replace(now, images=list(range(1, IMAGES + 1)))
    assert lines(fewer)["total time / parallel"].reason == "the baseline is of other images"
    assert lines(now, None)["baseline"].verdict == "cannot tell"
    (line,) = judge({}, {"mad": BASELINE}, THRESHOLDS)
    assert (line.verdict, line.reason) == ("cannot tell", "it did not run")


def repeated(whole: GatedRun, *, images: int, count: int) -> GatedRun:
    """The same times as those of ``images`` images that were decoded again and again, the first ``count`` of them."""

    def cut(times: Any) -> list[float]:
        return list(times[:count])

    against = {name: {part: cut(ms) for part, ms in parts.items()} for name, parts in whole.against.items()}
    keys = [(n % images, n // images) if n >= images else n for n in range(count)]
    total, decode = cut(whole.total_ms), cut(whole.decode_ms)
    return replace(whole, images=keys, total_ms=total, decode_ms=decode, against=against)


def test_repeated_images_are_compared_repetition_by_repetition(tmp_path: Path) -> None:
    options = {"options": {"batch": 1, "device": "auto", "precision": "float32", "speed_only": True}}
    baseline = baseline_of(repeated(run(0, **options), images=30, count=70))
    assert read_baseline(write_baseline(tmp_path, baseline)) == baseline
    found = lines(repeated(run(1, slower=0.2, **options), images=30, count=95), baseline)
    assert found["decode time / parallel"].verdict == "fail"
    assert found["decode time / parallel"].loss == pytest.approx(0.2, abs=0.06)
    apart = replace(repeated(run(1, **options), images=30, count=70), images=list(range(100, 170)))
    assert lines(apart, baseline)["total time / parallel"].reason == "the baseline is of other images"


def test_the_worst_answer_counts() -> None:
    def report(*verdicts: str) -> GateReport:
        found = [Line(decoder="d", name="n", kind="speed", verdict=v, reason="") for v in verdicts]  # type: ignore[arg-type]
        return GateReport(preset="", commit=None, machine="", lines=found, remarks=[])

    assert report("pass", "pass").exit_code == 0
    assert report("pass", "cannot tell", "fail").exit_code == 1
    assert report("pass", "cannot tell").exit_code == 3
    assert report().exit_code == 3


def test_a_baseline_survives_its_file_and_stays_small(tmp_path: Path) -> None:
    path = write_baseline(tmp_path, BASELINE)
    assert path == baseline_path(tmp_path, "embedded", "mad")
    assert read_baseline(path) == BASELINE
    assert path.stat().st_size < 20_000
    assert judge({"mad": run(3)}, {"mad": read_baseline(path)}, THRESHOLDS) == judge(
        {"mad": run(3)}, {"mad": BASELINE}, THRESHOLDS
    )


def test_broken_baselines_are_refused(tmp_path: Path) -> None:
    plain = msgspec.to_builtins(BASELINE)
    for broken in ({"schema": "x"}, {**plain, "total_ms": [1.0]}, {**plain, "schema": "decoder-bench/baseline/9"}):
        (tmp_path / "b.json").write_bytes(msgspec.json.encode(broken))
        with pytest.raises(StoreError, match=r"b\.json: not a decoder-bench/baseline/1 file"):
            read_baseline(tmp_path / "b.json")
    with pytest.raises(StoreError, match="no baseline"):
        read_baseline(tmp_path / "absent.json")
    tables = {"depth": BASELINE.tables["depth"] | {"kind": "unheard-of"}}
    found = lines(run(1, worse=0.1), msgspec.structs.replace(BASELINE, tables=tables))["depth rmse"]
    assert found.verdict == "cannot tell" and "broken" in found.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accuracy: {default: {tolerance: 0.2, limit: 0.1}}", "0 <= tolerance < limit"),
        ("accuracy: {}", "accuracy has no default"),
        ("alpha: 3", "alpha 3"),
        ("speed: {parallel: fast}", "speed"),
        ("a: [", "while parsing"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(text: str, said: str, tmp_path: Path) -> None:
    sections = re.split(r"^(?=\w)", (BASELINES / FILE).read_text(), flags=re.MULTILINE)
    name = text.partition(":")[0]
    broken = tmp_path / "thresholds.yaml"
    broken.write_text("".join([*(section for section in sections if not section.startswith(name)), text]))
    with pytest.raises(UserError, match=said) as caught:
        read_thresholds(broken)
    assert str(broken) in str(caught.value)
