"""Intervals over seeds and images hold the truth as often as they say; those over images or two levels do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.config.studies import MeasureOptions
from bench.errors import UserError
from bench.measurements import simulated_studies
from bench.measurements.coverage import measure_coverage, simulate
from bench.paths import RESULTS

STUDIES = 400
SLACK = 3 * (0.95 * 0.05 / STUDIES) ** 0.5  # three standard errors of a share


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRUTH_SEEDS", "TRUTH_IMAGES", "IMAGES", "RESAMPLES"):
        monkeypatch.setattr(simulated_studies, name, 60)


def simulated(title: str, seeds: int, studies: int = STUDIES) -> dict[str, Any]:
    world = next(world for world in simulated_studies.worlds(0) if world.title.startswith(title))
    return simulate(world, seeds, simulated_studies.weights(), np.random.default_rng(1), studies=studies)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("title", ["images alone", "seeds 2 × images", "seeds alone", "interaction alone"])
def test_additive_differences(title: str, seeds: int) -> None:
    row = simulated(title, seeds)
    assert abs(row["coverage"]["seeds and images"] - 0.95) < SLACK + 0.01
    assert abs(row["power"] - 0.8) < 0.08
    if title == "seeds alone":
        assert row["coverage"]["two-level bootstrap"] < 0.9 and row["coverage"]["images alone"] < 0.1


def test_average_precision() -> None:
    row = simulated("average precision, equal", 3, 100)
    assert row["coverage"]["seeds and images"] > 0.9


def test_the_table_says_what_the_file_says_and_repeats(tmp_path: Path) -> None:
    texts = [measure_coverage(MeasureOptions(out=tmp_path / name, studies=3)) for name in ("first", "second")]
    assert texts[0] == texts[1] == (tmp_path / "first" / "coverage.md").read_text()
    rows = json.loads((tmp_path / "first" / "coverage.json").read_text())["rows"]
    assert len(rows) == 2 * len(simulated_studies.worlds(0)) and {row["seeds"] for row in rows} == {3, 5}
    with pytest.raises(UserError, match="--studies 0: give 1 or more"):
        MeasureOptions(studies=0)


def test_the_committed_table_covers_in_93_to_97_percent() -> None:
    committed = json.loads((RESULTS / "coverage.json").read_text())
    assert committed["studies"] >= 2000
    for row in committed["rows"]:
        assert 0.93 <= row["coverage"]["seeds and images"] <= 0.97, row
