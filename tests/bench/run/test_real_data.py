"""The ceilings on real COCO and NYUv2 images, held against what the sizes allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.config.loading import load_run
from bench.measurements.oracle_ceilings import VARIANTS, measure_ceilings
from bench.run.runner import run
from results.record import Record
from tests.bench.data.folders import shared


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    data = shared()
    out = tmp_path_factory.mktemp("real")
    words = ["--decoder", "oracle", "--coco", str(data / "coco_mini"), "--nyu", str(data / "nyu_mini")]
    (made,) = run(load_run([*words, "--accuracy-only", "--out", str(out), "--caption-tokenizer", "python"])).values()
    return made


def test_detection_and_keypoints_lose_half_a_bin_at_most(record: Record) -> None:
    assert record.metrics["detection"]["AP"] == pytest.approx(0.974, abs=0.001)
    assert record.metrics["keypoints"]["AP"] > 0.995


def test_segmentation_reaches_the_ceiling_of_its_grid(record: Record) -> None:
    assert record.metrics["segmentation"]["AP"] == pytest.approx(0.8425, abs=0.002)


def test_captions_lose_only_what_is_cut(record: Record) -> None:
    assert record.metrics["captioning"]["BLEU-4"] > 0.97


def test_depth_loses_detail_below_a_cell(record: Record) -> None:
    assert 0.1 < record.metrics["depth"]["rmse"] < 0.3
    assert record.metrics["depth"]["delta1"] > 0.97


def test_the_released_reading_costs_five_points(tmp_path: Path) -> None:
    data = shared() / "coco_mini"
    words = ["--decoder", "oracle", "--coco", str(data), "--tasks", "segmentation,keypoints", "--reading", "edge"]
    (made,) = run(load_run([*words, "--score-unseen", "--accuracy-only", "--out", str(tmp_path)])).values()
    assert made.metrics["detection"]["AP"] == pytest.approx(0.926, abs=0.001)
    assert made.metrics["segmentation"]["AP"] == pytest.approx(0.788, abs=0.002)
    assert made.metrics["keypoints"]["AP"] == pytest.approx(0.982, abs=0.002)


def test_the_table_of_ceilings_has_a_row_for_every_variant(tmp_path: Path) -> None:
    text = measure_ceilings(coco=None, nyu=shared() / "nyu_mini", split="val2017", out=tmp_path)
    assert (tmp_path / "ceilings.md").read_text() == text
    assert text.count("| depth |") == sum(variant.task == "depth" for variant in VARIANTS)
