"""``seeds``: how much the seed of a training changes what it scores: published weights, and the same recipe again.

What the published weights were trained for is taken from their cards: the preset's schedule and, where they were
trained in two parts, the second part on top of it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bench.checkpoints import checkpoint
from bench.config.loading import parse_run, parse_train
from bench.config.studies import SeedsOptions
from bench.errors import UserError
from bench.run.runner import run
from bench.studies.output import card, write
from bench.train.network import train
from results.store import reserve

METRICS = {
    "box AP": ("detection", "AP"),
    "mask AP": ("segmentation", "AP"),
    "keypoint AP": ("keypoints", "AP"),
    "BLEU-4": ("captioning", "BLEU-4"),
    "CIDEr": ("captioning", "CIDEr"),
    "depth RMSE, m": ("depth", "rmse"),
}
APART = 10  # between the seeds of the two parts of a training


def measure_seeds(options: SeedsOptions) -> str:
    """Train every decoder under further seeds, score all, and write ``seeds.md`` and ``seeds.json``.

    Returns:
        The Markdown table.

    Raises:
        UserError: if a decoder has no published weights, or fewer than two seeds are asked for.
    """
    if options.seeds < 2:
        raise UserError(f"--seeds {options.seeds}: a deviation needs 2 at least")
    reserve(options.out / "seeds.md")
    weights = {name: checkpoint.checkpoint_path(options.preset, name) for name in options.names()}
    for name, path in weights.items():
        if not path.exists():
            raise UserError(f"--decoder {name}: preset {options.preset} has no published weights of it")
        if "strategy" not in card(path):
            raise UserError(
                f"{path.with_suffix('.json')}: tells no options of the strategy; train and publish it again"
            )
    scores = [_scores(options, "published", None)]
    for seed in range(1, options.seeds):
        trained = {name: _trained(name, card(path), options, seed) for name, path in weights.items()}
        scores.append(_scores(options, f"seed-{seed}", _checkpoints(options, seed, trained)))
    rows = {decoder: {label: [found[decoder][label] for found in scores] for label in METRICS} for decoder in scores[0]}
    steps = {name: _steps(card(path)) for name, path in weights.items()}
    text = _markdown(rows, steps, options)
    write(options.out, "seeds", text, {"rows": rows, "steps": steps, "seeds": options.seeds})
    return text


def _steps(told: Mapping[str, Any]) -> list[int]:
    """Steps of the parts of a training, in order."""
    before = told.get("before")
    return [*(_steps(before) if before else []), int(told["steps"])]


def _trained(name: str, told: Mapping[str, Any], options: SeedsOptions, seed: int) -> Path:
    """Weights of the recipe under another seed."""
    folder = options.runs / f"{name}-{seed}"
    base = ["--decoder", name, "--preset", options.preset, "--threads", str(options.threads)]
    base += ["--train.evaluate_images", "0", "--strategy", json.dumps(told["strategy"])]
    path = train(replace(parse_train([*base, "--seed", str(seed)]), out=folder / "first"))[0]
    if told.get("before"):
        schedule = told["schedule"]
        more = ["--start", str(path), "--seed", str(seed + APART)]
        more += ["--train.decoder.steps", str(schedule["steps"]), "--train.decoder.rate", str(schedule["rate"])]
        path = train(replace(parse_train([*base, *more]), out=folder / "second"))[0]
    return path


def _checkpoints(options: SeedsOptions, seed: int, trained: Mapping[str, Path]) -> Path:
    """A folder as ``run`` wants it: the trained weights beside the encoder that they share."""
    root = options.runs / f"weights-{seed}"
    target = root / options.preset
    target.mkdir(parents=True, exist_ok=True)
    shared = checkpoint.checkpoint_path(options.preset, checkpoint.ENCODER)
    for name, path in {checkpoint.ENCODER: shared, **trained}.items():
        for suffix in (".safetensors", ".json"):
            if path.with_suffix(suffix).exists():
                shutil.copyfile(path.with_suffix(suffix), target / f"{name}{suffix}")
    return root


def _scores(options: SeedsOptions, name: str, checkpoints: Path | None) -> dict[str, dict[str, float]]:
    """Decoder to metric to value on the held-out images."""
    words = ["--decoder", options.decoder, "--preset", options.preset, "--threads", str(options.threads)]
    words += ["--accuracy_only", "true", *([] if options.images is None else ["--limit", str(options.images)])]
    chosen = replace(parse_run(words), out=options.runs / "runs" / name, checkpoints=checkpoints, fresh=True)
    records = {record.decoder: record for record in run(chosen).values()}
    return {
        decoder: {label: float(record.metrics[task][metric] or 0.0) for label, (task, metric) in METRICS.items()}
        for decoder, record in records.items()
    }


def _markdown(
    rows: Mapping[str, Mapping[str, Sequence[float]]], steps: Mapping[str, Sequence[int]], options: SeedsOptions
) -> str:
    told = ", ".join(f"{name} {' + '.join(map(str, parts))} steps" for name, parts in steps.items())
    lines = [
        "# What the seed of a training changes",
        "",
        f"The published weights and {options.seeds - 1} trainings of the same recipe under other seeds",
        f"({told}), on the same frozen encoder and scored on the same held-out images. Mean ±",
        "standard deviation (n - 1) over trainings, in brackets the published weights'; metrics × 100, depth in",
        "meters. Written by `python -m bench seeds`.",
        "",
        "| decoder | " + " | ".join(METRICS) + " |",
        "| --- |" + " ---: |" * len(METRICS),
    ]
    for decoder, found in rows.items():
        lines.append(f"| {decoder} | " + " | ".join(_cell(label, found[label]) for label in METRICS) + " |")
    return "\n".join(lines) + "\n"


def _cell(label: str, values: Sequence[float]) -> str:
    times, digits = (1, 3) if label.endswith(", m") else (100, 1)
    shown = [f"{value * times:.{digits}f}" for value in (mean(values), stdev(values), values[0])]
    return f"{shown[0]} ± {shown[1]} ({shown[2]})"
