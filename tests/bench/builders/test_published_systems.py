"""AiT's presets, shrunk: trained for a few steps from images, run from their weights, and held to their codecs."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from bench.checkpoints.checkpoint import checkpoint_path
from bench.cli.main import main
from bench.config.loading import load_train
from bench.train.network import train
from tests.bench import tiny_presets as tiny
from tests.bench.data.folders import tiny_nyu
from tests.bench.tiny_codecs import write_codec

NETWORK = """
network: {backbone: test_resnet, image_side: null, windows: [], backbone_drop_path: 0.0, width: 32, heads: 2, ffn: 48,
          encoder_layers: 1, decoder_layers: 1, positions: 300}
"""
TRAINING = """
train:
  readers: 0
  log_every: 1
  evaluate_images: 0
  decoder: {steps: 3, batch: 2, precision: float32}
"""
OBJECTS = "sizes: {classes: 8, bins: 128, slots: 12}\nimage: {side: 64}\n" + NETWORK
DEPTH = "sizes: {depth_grid: [2, 2]}\nimage: {side: 32}\n" + NETWORK


@pytest.fixture(scope="module")
def scenes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.data(tmp_path_factory.mktemp("scenes") / "data")


def trained(folder: Path, preset: str, decoder: str, config: str, *data: str) -> Path:
    """Checkpoints with the weights of a few steps, beside the codecs that lie there already."""
    file = folder / "small.yaml"
    file.write_text(config + TRAINING)
    words = ["--decoder", decoder, "--preset", preset, "--config", str(file), "--threads", "1", *data]
    path = train(load_train([*words, "--out", str(folder / decoder), "--checkpoints", str(folder)]))[0]
    target = checkpoint_path(preset, decoder, folder)
    target.parent.mkdir(exist_ok=True)
    for suffix in (".safetensors", ".json"):
        shutil.copyfile(path.with_suffix(suffix), target.with_suffix(suffix))
    return target


def run(folder: Path, preset: str, decoder: str, config: str, *words: str) -> dict[str, object]:
    """The record of a run."""
    file = folder / "run.yaml"
    file.write_text(config)
    out = folder / "out"
    base = ["--decoder", decoder, "--preset", preset, "--config", str(file), "--checkpoints", str(folder)]
    assert main([*base, "--out", str(out), "--fresh", *words]) == 0
    found: dict[str, object] = json.loads((out / decoder / "record.json").read_text())
    return found


@pytest.mark.parametrize("decoder", ["ait", "ait-parallel"])
def test_depth_in_windows(tmp_path: Path, decoder: str) -> None:
    preset, nyu = "ait-swinv2b-depth", tiny_nyu(tmp_path / "nyu")
    write_codec(tmp_path, "depth", preset=preset, side=32)
    data = ["--nyu", str(nyu), "--split", "val2017"]
    path = trained(tmp_path, preset, decoder, DEPTH, *data)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["formats"] == {"depth": "codes"} and card["network"]["family"] == "ait"
    record = run(tmp_path, preset, decoder, DEPTH, *data)
    assert set(record["metrics"]) == {"depth"}  # type: ignore[call-overload]
    assert record["metrics"]["depth"]["rmse"] > 0  # type: ignore[index]
    curve = [json.loads(line) for line in (tmp_path / decoder / "curve.jsonl").read_text().splitlines()]
    assert len(curve) == 3 and all(point["depth"] > 0 for point in curve)


def test_objects_in_one_sequence(scenes_root: Path, tmp_path: Path) -> None:
    preset = "ait-swinv2b-insseg"
    write_codec(tmp_path, "masks", preset=preset)
    data = ["--coco", str(scenes_root)]
    trained(tmp_path, preset, "ait", OBJECTS, *data)
    record = run(tmp_path, preset, "ait", OBJECTS, *data, "--limit", "2")
    metrics = record["metrics"]["instances"]  # type: ignore[index]
    assert {"box AP", "mask AP"} <= set(metrics)
    assert record["cost"]["instances"]["evaluations"] == 12 * 21  # type: ignore[index]
    oracle = run(tmp_path, preset, "oracle", OBJECTS, *data, "--limit", "4")
    assert oracle["metrics"]["instances"]["box AP"] > 0.95  # type: ignore[index]


def test_boxes_need_no_codec(scenes_root: Path, tmp_path: Path) -> None:
    data = ["--coco", str(scenes_root), "--tasks", "boxes"]
    trained(tmp_path, "ait-swinv2b-insseg", "ait", OBJECTS, *data)
    record = run(tmp_path, "ait-swinv2b-insseg", "ait", OBJECTS, *data, "--limit", "2")
    assert set(record["metrics"]) == {"boxes"}  # type: ignore[call-overload]


def test_both_together(scenes_root: Path, tmp_path: Path) -> None:
    preset = "ait-swinv2b-joint"
    write_codec(tmp_path, "masks", preset=preset)
    write_codec(tmp_path, "depth", preset=preset, side=64)
    config = OBJECTS.replace("slots: 12", "slots: 12, depth_grid: [4, 4]")
    data = ["--coco", str(scenes_root), "--nyu", str(scenes_root)]
    trained(tmp_path, preset, "ait", config, *data)
    record = run(tmp_path, preset, "ait", config, *data, "--limit", "2")
    assert set(record["metrics"]) == {"instances", "depth"}  # type: ignore[call-overload]


def test_what_does_not_fit_is_refused(scenes_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset = "ait-swinv2b-insseg"
    data = ["--coco", str(scenes_root), "--checkpoints", str(tmp_path)]
    base = ["--decoder", "oracle", "--preset", preset, "--sizes.classes", "8", *data]
    embedded, nyu = ["--decoder", "oracle", "--preset", "embedded", *data], ["--nyu", str(scenes_root)]
    write_codec(tmp_path, "depth", preset=preset)
    for words, message in {
        (*base,): "no such weights; make them with `nox -s train -- --codec masks",
        (*base, "--tasks", "detection"): "detection is not a task of layout 'ait'",
        (*base, *nyu, "--tasks", "depth", "--formats.depth", "bins"): "has no tokens for it; give codes",
        (*base, "--tasks", "boxes", "--image.transform", "shortest_side"): "count in pixels of a square",
        (*embedded, "--tasks", "boxes"): "boxes is not a task of layout 'mad'",
    }.items():
        assert main(list(words)) == 2
        printed = capsys.readouterr().err
        assert message in printed and printed.count("\n") == 1, printed


def test_every_preset_of_ait_builds_the_paper_s_network() -> None:
    for name in ("ait-swinv2b-depth", "ait-swinv2b-depth-parallel", "ait-swinv2b-insseg", "ait-swinv2b-joint"):
        options = load_train(["--decoder", "ait", "--preset", name])
        own = dataclasses.asdict(options.network)
        assert (own["family"], own["width"], own["heads"], own["ffn"], own["positions"]) == ("ait", 256, 8, 1024, 2100)
        assert (options.sizes.layout, options.sizes.bins, options.sizes.slots) == ("ait", 2000, 100)
        assert options.image.side == own["image_side"] == (480 if "depth" in name else 640)
