"""Train learned codecs on maps and score them on held-out images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.builders.open_suite import open_dataset
from bench.checkpoints.codec import codec_name, codec_tensors
from bench.config.codecs import CodecTrainOptions
from bench.console import progress
from bench.data.dataset import Dataset
from bench.distributed import join
from bench.paths import cache_folder
from bench.train.batch_stream import Batches
from bench.train.codec_batches import DepthMaps, MaskCrops
from bench.train.codec_loss import CodecLoss
from bench.train.codec_scores import CodecScores, depth_scores, mask_scores
from bench.train.publish import finish
from bench.train.trainer import INTERVALS, Trainer, prepare
from tasks.codecs.vqvae import Codec


def train_codec(options: CodecTrainOptions) -> list[Path]:
    """Train ``options.codec``.

    Returns:
        The files that were written: codec and learning curve, and the published copy.

    Raises:
        UserError: if data, options or their combination cannot be used.
    """
    name = codec_name(options.codec)
    folder = prepare(options, name)
    with join(on_gpus=True) as group:
        with group.main_first():
            dataset = open_dataset(options.data(options.split))
            batches = _batches(options, dataset)
            held_out = _held_out(options)
        chosen, card = options.chosen, _card(options, dataset)
        torch.manual_seed(options.seed)
        codec = Codec(chosen.shape, revive=chosen.revive)
        objective = CodecLoss(codec)
        objective.to(memory_format=torch.channels_last)  # convolutions on a CPU are faster so
        trainer = Trainer(
            objective=objective,
            batches=batches,
            schedule=chosen.schedule,
            intervals=chosen,
            folder=folder,
            signature=card,
            seed=options.seed,
            fresh=options.fresh,
            evaluate=None if held_out is None else _evaluation(options, codec, held_out),
            group=group,
        )
        trainer.run()
        if not group.is_main:
            return []
        if chosen.revive:
            card["revived"] = int(codec.quantiser.revived)
        with trainer.averaged():
            preset = options.preset if options.publish else None
            return finish(trainer, name, codec_tensors(codec), card, publish=preset)


def _batches(options: CodecTrainOptions, dataset: Dataset) -> Batches:
    chosen = options.chosen
    side = chosen.shape.side
    if options.codec == "depth":
        return DepthMaps(dataset, side=side, flip=chosen.flip, hidden=chosen.hidden, patch=chosen.patch)
    with progress("packing masks") as report:
        folder = cache_folder() / "training"
        return MaskCrops(dataset, side=side, flip=chosen.flip, folder=folder, progress=report)


def _held_out(options: CodecTrainOptions) -> Dataset | None:
    if not options.chosen.evaluate_images:
        return None
    limit = min(options.limit or options.chosen.evaluate_images, options.chosen.evaluate_images)
    return open_dataset(options.data(options.evaluate_on, limit=limit))


def _evaluation(options: CodecTrainOptions, codec: Codec, dataset: Dataset) -> Callable[[], dict[str, float]]:
    """Return a function that scores the codec on held-out images."""

    def evaluate() -> dict[str, float]:
        device = codec.quantiser.embedding.device
        codec.cpu()
        try:
            return codec_scores(options, codec, dataset).values
        finally:
            codec.to(device)

    return evaluate


def codec_scores(options: CodecTrainOptions, codec: Codec, dataset: Dataset) -> CodecScores:
    """Return what ``options.codec`` loses on a data set; on the CPU, in evaluation mode."""
    if options.codec == "depth":
        return depth_scores(codec, dataset, grid=options.sizes.depth_grid)
    return mask_scores(codec, dataset)


def _card(options: CodecTrainOptions, dataset: Dataset) -> dict[str, Any]:
    """Return everything that decides the weights, as plain JSON data."""
    chosen = dataclasses.asdict(options.chosen)
    shape, schedule = chosen.pop("shape"), chosen.pop("schedule")
    return {
        "preset": options.preset,
        "stage": "codec",
        "codec": options.codec,
        "seed": options.seed,
        "data": dataset.content_hash,
        "schedule": schedule,
        "training": {name: value for name, value in chosen.items() if name not in INTERVALS},
        "shape": shape,
    }
