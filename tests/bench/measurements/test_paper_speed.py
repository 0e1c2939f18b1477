"""Speed at the paper's size, shown on a small one: equal work, an interruption, and where the time goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.config.loading import load_run
from bench.config.run import RunOptions
from bench.measurements import cpu_time_mad
from bench.measurements.paper_load import TASKS, PaperLoad, paper_load
from bench.measurements.paper_speed import PARTIAL, STRATEGIES, measure_paper_speed
from tests.bench.tiny_weights import small


@pytest.fixture
def options(tmp_path: Path) -> RunOptions:
    return load_run(["--preset", "embedded", "--config", str(small(tmp_path / "config")), "--decoder", "mad"])


@pytest.fixture
def load(options: RunOptions) -> PaperLoad:
    return paper_load(options, size=(32, 48), instances=3, persons=1)


def test_all_rows_decode_the_same_sequences(options: RunOptions, load: PaperLoad, tmp_path: Path) -> None:
    text = measure_paper_speed(options, out=tmp_path, repeats=1, load=load, log=lambda message: None)
    data = json.loads((tmp_path / "paper_speed_embedded.json").read_text())
    assert data["sequences"] == {"detection": 1, "segmentation": 3, "keypoints": 1, "captioning": 1}
    assert data["tokens"]["segmentation"] == 3 * 36
    assert set(data["rows"]) == {"encoding", *STRATEGIES}
    for row in STRATEGIES:
        assert set(data["rows"][row]) == set(TASKS)
        assert all(phase["work"]["operations"] > 0 < phase["floor_seconds"] for phase in data["rows"][row].values())
    steps, once = (data["rows"][row]["detection"]["work"] for row in ("autoregressive", "parallel"))
    assert steps["bytes"] > 5 * once["bytes"], "every step reads the weights"
    assert "3953" in text and text == (tmp_path / "paper_speed_embedded.md").read_text()
    assert not list(tmp_path.glob(f"*{PARTIAL}"))


def test_an_interrupted_measurement_goes_on(options: RunOptions, load: PaperLoad, tmp_path: Path) -> None:
    messages: list[str] = []

    def interrupted(message: str) -> None:
        messages.append(message)
        if len(messages) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_paper_speed(options, out=tmp_path, repeats=1, load=load, log=interrupted)
    rest: list[str] = []
    measure_paper_speed(options, out=tmp_path, repeats=1, load=load, log=rest.append)
    names = [message.partition(":")[0] for message in (*messages[:4], *rest)]
    assert len(set(names)) == len(names) == 2 + len(STRATEGIES) * len(TASKS), "the fifth was not written yet"
    again: list[str] = []
    measure_paper_speed(options, out=tmp_path, repeats=1, load=load, log=again.append)
    assert len(again) == len(names), "a finished measurement is done anew"


def test_cpu_time_shows_the_floor(
    options: RunOptions, load: PaperLoad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_time_mad, "paper_load", lambda options: load)
    text = cpu_time_mad.measure_mad_time(options, out=tmp_path, repeats=1)
    data = json.loads((tmp_path / "paper_time_embedded.json").read_text())
    for name, phase in data["phases"].items():
        floor = max(
            phase["work"]["operations"] / data["rates"]["operations"], phase["work"]["bytes"] / data["rates"]["bytes"]
        )
        assert phase["floor_seconds"] == pytest.approx(floor)
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
        assert f"{100 * floor / data['seconds']['float32'][name]:.0f} %" in row
