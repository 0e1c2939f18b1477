"""Training of codecs: data, schedules and scores as in the paper, a card that tells, and an exact continuation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.builders.open_suite import open_dataset
from bench.checkpoints.checkpoint import read_checkpoint
from bench.checkpoints.codec import load_codec
from bench.cli.commands import COMMANDS
from bench.cli.main import main
from bench.config.codecs import CodecTrainOptions, paper_depth, paper_masks
from bench.config.training import CodecSchedule, Schedule
from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.train.codec import train_codec
from bench.train.codec_batches import DepthMaps, MapBatch, MaskCrops, hide_patches, mirrored
from bench.train.codec_loss import CodecLoss
from bench.train.codec_scores import depth_scores, mask_scores
from bench.train.optimizer import factor
from bench.train.trainer import Trainer
from tasks.codecs.options import CodecOptions
from tasks.codecs.vqvae import Codec
from tests.bench import tiny_presets as tiny
from tests.bench.data.folders import tiny_nyu

SMALL = """
codecs:
  {kind}:
    shape: {{side: {side}, ratio: 16, width: 2, blocks: 1, codes: 8, code_width: 4}}
    log_every: 1
    save_every: 3
    evaluate_images: 4
    schedule: {{steps: 8, batch: 4, precision: float32}}
