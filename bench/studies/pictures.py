"""Depth maps of real pairs beside what a codec makes of them: scores of each pair and a picture of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from bench.builders.open_suite import open_dataset
from bench.checkpoints.codec import read_codec
from bench.studies.plan import Job
from bench.train.codec_scores import reconstructed
from tasks.base import MetricParts
from tasks.metrics.depth import FARTHEST, DepthMetric

SHOWN = ("rmse", "abs_rel", "delta1")
PICTURE = "pairs.png"
COLORS = np.array([(48, 18, 59), (40, 160, 240), (120, 240, 90), (250, 180, 50), (120, 5, 5)])  # near to far


def reconstructed_pairs(job: Job) -> tuple[list[dict[str, Any]], Path]:
    """Return a row for each held-out pair, and the picture (image, ground truth, reconstruction).

    The picture lies in the folder of the training: real images stay where they are licensed.

    Args:
        job: a finished training of a depth codec.
    """
    options = job.options()
    stored = read_codec("depth", job.weights, again="python -m bench study codecs-nyu --nyu DIR")
    dataset = open_dataset(options.data(options.evaluate_on))
    metric, rows, strips = DepthMetric(parts=MetricParts()), [], []
    for sample in dataset.samples:
        targets = dataset.targets(sample)
        if targets.depth is None:
            continue
        with torch.no_grad():
            depth, codes = reconstructed(stored.codec, targets.depth, options.sizes.depth_grid)
        record = metric.observe(sample.image_id, depth, targets)
        path = sample.path  # names of images alone occur in several rooms
        pair = sample.file_name if path is None else f"{path.parent.name}/{path.name}"
        used = len(set(codes.flatten().tolist()))
        rows.append({"pair": pair, **{name: record[name] for name in SHOWN}, "codes used": used})
        image = np.asarray(dataset.image(sample))
        strips.append(np.concatenate([image, colored(targets.depth), colored(depth)], axis=1)[::2, ::2])
    picture = job.folder / PICTURE
    Image.fromarray(np.concatenate(strips, axis=0)).save(picture)
    return rows, picture


def colored(depth: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Return (height, width) meters as (height, width, 3) colors from near to far; unknown is black."""
    places = np.linspace(0, FARTHEST, len(COLORS))
    colors = np.stack([np.interp(depth.numpy(), places, channel) for channel in COLORS.T], axis=-1)
    return np.where(depth.numpy()[..., None] > 0, colors, 0).astype(np.uint8)
