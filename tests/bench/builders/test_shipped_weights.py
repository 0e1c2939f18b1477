"""The weights in the repository load, fit their preset and see something."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from bench.builders.open_suite import open_dataset
from bench.checkpoints.checkpoint import ENCODER, checkpoint_path, is_encoder
from bench.checkpoints.codec import codec_name, load_codec
from bench.cli.commands import COMMANDS
from bench.cli.main import main
from bench.config.loading import load_run, load_train
from bench.run.runner import run
from bench.studies.tables import mean_depth_errors
from bench.train.codec_scores import depth_scores, mask_scores
from bench.train.network import frozen_encoder
from decoders.network.network import build_network
from tasks.formats.vocabulary import Vocabulary
from tests.bench.run.test_runner import words

MAD = ("--decoder", "mad", "--tasks", "detection")


@pytest.mark.parametrize(
    "decoder", ["autoregressive", "parallel", "mad", "mad-one-pass", "mad-released", "ait", "ait-parallel"]
)
def test_shipped_weights_find_objects_and_distances(decoder: str, scenes_folder: Path, tmp_path: Path) -> None:
    """Far above chance, far below what is published: a guard against weights that no longer belong to the code."""
    options = load_run(words(scenes_folder, tmp_path, "--decoder", decoder, "--tasks", "detection,depth"))
    (record,) = run(options).values()
    least = 0.2 if decoder.startswith("ait") else 0.4  # it samples boxes
    assert record.metrics["detection"]["AP50"] > least  # type: ignore[operator]
    assert record.metrics["depth"]["rmse"] < 1.0  # type: ignore[operator]
    assert record.latency.phases.keys() >= {"preprocess", "backbone", "encoder", "decode.detection", "interpret.depth"}


def test_half_precision_finds_the_same_objects(scenes_folder: Path, tmp_path: Path) -> None:
    precise, rough = (
        next(iter(run(load_run(words(scenes_folder, tmp_path / name, *MAD, "--precision", name))).values()))
        for name in ("float32", "bfloat16")
    )
    found, kept = (record.metrics["detection"]["AP50"] or 0 for record in (precise, rough))
    assert kept == pytest.approx(found, abs=0.05)
    assert precise.checksum != rough.checksum


def test_one_pass_evaluates_the_network_once_and_causal_decoding_once_a_token(
    scenes_folder: Path, tmp_path: Path
) -> None:
    names = "autoregressive,parallel,mad"
    options = load_run(words(scenes_folder, tmp_path, "--decoder", names, "--tasks", "keypoints", "--limit", "2"))
    records = {record.decoder: record for record in run(options).values()}
    slots = options.sizes.slots
    assert records["parallel"].cost["detection"].evaluations == 1
    assert records["autoregressive"].cost["detection"].evaluations >= 5 * slots
    assert records["mad"].cost["detection"].evaluations == 1


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--sizes.bins", "64"], ("embedded/parallel.safetensors", "sizes.bins 128", "this run has 64")),
        (["--checkpoints", "/nowhere"], ("parallel.safetensors: no such weights", "nox -s train")),
        (["--preset", "paper", "--sizes.classes", "8"], ("paper/parallel.safetensors: no such weights",)),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_one_line(
    more: list[str],
    expected: tuple[str, ...],
    scenes_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = words(scenes_folder, tmp_path / "out", "--decoder", "parallel", "--tasks", "detection", *more)
    assert main(given) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    for part in expected:
        assert part in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kind", "metric"), [("masks", "AP"), ("depth", "rmse")])
def test_shipped_codecs_keep_masks_and_depths(kind: str, metric: str, scenes_folder: Path) -> None:
    stored = load_codec(kind, "embedded")
    words = ["--codec", kind, "--coco", str(scenes_folder), "--nyu", str(scenes_folder), "--preset", "embedded"]
    options = COMMANDS["train"].load_options("train", words)
    dataset = open_dataset(dataclasses.replace(options, split="val2017"))
    if kind == "masks":
        assert mask_scores(stored.codec, dataset).values[metric] >= 0.85
        return
    found = depth_scores(stored.codec, dataset, grid=options.sizes.depth_grid).values[metric]
    assert found <= 0.35 * mean_depth_errors(options)[metric]


def test_shipped_codecs_are_small() -> None:
    files = [checkpoint_path("embedded", codec_name(kind)) for kind in ("masks", "depth")]
    assert sum(path.stat().st_size for path in files) <= 3_000_000


def test_the_shipped_encoder_serves_trainings_of_its_preset(tmp_path: Path) -> None:
    options = load_train(["--decoder", "mad", "--preset", "embedded", "--out", str(tmp_path)])
    network = build_network(options.network, Vocabulary(options.sizes))
    assert (
        frozen_encoder(options, network)
        == json.loads(checkpoint_path("embedded", ENCODER).with_suffix(".json").read_text())["hash"]
    )
    assert not any(p.requires_grad for name, p in network.named_parameters() if is_encoder(name))
