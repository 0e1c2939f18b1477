"""Further tables of studies: codecs, pairs, thresholds and times."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch
import yaml
from PIL import Image

from bench import paths
from bench.builders.open_suite import open_dataset
from bench.config.loading import load_codec
from bench.config.studies import StudyOptions
from bench.studies.engine import run_study
from bench.studies.pictures import PICTURE, colored
from bench.studies.study_results import Results
from bench.studies.tables import chosen, mean_depth_errors, thresholds, times
from results.record import Record
from results.run_files import RunFiles
from results.study import FOLDER, Point, read_outcomes
from tests.bench import tiny_presets as tiny
from tests.bench.data.folders import shared


def study(name: str, folder: Path, data: dict[str, Any], **codec: Any) -> tuple[str, dict[str, Any]]:
    """Page and details of a shipped study of codecs with a shorter training."""
    definition = yaml.safe_load((paths.STUDIES / f"{name}.yaml").read_text())
    for training in definition["train"]["codecs"].values():
        training.update(codec)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(definition, sort_keys=False))
    options = StudyOptions(name=str(path), work=folder / "work", out=folder / "out", **data)
    result = run_study(options, log=lambda text: None)
    assert not result.failed and result.page is not None
    return result.page.read_text(), read_outcomes(folder / "out")[name].details


def test_codecs_of_depth_stand_beside_the_papers_choice_and_the_mean_depth(tmp_path: Path) -> None:
    root = tiny.data(tmp_path / "data")
    codec = {"schedule": {"steps": 2, "batch": 2}, "shape": {"codes": 128}, "evaluate_images": 2}
    text, details = study("codecs-depth", tmp_path, {"nyu": root}, **codec)
    arms = details["codes"]["arms"]
    assert {name: arm["shape"]["codes"] for name, arm in arms.items()} == {name: int(name.split()[0]) for name in arms}
    assert arms["128 codes, half of the 4x4 patches hidden"]["training"]["patch"] == 4
    assert text.count("chosen (") == 1 and "half of the 16x16 patches hidden |" in text
    assert f"RMSE {details['mean_depth']['rmse']:.3f}" in text


def test_only_the_papers_choices_are_called_chosen() -> None:
    paper = json.loads((paths.PUBLISHED / "ait_codecs.json").read_text())["rows"]

    def same(kind: str, codes: int, hidden: float, patch: int, revive: float) -> bool:
        training = {"hidden": hidden, "patch": patch, "revive": revive}
        return chosen({"shape": {"codes": codes}, "training": training}, paper[kind]) != "–"

    assert same("depth", 128, 0.5, 16, 0.3) and same("masks", 128, 0.0, 16, 0.3)
    assert not any((same("depth", 128, 0.0, 16, 0.3), same("depth", 64, 0.5, 16, 0.3)))
    assert not any((same("depth", 128, 0.5, 4, 0.3), same("masks", 128, 0.0, 16, 0.0)))


def test_the_mean_depths_error_is_the_deviation_of_one_image(tmp_path: Path) -> None:
    root = tiny.data(tmp_path / "data")
    base = load_codec({"codec": "depth", "preset": "embedded", "nyu": str(root), "limit": 1})
    training = dataclasses.replace(base.codecs.depth, evaluate_images=1)
    options = dataclasses.replace(base, codecs=dataclasses.replace(base.codecs, depth=training))
    dataset = open_dataset(options.data("val2017", limit=1))
    depth = dataset.targets(dataset.samples[0]).depth
    assert depth is not None
    deviation = float(depth[depth > 0].double().std(unbiased=False))
    assert mean_depth_errors(options)["rmse"] == pytest.approx(deviation, rel=1e-4)


def test_real_pairs_get_a_row_each_and_a_picture_beside_the_training(tmp_path: Path) -> None:
    nyu = shared() / "nyu_mini"
    schedule = {"steps": 1, "batch": 1, "rate": 1e-3, "kind": "one_cycle"}
    shape = {"side": 64, "width": 8, "blocks": 1, "code_width": 16, "codes": 128}
    text, details = study("codecs-nyu", tmp_path, {"nyu": nyu}, schedule=schedule, shape=shape, evaluate_images=1)
    rows = details["reconstructions"]["rows"]
    assert len(rows) == 9 and all(row["pair"] in text for row in rows)
    assert details["reconstructions"]["mean"]["rmse"] == pytest.approx(sum(row["rmse"] for row in rows) / 9)
    (picture,) = (tmp_path / "work").rglob(PICTURE)
    with Image.open(picture) as image:
        assert image.size == (3 * 320, 9 * 240)
    assert not list((tmp_path / "out").glob("*.png")), "real images stay out of the results"
    assert str(nyu) not in (tmp_path / "out" / "codecs-nyu.json").read_text()


def test_colors_run_from_near_to_far_and_leave_the_unknown_black() -> None:
    colors = colored(torch.tensor([[0.0, 0.01, 10.0, 99.0]]))
    assert colors.shape == (1, 4, 3) and colors[0, 0].tolist() == [0, 0, 0]
    assert colors[0, 1, 2] > colors[0, 1, 0], "near is blue"
    assert colors[0, 2].tolist() == colors[0, 3].tolist(), "far is the last color"
    assert colors[0, 2, 0] > colors[0, 2, 2], "which is red"


def measured(**changes: Any) -> Results:
    """The committed runs of Table 2."""
    records = read_outcomes(FOLDER)["table2"].details["records"]
    runs = {}
    for row in records:
        record = msgspec.convert({name: value for name, value in row.items() if name != "row"}, Record)
        runs[row["row"]] = [RunFiles(Path(), msgspec.structs.replace(record, **changes), [])]
    return Results(jobs={}, runs=runs, points={})


def test_times_are_those_of_the_records_with_their_ratio() -> None:
    text, data = times(measured(), slow="autoregressive", fast="+ masked inference")
    committed = (FOLDER / "table2.md").read_text()
    for line in text.splitlines():
        if line.startswith(("| autoregressive", "| + masked")) and "." in line:
            assert line in committed
    assert data["milliseconds"]["parallel"][0] > 0 and "tokenizer ptb" in text


def test_doubtful_times_are_marked_once_with_their_arms() -> None:
    busy = "the machine was busy"
    text, _ = times(measured(warnings=[busy]))
    assert text.count(busy) == 1 and f"Times: {busy}." in text
    results = measured(warnings=[])
    runs = {**results.runs, "autoregressive": measured(warnings=[busy]).runs["autoregressive"]}
    assert f"Times of autoregressive: {busy}." in times(dataclasses.replace(results, runs=runs))[0]


def test_thresholds_are_reached_at_the_first_step_at_which_all_are(tmp_path: Path) -> None:
    shares = {"detection.AP": 0.9, "captioning.BLEU-4": 0.5}
    (tmp_path / "mad.json").write_text('{"steps": 30, "cpu_seconds": 7}')
    curve = [(10, 0.89, 0.9), (20, 0.9, 0.5), (30, 1.0, 1.0)]
    points = [{"step": s, "evaluation": {"detection AP": a, "captioning BLEU-4": b}} for s, a, b in curve]
    (tmp_path / "curve.jsonl").write_text("".join(json.dumps(p) + "\n" for p in [{"step": 1, "loss": 2.0}, *points]))
    training = SimpleNamespace(weights=tmp_path / "mad.safetensors", folder=tmp_path, kind="train", start=None)
    run: Any = SimpleNamespace(kind="run", needs={"mad": training})
    files: Any = SimpleNamespace(record=SimpleNamespace(decoder="mad"))
    values = {"oracle": dict.fromkeys(shares, 1.0), "mad": dict.fromkeys(shares, 0.95)}
    results = Results(
        jobs={"mad": [run]},
        runs={"mad": [files]},
        points={name: Point(values=own) for name, own in values.items()},
    )
    text, data = thresholds(results, ceiling="oracle", shares=shares)
    assert data["arms"]["mad"] == {"steps": 30, "cpu_seconds": 7, "reached": 20}
    assert "| mad | 95.0 (95%) | 95.0 (95%) | 30 | 20 | 7 |" in text
