"""Change points are where the level changes and nowhere else; the history survives cut lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.cli.main import main
from bench.config.analysis import HistoryOptions
from bench.gate.history import history
from bench.stats.change_points import segments
from reports.terminal.history_plot import CHANGE, LEVEL, MARK, plot
from results.history import HistoryEntry, append, read
from results.store import StoreError


def starts(values: object, least: int = 3) -> list[int]:
    return [segment.start for segment in segments(values, least=least)]  # type: ignore[arg-type]


def test_noise_has_no_change_point() -> None:
    rng = np.random.default_rng(0)
    false = [len(starts(rng.normal(1, 0.05, 40))) > 1 for _ in range(100)]
    assert np.mean(false) <= 0.05


@pytest.mark.parametrize("where", [5, 20, 37])
def test_a_step_is_found_at_its_place(where: int) -> None:
    rng = np.random.default_rng(where)
    values = rng.normal(1, 0.01, 40)
    values[where:] += 0.06
    found = starts(values)
    assert len(found) == 2 and abs(found[1] - where) <= 1
    assert segments(values)[1].level - segments(values)[0].level == pytest.approx(0.06, abs=0.02)


def test_two_steps_and_an_outlier() -> None:
    values = np.concatenate([np.full(10, 1.0), np.full(10, 1.2), np.full(10, 0.9)])
    values += np.random.default_rng(1).normal(0, 0.01, 30)
    values[4] = 5.0
    assert starts(values) == [0, 10, 20]


def test_a_deterministic_metric_changes_exactly_once_and_only_after_the_least_length() -> None:
    assert starts([0.37] * 10 + [0.36] * 3) == [0, 10]
    assert starts([0.37] * 10 + [0.36] * 2) == [0]
    assert starts([0.37] * 10 + [0.36] * 2, least=2) == [0, 10]


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [0.0] * 8])
def test_short_and_flat_series(values: list[float]) -> None:
    found = segments(values)
    assert [(segment.start, segment.stop) for segment in found] == ([(0, len(values))] if values else [])


def entry(number: int, *, machine: str = "m1", decoder: str = "mad") -> HistoryEntry:
    fast = number < 6
    return HistoryEntry(
        date=f"2026-01-{number + 1:02d}T00:00:00+00:00",
        commit=f"{number:040x}",
        dirty=number == 3,
        decoder=decoder,
        preset="embedded",
        data="abcdef",
        machine=machine,
        processor="Some CPU",
        metrics={"detection AP": 0.37, "captioning METEOR": None},
        ratios={"total/parallel": (1.2 if fast else 1.5) + 0.001 * (number % 3)},
        ms=70.0,
        checksum="c",
    )


def test_lines_are_appended_and_a_cut_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "new" / "history.jsonl"
    append(path, [entry(0), entry(1)])
    path.write_bytes(path.read_bytes()[:-20])
    append(path, [entry(2)])
    assert [e.date[8:10] for e in read(path)] == ["01", "03"]
    with pytest.raises(StoreError, match="no history"):
        read(tmp_path / "absent")


def test_a_series_shows_its_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "history.jsonl"
    append(path, [entry(n) for n in range(12)])
    append(path, [entry(n, machine="m2") for n in range(4)])
    series = history(HistoryOptions(metric="total/parallel", file=path))
    assert [len(one.values) for one in series] == [12, 4], "machines are kept apart"
    assert series[0].changes == [6]
    lines = plot(series[0], width=40)
    assert sum(line.count(MARK) for line in lines) == 12
    assert any(line.count(LEVEL) >= 1 for line in lines[1:-3])
    (marked,) = (line for line in lines if set(line.strip()) == {CHANGE})
    assert marked.index(CHANGE) == 12 + 6
    assert any("2026-01-07 000000000: 1.201 → 1.501 (+25.0 %)" in line for line in lines)
    assert len(history(HistoryOptions(metric="detection.AP", file=path))) == 1, "accuracy knows no machine"
    assert len(plot(series[0], width=20)[1]) <= 22
    assert main(["history", "--file", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["detection AP", "captioning METEOR", "total/parallel", "ms"]
    assert main(["history", "ms", "--file", str(path), "--decoder", "nobody"]) == 2
