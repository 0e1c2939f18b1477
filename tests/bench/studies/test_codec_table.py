"""The table of codecs and the table of real pairs, in small."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from bench.cli.main import main
from bench.cli.parser import parse
from bench.config.codecs import CodecTrainOptions
from bench.config.studies import CodecStudyOptions
from bench.studies import codec_table
from bench.studies.codec_pairs import PICTURE, colored, measure_pairs, pairs_options
from bench.studies.codec_table import VARIANTS, Variant, mean_depth_errors, measure_codecs
from tests.bench import tiny_presets as tiny
from tests.bench.data.folders import shared

FEW = (
    Variant("depth", "128 codes"),
    Variant("depth", "5 codes, half hidden, dead ones stay dead", codes=5, hidden=0.5, patch=4, revive=False),
    Variant("masks", "7 codes", codes=7),
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DECODER_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "training-cache"))


@pytest.fixture
def base(tmp_path: Path) -> CodecTrainOptions:
    root = tiny.data(tmp_path / "data")
    words = ["--codec", "depth", "--preset", "embedded", "--coco", str(root), "--nyu", str(root)]
    found: CodecTrainOptions = parse("train", words)
    return found


def test_every_variant_is_a_row_and_what_is_trained_is_not_trained_again(
    base: CodecTrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec_table, "VARIANTS", FEW)
    options = CodecStudyOptions(out=tmp_path / "out", runs=tmp_path / "runs", depth_steps=2, mask_steps=3)
    text = measure_codecs(options, base)
    assert (tmp_path / "out" / "codecs.md").read_text() == text
    data = json.loads((tmp_path / "out" / "codecs.json").read_text())
    assert [(row["variant"], row["steps"], row["shape"]["codes"]) for row in data["rows"]] == [
        ("128 codes", 2, 128), ("5 codes, half hidden, dead ones stay dead", 2, 5), ("7 codes", 3, 7),
    ]  # fmt: skip
    assert data["rows"][1]["training"] == {"flip": 0.5, "hidden": 0.5, "patch": 4, "revive": 0.0}
    for row in data["rows"]:
        assert f"| {row['variant']} |" in text
    assert f"RMSE {data['mean depth']['rmse']:.3f}" in text
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("state.pt")}
    assert len(times) == 3
    assert measure_codecs(options, base) == text
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("state.pt")} == times


def test_only_the_paper_s_choices_are_called_chosen() -> None:
    paper = json.loads(codec_table.PUBLISHED.read_text())

    def chosen(kind: str, codes: int, hidden: float, patch: int, revive: float) -> bool:
        training = {"hidden": hidden, "patch": patch, "revive": revive}
        row = {"codec": kind, "shape": {"codes": codes}, "training": training}
        return codec_table._chosen(row, paper) != "–"

    assert chosen("depth", 128, 0.5, 16, 0.3)
    assert chosen("masks", 128, 0.0, 16, 0.3)
    assert not any((chosen("depth", 128, 0.0, 16, 0.3), chosen("depth", 64, 0.5, 16, 0.3)))
    assert not any((chosen("depth", 128, 0.5, 4, 0.3), chosen("masks", 128, 0.0, 16, 0.0)))


def test_the_rows_are_the_issue_s() -> None:
    sizes = {(v.kind, v.codes) for v in VARIANTS}
    assert sizes == {(kind, codes) for kind in ("depth", "masks") for codes in (64, 128, 256)}
    assert len({v.name for v in VARIANTS}) == len(VARIANTS), "every training has its folder"
    assert any(v.hidden for v in VARIANTS if v.kind == "depth")


def test_the_mean_depth_s_error_is_the_deviation_of_one_image(base: CodecTrainOptions) -> None:
    one = dataclasses.replace(base, limit=1)
    chosen = dataclasses.replace(base.codecs.depth, evaluate_images=1)
    one = dataclasses.replace(one, codecs=dataclasses.replace(base.codecs, depth=chosen))
    from bench.builders.suite import open_dataset

    dataset = open_dataset(one.run_options("val2017", limit=1))
    depth = dataset.targets(dataset.samples[0]).depth
    assert depth is not None
    assert mean_depth_errors(one)["rmse"] == pytest.approx(
        float(depth[depth > 0].double().std(unbiased=False)), rel=1e-4
    )


def test_colors_run_from_near_to_far_and_leave_the_unknown_black() -> None:
    found = colored(torch.tensor([[0.0, 0.01, 10.0, 99.0]]))
    assert found.shape == (1, 4, 3)
    assert found[0, 0].tolist() == [0, 0, 0]
    assert found[0, 1, 2] > found[0, 1, 0], "near is blue"
    assert found[0, 2].tolist() == found[0, 3].tolist(), "far is the last color"
    assert found[0, 2, 0] > found[0, 2, 2], "which is red"


def test_real_pairs_get_a_row_each_and_a_picture_beside_the_training(tmp_path: Path) -> None:
    nyu = shared() / "nyu_mini"
    options = CodecStudyOptions(nyu=nyu, out=tmp_path / "out", runs=tmp_path / "runs", pair_steps=2)
    text = measure_pairs(options, pairs_options(options, nyu))
    data = json.loads((tmp_path / "out" / "codecs_nyu.json").read_text())
    assert len(data["rows"]) == 9
    assert data["mean"]["rmse"] == pytest.approx(sum(row["rmse"] for row in data["rows"]) / 9)
    assert all(row["pair"] in text for row in data["rows"])
    with Image.open(tmp_path / "runs" / "nyu-0" / PICTURE) as picture:
        assert picture.size == (3 * 320, 9 * 240)
    assert not list((tmp_path / "out").glob("*.png")), "real images stay out of the results"
    assert str(nyu) not in json.dumps(data)


def test_a_folder_that_cannot_be_written_is_found_before_any_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["codecs", "--out", str(tmp_path / "file"), "--runs", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
