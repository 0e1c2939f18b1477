"""The encoder learns with its decoder on cached maps of a frozen backbone, mirrored ones included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from bench.builders.open_suite import build_suite
from bench.train.batches import MapBatches, TaskBatch, TokenTargets
from bench.train.network import train
from tasks.targets import Targets
from tests.bench import tiny_presets as tiny


def test_the_encoder_is_tuned_on_cached_maps_and_kept_with_the_decoder(
    root: Path, encoder: Path, tmp_path: Path
) -> None:
    options = tiny.options(tmp_path / "run", root, "parallel", "--encoder", str(encoder), "--train.tune_encoder")
    weights = load_file(train(options)[0])
    before = load_file(encoder)
    moved = {name.split(".", 1)[0] for name, value in before.items() if not torch.equal(value, weights[name])}
    assert moved == {"projection", "encoder"}
    points = tiny.curve(tmp_path / "run")
    assert points[7]["loss"] < points[0]["loss"]


def test_mirrored_maps_come_with_mirrored_targets(root: Path, tmp_path: Path) -> None:
    dataset = build_suite(tiny.options(tmp_path / "run", root, "parallel")).dataset
    seen: list[Targets] = []

    class Recorder(TokenTargets):
        def of(self, targets: Sequence[Targets], generator: torch.Generator) -> dict[str, TaskBatch]:
            seen.extend(targets)
            return {}

    maps = np.arange(len(dataset), dtype=np.float16)[:, None, None, None]
    for flip in (0.0, 1.0):
        batches = MapBatches(maps, -maps, dataset, Recorder([], {}), flip=flip)
        batch = batches.batch(np.array([2]), torch.Generator().manual_seed(0))
        assert batch.maps is not None
        assert batch.maps.item() == (-2.0 if flip else 2.0)
    plain, mirrored = seen
    assert plain.instances is not None and mirrored.instances is not None
    width = plain.size[1]
    expected = torch.stack([width - plain.instances.boxes[:, 2], width - plain.instances.boxes[:, 0]], dim=-1)
    assert torch.allclose(mirrored.instances.boxes[:, [0, 2]], expected)