"""


def words(folder: Path, root: Path, kind: str, *more: str) -> list[str]:
    config = folder.parent / "codec.yaml"
    config.write_text(SMALL.format(kind=kind, side=32 if kind == "masks" else 128))
    base = ["--codec", kind, "--preset", "embedded", "--config", str(config), "--out", str(folder)]
    return [*base, "--coco", str(root), "--nyu", str(root), *more]


def options(folder: Path, root: Path, kind: str, *more: str) -> CodecTrainOptions:
    parsed: CodecTrainOptions = COMMANDS["train"].load_options("train", words(folder, root, kind, *more))
    return parsed


def data_of(root: Path, kind: str, split: str = "train2017") -> Dataset:
    return open_dataset(options(root.parent / "x", root, kind).data(split))  # type: ignore[arg-type]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", ["depth", "masks"])
def test_a_codec_learns_and_its_card_tells(kind: str, root: Path, tmp_path: Path) -> None:
    written = train_codec(options(tmp_path / "run", root, kind))
    points = tiny.curve(tmp_path / "run")
    losses = [point["reconstruction"] for point in points if "loss" in point]
    assert len(losses) == 8
    assert all(math.isfinite(loss) for loss in losses)
    _, card = read_checkpoint(written[0], train="")
    assert (card["codec"], card["steps"], card["shape"]["codes"]) == (kind, 8, 8)
    assert {"codes used", "perplexity", "rmse" if kind == "depth" else "AP"} <= set(card["metrics"])
    assert card["training"]["revive"] > 0
    assert card["revived"] == int(points[-2]["revived"])
    names = {"depth": {"hidden"}, "masks": set()}[kind] | {"flip", "revive"}
    assert names <= set(card["training"])
    plain = json.dumps(json.loads(written[0].with_suffix(".json").read_text()))
    assert '"out"' not in plain and str(tmp_path) not in plain


def test_a_training_that_was_cut_continues_with_the_numbers_it_would_have_had(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    more = ["--codecs.depth.hidden", "0.5", "--codecs.depth.readers", "1"]
    train_codec(options(whole, root, "depth", *more))
    after_step = Trainer._after_step

    def breaking(self: Trainer, *losses: Any) -> None:
        after_step(self, *losses)
        if self.step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_after_step", breaking)
    with pytest.raises(KeyboardInterrupt):
        train_codec(options(cut, root, "depth", *more))
    monkeypatch.setattr(Trainer, "_after_step", after_step)
    train_codec(options(cut, root, "depth", *more))
    assert tiny.curve(cut) == tiny.curve(whole)
    expected, resumed = (torch.load(folder / "state.pt", weights_only=True)["objective"] for folder in (whole, cut))
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_what_is_published_is_loaded(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.paths.CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr("bench.checkpoints.checkpoint.checkpoint_path.__defaults__", (tmp_path / "checkpoints",))
    train_codec(options(tmp_path / "run", root, "depth", "--publish"))
    stored = load_codec("depth", "embedded", tmp_path / "checkpoints")
    assert stored.codec.options.codes == 8
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)["objective"]
    kept = stored.codec.state_dict()
    assert torch.equal(kept["quantiser.embedding"], state["codec.quantiser.embedding"]), "codebooks are kept exactly"
    torch.testing.assert_close(kept["encoder.0.weight"], state["codec.encoder.0.weight"], atol=1e-3, rtol=1e-3)


def test_commitment_counts_a_quarter_beside_the_reconstruction() -> None:
    torch.manual_seed(0)
    codec = Codec(CodecOptions(values="unit", side=8, ratio=4, width=1, blocks=0, codes=2, code_width=2))
    maps = torch.rand(2, 8, 8, generator=generator())
    loss, parts = CodecLoss(codec)(MapBatch(inputs=maps, targets=maps))
    assert float(parts["commitment"].detach()) > 0.01
    assert float((loss - parts["reconstruction"]).detach()) == pytest.approx(float(parts["commitment"].detach()) / 4)


def test_dead_codes_stay_dead_and_untold_where_none_is_to_revive(root: Path, tmp_path: Path) -> None:
    train_codec(options(tmp_path / "run", root, "depth", "--codecs.depth.revive", "0"))
    _, card = read_checkpoint(tmp_path / "run" / "codec-depth.safetensors", train="")
    assert "revived" not in card
    assert card["training"]["revive"] == 0


@settings(deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.1, 0.5, 0.75]), st.sampled_from([(30, 30), (3, 5)]))
def test_exactly_the_share_of_the_patches_is_hidden(seed: int, share: float, cells: tuple[int, int]) -> None:
    patch = 4
    maps = torch.rand(3, cells[0] * patch, cells[1] * patch, generator=generator(seed)) + 1
    found = hide_patches(maps, share, patch, generator(seed))
    blocks = found.view(3, cells[0], patch, cells[1], patch)
    hidden = (blocks == 0).all(dim=4).all(dim=2)
    assert hidden.sum((1, 2)).tolist() == [math.ceil(share * cells[0] * cells[1])] * 3
    assert torch.equal(found, torch.where(found == 0, 0.0, maps)), "what is seen is as it was"
    assert bool(((blocks == 0).any(dim=4).any(dim=2) == hidden).all()), "patches are hidden as a whole"


def test_half_of_480_by_480_are_450_patches() -> None:
    found = hide_patches(torch.ones(1, 480, 480), paper_depth().hidden, paper_depth().patch, generator())
    assert int((found == 0).sum()) == 450 * 16 * 16
    other = hide_patches(torch.ones(1, 480, 480), 0.5, 16, generator(1))
    assert not torch.equal(found, other)


def test_a_share_of_the_maps_is_mirrored() -> None:
    maps = torch.rand(200, 2, 3, generator=generator())
    found = mirrored(maps, 0.5, generator())
    turned = [torch.equal(one, own.flip(1)) for one, own in zip(found, maps, strict=True)]
    assert 60 < sum(turned) < 140
    assert torch.equal(mirrored(maps, 0.0, generator()), maps)


def test_depth_is_cut_from_inside_nyu_s_border_and_targets_are_not_hidden(tmp_path: Path) -> None:
    class Ramp:
        root = tmp_path

        def depth(self, index: int) -> Tensor:
            return torch.arange(1, 641).float().expand(480, 640) / 100

    data = Dataset.__new__(Dataset)
    data.nyu, data.samples = Ramp(), [type("Sample", (), {"nyu_index": 0})()] * 4  # type: ignore[assignment]
    maps = DepthMaps(data, side=480, flip=0.5, hidden=0.5, patch=16)
    first = {}
    for seed in range(60):
        batch = maps.batch(np.arange(4), generator(seed))
        assert batch.targets.shape == batch.inputs.shape == (4, 480, 480)
        assert bool((batch.targets > 0).all())
        assert float((batch.inputs == 0).float().mean()) == 0.5
        columns = (batch.targets[:, 0] * 100).round().long()
        assert int(columns.min()) >= 42
        assert int(columns.max()) <= 601
        first |= dict.fromkeys(columns.min(dim=1).values.tolist())
    assert len(first) > 40, "crops start anywhere in the 81 places"
    assert torch.equal(maps.batch(np.arange(2), generator(7)).inputs, maps.batch(np.arange(2), generator(7)).inputs)


def test_masks_are_packed_once_and_come_back(root: Path, tmp_path: Path) -> None:
    data, seen = data_of(root, "masks"), []
    made = MaskCrops(data, side=20, flip=0.0, folder=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12, 12)
    assert data.coco is not None
    assert len(made) == sum(len(data.coco.targets(i).instances or ()) for i in data.coco.images)
    batch = made.batch(np.arange(len(made)), generator())
    assert batch.targets.shape[1:] == (20, 20)
    assert set(batch.targets.unique().tolist()) == {0.0, 1.0}
    assert bool((batch.targets.amax(2).mean(1) > 0.5).all()), "boxes are tight"
    again = MaskCrops(data, side=20, flip=0.0, folder=tmp_path, progress=lambda done, total: seen.append((0, 0)))
    assert seen[-1] == (12, 12)
    assert torch.equal(again.batch(np.arange(3), generator()).inputs, batch.inputs[:3])


class Perfect:
    """Stands in for a codec: its codes are numbers of the maps that it has seen."""

    def __init__(self, side: int) -> None:
        self.options = CodecOptions(values="unit", side=side, ratio=16)
        self.seen = torch.zeros(0, side, side)

    def encode(self, maps: Tensor) -> Tensor:
        self.seen = maps.float()
        return torch.zeros(len(maps), 1, 1, dtype=torch.int64)

    def decode(self, codes: Tensor) -> Tensor:
        return self.seen


def test_a_perfect_codec_has_perfect_scores(root: Path) -> None:
    data = data_of(root, "masks", "val2017")
    depth = depth_scores(Perfect(128), data_of(root, "depth", "val2017"), grid=(8, 8)).values  # type: ignore[arg-type]
    assert depth["rmse"] == 0
    assert depth["delta1"] == 1
    assert (depth["codes used"], depth["perplexity"]) == (1, pytest.approx(1))
    assert mask_scores(Perfect(128), data).values["AP"] > 0.99  # type: ignore[arg-type]
    coarse = mask_scores(Perfect(16), data).values["AP"]  # type: ignore[arg-type]
    assert 0.3 < coarse < 0.99, "16 pixels along a box are not enough for all of its outline"


def test_the_paper_s_schedules() -> None:
    depth, masks = paper_depth().schedule, paper_masks().schedule
    assert factor(0, depth) == pytest.approx(0.98)
    assert factor(499, depth) == pytest.approx(0.98)
    assert factor(500, depth) == pytest.approx(0.98**2)
    assert factor(3027, depth) == pytest.approx(0.98**7)
    assert factor(3028, depth) == pytest.approx(0.98**8)
    assert factor(depth.steps - 1, depth) == pytest.approx(0.059, abs=1e-3)
    assert depth.steps * depth.batch == pytest.approx(20 * 24231, rel=1e-3)
    rates = [masks.rate * factor(step, masks) for step in (0, 250, 500, masks.steps - 1)]
    assert rates == pytest.approx([3e-7, 1.5e-4, 3e-4, 1e-6], rel=0.01)
    with pytest.raises(UserError, match="only codecs learn by kind 'cosine'"):
        Schedule(kind="cosine")
    assert factor(99, CodecSchedule(steps=100, kind="one_cycle")) < 1e-4


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--codec", "depth", "--decoder", "mad"], "give one of them"),
        (["--codec", "words"], "--codec"),
        (["--codec", "depth", "--coco", "x"], "--codec depth: give --nyu DIR"),
        (["--codec", "masks", "--nyu", "x"], "--codec masks: give --coco DIR"),
        (["--codec", "depth", "--codecs.depth.hidden", "1.5"], "hidden is 1.5"),
        (["--codec", "depth", "--codecs.depth.hidden", "0.5", "--codecs.depth.patch", "7"], "patches of 7 pixels"),
        (["--codec", "masks", "--codecs.masks.hidden", "0.5"], "only depth maps are hidden in parts"),
        (["--codec", "masks", "--codecs.masks.shape.values", "log"], "values 'log' are of depths"),
        (["--codec", "depth", "--codecs.depth.shape.values", "unit"], "values 'unit' are of masks"),
        (["--codec", "depth", "--codecs.depth.shape.ratio", "10"], "ratio is 10; give a power of two"),
        (["--codec", "depth", "--codecs.depth.shape.side", "100"], "side is 100; give a multiple of its ratio 16"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(
    more: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--preset", "embedded", *more]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert expected in printed


def test_maps_that_are_too_small_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tiny_nyu(tmp_path / "data", split="train")
    given = ["--codec", "depth", "--preset", "embedded", "--nyu", str(root), "--out", str(tmp_path / "run")]
    assert main(["train", *given, "--codecs.depth.evaluate_images", "0"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "has a depth map of 24x32 pixels, the codec learns from squares of 128" in printed
