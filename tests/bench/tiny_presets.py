"""A training small enough for a test: a dozen rendered scenes, a network of half a million parameters, a few steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.config.loading import load_train
from bench.config.training import TrainOptions
from bench.data.scenes import dataset as scenes

CONFIG = """
sizes: {mask_size: 6, slots: 6, caption_length: 12, bins: 32, depth_grid: [4, 4], depth_bins: 16}
network: {backbone: test_resnet, width: 32, heads: 2, ffn: 64, encoder_layers: 1, decoder_layers: 2, positions: 64}
image: {side: 64}
train:
  log_every: 1
  save_every: 3
  evaluate_images: 0
  encoder: {steps: 6, batch: 4, precision: float32}
  decoder: {steps: 8, batch: 4, precision: float32}
"""


START_METHOD = "spawn"  # a fork after autograd used threads cannot differentiate
"""How tests start processes: a fork costs nothing, but cannot use a GPU that its parent has used."""


def data(root: Path) -> Path:
    """Write twelve training and four validation scenes."""
    scenes.write(root, splits=("train2017", "val2017"), counts={"train2017": 12, "val2017": 4}, processes=1)
    return root


def words(folder: Path, root: Path, decoder: str, *more: str) -> list[str]:
    """Return the words of ``train`` for a run in ``folder``."""
    config = folder.parent / "tiny.yaml"
    config.write_text(CONFIG)
    options = ["--decoder", decoder, "--preset", "embedded", "--config", str(config), "--out", str(folder)]
    return [*options, "--coco", str(root), "--nyu", str(root), *more]


def options(folder: Path, root: Path, decoder: str, *more: str) -> TrainOptions:
    """Return the options of ``train`` for a run in ``folder``."""
    return load_train(words(folder, root, decoder, *more))


def curve(folder: Path) -> list[dict[str, Any]]:
    """Read the learning curve without the times."""
    points = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in point.items() if name not in ("seconds", "cpu_seconds")} for point in points
    ]
