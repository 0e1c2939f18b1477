"""The command ``gate`` on finished runs: baselines, answers as JSON, Markdown and JUnit, lines of the history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.cli.main import main
from bench.system.calibration import Workload, read_calibration, write_calibration
from results.history import read
from results.record import Machine
from results.store import read_record
from tests.bench import altered_runs as runs

TURNS = {"started": "2026-01-01T00:00:00+00:00", "interleaved": ["mad", "parallel"]}


class Bench:
    """A folder of baselines and runs of `mad` and `parallel` that were taken in turns."""

    def __init__(self, oracle_run: Path, scenes: Path, root: Path) -> None:
        self.oracle, self.scenes, self.root = oracle_run, scenes, root
        self.machine: Machine | None = None
        self.minute = 0
        self.environment = read_record(oracle_run).environment | {"load_average": 0.5, "threads": 1}

    def run(self, name: str, *, slower: float = 1.0, calibrated: bool = True, worse: bool = False) -> Path:
        folder = self.root / name
        self.minute += 1
        finished = f"2026-01-01T00:{self.minute:02d}:00+00:00"
        given = {"finished": finished} | TURNS | {"environment": self.environment, "machine": self.machine}
        for seed, (decoder, factor) in enumerate((("mad", slower), ("parallel", 0.8))):
            times = runs.noisy(seed + 10 * len(name), factor=factor, spread=0.01)
            change = runs.worse if worse and decoder == "mad" else None
            path = folder / decoder
            runs.altered(self.oracle, path, self.scenes, decoder=decoder, change=change, times=times, **given)
        if calibrated:
            write_calibration(folder, [5.0] * 9, [5.05] * 9)
        return folder

    def gate(self, folder: Path, *more: str) -> int:
        places = ["--coco", str(self.scenes), "--nyu", str(self.scenes), "--baselines", str(self.root / "baselines")]
        kept = ["--out", str(self.root / "report"), "--history", str(self.root / "history.jsonl")]
        return main(["gate", str(folder), *places, *kept, *more])

    def answers(self, decoder: str = "mad") -> dict[str, str]:
        written = json.loads((self.root / "report/gate.json").read_text())
        return {line["name"]: line["verdict"] for line in written["lines"] if line["decoder"] == decoder}


@pytest.fixture
def bench(oracle_run: Path, scenes_folder: Path, tmp_path: Path) -> Bench:
    return Bench(oracle_run, scenes_folder, tmp_path)


def test_the_first_run_becomes_the_baseline_and_the_next_passes(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    first = bench.run("first")
    assert bench.gate(first) == 2, "there is no baseline yet"
    assert bench.gate(first, "--update-baseline") == 0
    assert "embedded-mad.json" in capsys.readouterr().out
    assert all(path.stat().st_size < 2**20 for path in (bench.root / "baselines").iterdir())
    assert bench.gate(bench.run("second")) == 0
    assert set(bench.answers().values()) == {"pass"}
    assert set(bench.answers()) >= {"detection AP", "depth rmse", "total time / parallel", "decode time / calibration"}
    assert "gate: pass" in capsys.readouterr().out


def test_a_slower_decoder_fails_and_worse_predictions_do(bench: Bench) -> None:
    bench.gate(bench.run("first"), "--update-baseline")
    assert bench.gate(bench.run("slow", slower=1.15)) == 1
    found = bench.answers()
    assert found["total time / parallel"] == found["decode time / calibration"] == "fail"
    assert found["detection AP"] == "pass"
    assert bench.gate(bench.run("worse", worse=True)) == 1
    found = bench.answers()
    assert found["detection AP"] == found["depth rmse"] == "fail"
    assert found["total time / parallel"] == "pass"
    assert bench.gate(bench.root / "worse", "--kind", "speed") == 0
    assert not any(name.startswith("depth") for name in bench.answers())


def test_a_busy_run_becomes_no_baseline_unless_forced(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.machine = Machine(fingerprint="f", other_cores=0.9)
    folder = bench.run("busy")
    assert bench.gate(folder, "--update-baseline") == 2
    assert "mad: the machine was busy (other processes used 0.9 cores)" in capsys.readouterr().err
    assert not (bench.root / "baselines").exists()
    assert bench.gate(folder, "--update-baseline", "--force") == 0
    assert bench.gate(folder) == 3
    found = bench.answers()
    assert found["total time / parallel"] == "pass", "both were disturbed, and are no slower than before"
    assert found["total time / calibration"] == "cannot tell"


def test_only_what_was_judged_becomes_the_baseline(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """``parallel`` runs beside the others whether it was asked for or not."""
    folder = bench.run("first")
    assert bench.gate(folder, "--decoder", "mad", "--update-baseline") == 0
    assert [path.name for path in (bench.root / "baselines").iterdir()] == ["embedded-mad.json"]
    assert bench.gate(folder, "--kind", "speed", "--update-baseline") == 2
    assert "a baseline is replaced whole" in capsys.readouterr().err


def test_without_calibration_that_ratio_cannot_be_told(bench: Bench) -> None:
    bench.gate(bench.run("first"), "--update-baseline")
    assert bench.gate(bench.run("bare", calibrated=False)) == 3
    assert bench.answers()["total time / calibration"] == "cannot tell"
    assert bench.gate(bench.root / "bare", "--decoder", "autoregressive") == 3


def test_reports_for_machines(bench: Bench) -> None:
    bench.gate(bench.run("first"), "--update-baseline")
    bench.gate(bench.run("slow", slower=1.15, calibrated=False))
    suites = ElementTree.parse(bench.root / "report/gate.xml").getroot()  # noqa: S314  (our own file)
    assert [suite.get("name") for suite in suites] == ["mad", "parallel"]
    mad = suites[0]
    failed = [case.get("name") for case in mad if case.find("failure") is not None]
    assert failed == ["total time / parallel", "decode time / parallel"]
    skipped = [case for case in mad if case.find("skipped") is not None]
    assert (mad.get("failures"), mad.get("skipped")) == ("2", str(len(skipped)))
    text = (bench.root / "report/gate.md").read_text()
    assert "gate: fail" in text and "| ✗ | mad | total time / parallel |" in text


def test_every_gate_adds_a_line_a_decoder_to_the_history(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for number, slower in enumerate((1.0, 1.0, 1.3, 1.3)):
        bench.gate(bench.run(f"run{number}", slower=slower), "--update-baseline")
    file = bench.root / "history.jsonl"
    entries = read(file)
    assert len(entries) == 8
    assert entries[0].ratios["total/parallel"] == pytest.approx(1.25, rel=0.02)
    assert entries[0].metrics["detection AP"] == read_record(bench.oracle).metrics["detection"]["AP"]
    bench.gate(bench.root / "run3")
    assert main(["history", "--file", str(file), "--add", str(bench.root / "run0")]) == 0
    assert len(read(file)) == 8, "a run that is judged again is in the history already"
    elsewhere = str(bench.root / "elsewhere.jsonl")
    for _ in range(2):
        assert main(["history", "--file", elsewhere, "--add", f'["{bench.root / "run0"}"]']) == 0
        assert len(read(Path(elsewhere))) == 2
    capsys.readouterr()
    assert main(["history", "total/parallel", "--file", str(file), "--decoder", "mad", "--segment", "2"]) == 0
    printed = capsys.readouterr().out
    assert "total/parallel: mad" in printed and "●" in printed
    assert main(["history", "detection.AP", "--file", str(file)]) == 0
    assert "detection AP: parallel" in capsys.readouterr().out
    assert main(["history", "detection.PA", "--file", str(file)]) == 2
    assert "detection AP" in capsys.readouterr().err


def test_nothing_to_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def gate(*words: Sequence[str]) -> int:
        return main(["gate", *map(str, words)])

    (tmp_path / "none").mkdir()
    assert gate("--baselines", str(tmp_path / "none"), "--out", str(tmp_path)) == 2
    assert f"--baselines {tmp_path / 'none'}: holds no baseline" in capsys.readouterr().err
    assert gate("--preset", "mad-r50", "--out", str(tmp_path)) == 2
    assert "--update-baseline to write the first" in capsys.readouterr().err
    assert gate(str(tmp_path / "absent")) == 2
    assert gate("--thresholds", str(tmp_path / "absent.yaml")) == 2
    assert "absent.yaml: no such file" in capsys.readouterr().err
    assert gate("--decoder", "mda") == 2
    assert "unknown decoder 'mda' (did you mean 'mad'?)" in capsys.readouterr().err
    assert gate(str(tmp_path / "none"), "--limit", "3") == 2
    assert "leave it out beside finished runs" in capsys.readouterr().err


def test_the_calibration_workload_repeats_and_its_file_is_read_back(tmp_path: Path) -> None:
    assert Workload()() > 0
    assert read_calibration(tmp_path) is None
    found = write_calibration(tmp_path, [4.0, 5.0, 9.0], [6.0, 6.0])
    assert read_calibration(tmp_path) == found
    assert found.drift == pytest.approx(0.2)
    assert found.per_image(3) == pytest.approx([5.0, 30**0.5, 6.0])
