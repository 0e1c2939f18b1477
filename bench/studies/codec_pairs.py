"""``codecs --nyu DIR``: a depth codec trained on a few real pairs, and how well it gives each of them back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from bench.builders.suite import open_dataset
from bench.checkpoints.checkpoint import read_checkpoint
from bench.checkpoints.codec import read_codec
from bench.config.codecs import CodecTrainOptions
from bench.config.studies import CodecStudyOptions
from bench.data.dataset import Dataset, DatasetSample
from bench.system.environment import describe_environment
from bench.train.codec import train_codec
from bench.train.codec_scores import reconstructed
from results.store import reserve, write_atomically
from tasks.base import MetricParts
from tasks.codecs.vqvae import Codec
from tasks.metrics.depth import FARTHEST, DepthMetric

SHOWN = ("rmse", "abs_rel", "delta1")
PICTURE = "pairs.png"
COLORS = np.array([(48, 18, 59), (40, 160, 240), (120, 240, 90), (250, 180, 50), (120, 5, 5)])  # near to far


def measure_pairs(options: CodecStudyOptions, base: CodecTrainOptions) -> str:
    """Train on the pairs and write ``codecs_nyu.md`` and ``codecs_nyu.json`` into ``options.out``.

    The pairs as a picture (image, truth, reconstruction) are written into the folder of the training only: real images
    stay where they are licensed.

    Args:
        options: of the study; its ``nyu`` names the pairs.
        base: shape and schedule.

    Returns:
        The Markdown table.
    """
    path = options.out / "codecs_nyu.md"
    reserve(path)
    folder = options.runs / f"nyu-{options.seed}"
    chosen = replace(base, codec="depth", out=folder, seed=options.seed, publish=False)
    written = train_codec(chosen)
    stored = read_codec("depth", written[0], again="python -m bench codecs --nyu DIR")
    dataset = open_dataset(chosen.data(chosen.evaluate_on))
    rows, picture = _rows(stored.codec, dataset, chosen.sizes.depth_grid)
    Image.fromarray(picture).save(folder / PICTURE)
    _, card = read_checkpoint(written[0], train="")
    data = {
        "rows": rows,
        "mean": {name: sum(row[name] for row in rows) / len(rows) for name in SHOWN},
        "data": dataset.summary(),
        "codec": {name: value for name, value in card.items() if name not in ("hash", "preset")},
        "grid": list(chosen.sizes.depth_grid),
        "environment": describe_environment(),
    }
    text = _markdown(data)
    write_atomically(options.out / "codecs_nyu.json", (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())
    write_atomically(path, text.encode())
    return text + f"\npicture: {folder / PICTURE}\n"


def _rows(codec: Codec, dataset: Dataset, grid: tuple[int, int]) -> tuple[list[dict[str, Any]], npt.NDArray[np.uint8]]:
    """Scores of every pair, and all pairs as one picture."""
    metric, rows, strips = DepthMetric(parts=MetricParts()), [], []
    for sample in dataset.samples:
        targets = dataset.targets(sample)
        if targets.depth is None:
            continue
        with torch.no_grad():
            found, codes = reconstructed(codec, targets.depth, grid)
        record = metric.observe(sample.image_id, found, targets)
        rows.append(
            {
                "pair": _name(sample),
                **{n: record[n] for n in SHOWN},
                "codes used": len(set(codes.flatten().tolist())),
            }
        )
        image = np.asarray(dataset.image(sample))
        strips.append(np.concatenate([image, colored(targets.depth), colored(found)], axis=1)[::2, ::2])
    return rows, np.concatenate(strips, axis=0)


def _name(sample: DatasetSample) -> str:
    """The image with its folder; names of images alone occur in several rooms."""
    return sample.file_name if sample.path is None else f"{sample.path.parent.name}/{sample.path.name}"


def colored(depth: torch.Tensor) -> npt.NDArray[np.uint8]:
    """(height, width) meters as (height, width, 3) colors from near to far; unknown is black."""
    places = np.linspace(0, FARTHEST, len(COLORS))
    found = np.stack([np.interp(depth.numpy(), places, channel) for channel in COLORS.T], axis=-1)
    return np.where(depth.numpy()[..., None] > 0, found, 0).astype(np.uint8)


def _markdown(data: dict[str, Any]) -> str:
    rows: Sequence[dict[str, Any]] = data["rows"]
    codec = data["codec"]
    shape = codec["shape"]
    whole = f"{data['grid'][0]}×{data['grid'][1]} codes of {shape['codes']}"
    batch, side = codec["schedule"]["batch"], shape["side"]
    lines = [
        "# A depth codec on real pairs",
        "",
        f"Trained and scored on the same {len(rows)} pairs of NYUv2, so this shows what a codec can keep, not what it",
        f"makes of other rooms: {codec['steps']} steps of {batch} crops of {side}×{side}, {codec['cpu_seconds']} CPU",
        f"seconds; whole maps of 480×640 as {whole}. Eigen's crop, meters. Written by",
        "`python -m bench codecs --nyu DIR`.",
        "",
        "| pair | RMSE | AbsRel | δ1 × 100 | codes used |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in [*rows, {"pair": "mean", "codes used": "", **data["mean"]}]:
        numbers = f"{row['rmse']:.3f} | {row['abs_rel']:.3f} | {row['delta1'] * 100:.1f}"
        lines.append(f"| {row['pair']} | {numbers} | {row['codes used']} |")
    nyu = data["data"]["nyu"]["root"]
    return "\n".join([*lines, "", f"Data: {nyu} ({data['data']['hash']})."]) + "\n"


def pairs_options(options: CodecStudyOptions, nyu: Path) -> CodecTrainOptions:
    """A codec of the paper's shape on the pairs that a folder's test list names."""
    from bench.cli.parser import parse

    words = ["--codec", "depth", "--preset", "paper", "--nyu", str(nyu), "--split", "val2017"]
    base: CodecTrainOptions = parse("train", words)
    training = base.codecs.depth
    schedule = replace(
        training.schedule, steps=options.pair_steps, batch=4, rate=1e-3, kind="one_cycle", warm_up=0.1, clip=1.0
    )
    shape = replace(training.shape, width=8, blocks=2, code_width=64)
    chosen = replace(training, shape=shape, schedule=schedule, hidden=0.0, revive=0.3, evaluate_images=9, save_every=50)
    return replace(base, codecs=replace(base.codecs, depth=chosen), threads=options.threads)
