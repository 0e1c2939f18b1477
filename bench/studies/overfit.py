"""``overfit``: each strategy learns a few real images by heart and is scored on them against what perfect tokens score.

That a network can learn what it is shown, from files to metrics, is the least that fine-tuning needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.config.loading import parse_run, parse_train
from bench.config.run import RunOptions
from bench.config.studies import OverfitOptions
from bench.config.training import TrainOptions
from bench.errors import UserError
from bench.registry import unknown
from bench.run.runner import run
from bench.system.environment import describe_environment
from bench.train.network import train
from bench.train.trainer import CURVE
from results.store import reserve, write_atomically

DECODERS = ("autoregressive", "parallel", "mad")
# Metric to the share of the ceiling that counts as learned.
WANTED = {"detection AP": 0.9, "segmentation AP": 0.6, "keypoints AP": 0.8, "captioning BLEU-4": 0.9}
TASKS = ",".join(name.split()[0] for name in WANTED)


def measure_overfit(options: OverfitOptions) -> str:
    """Train every strategy, score it on its training images, and write ``overfit.md`` and ``.json``.

    Returns:
        The Markdown table.
    """
    for name in options.steps:
        if name not in DECODERS:
            raise UserError(f"--steps: {unknown('decoder of this study', name, [*DECODERS])}")
    reserve(options.out / "overfit.md")
    data = ["--preset", options.preset, "--coco", str(options.coco), "--limit", str(options.images), "--tasks", TASKS]
    data += ["--threads", str(options.threads), "--seed", str(options.seed)]
    own = options.runs / f"seed-{options.seed}"
    perfect: RunOptions = parse_run(["--decoder", "oracle", "--split", "train2017", *data])
    (oracle,) = run(replace(perfect, out=own / "oracle", fresh=True, accuracy_only=True)).values()
    ceilings = {name: _score(oracle.metrics, name) for name in WANTED}
    rows = {}
    for decoder in DECODERS:
        steps = options.steps.get(decoder)
        own_steps = [] if steps is None else ["--train.decoder.steps", str(steps)]
        chosen: TrainOptions = parse_train(["--decoder", decoder, "--evaluate_on", "train2017", *data, *own_steps])
        weights = train(replace(chosen, out=own / decoder))[0]
        rows[decoder] = _row(weights, ceilings)
    told = {"ceilings": ceilings, "wanted": WANTED, "rows": rows, "data": oracle.data, "images": oracle.images}
    text = _markdown(options, told)
    full = {**told, "preset": options.preset, "seed": options.seed, "environment": describe_environment()}
    write_atomically(options.out / "overfit.json", (json.dumps(full, indent=2) + "\n").encode())
    write_atomically(options.out / "overfit.md", text.encode())
    return text


def _score(metrics: Mapping[str, Mapping[str, float | None]], name: str) -> float:
    task, metric = name.split()
    return float(metrics[task][metric] or 0.0)


def _row(weights: Path, ceilings: Mapping[str, float]) -> dict[str, Any]:
    """The last evaluation, and the first at which all metrics reached what is wanted; None: none did."""
    card = json.loads(weights.with_suffix(".json").read_text())
    points = [json.loads(line) for line in (weights.parent / CURVE).read_text().splitlines()]
    found = {
        point["step"]: {name: point["evaluation"][name] for name in WANTED} for point in points if "evaluation" in point
    }
    reached = [
        step
        for step, scores in found.items()
        if all(scores[name] >= share * ceilings[name] for name, share in WANTED.items())
    ]
    return {
        "steps": card["steps"],
        "cpu_seconds": card["cpu_seconds"],
        "reached": min(reached, default=None),
        "scores": found[max(found)],
        "evaluations": found,
    }


def _markdown(options: OverfitOptions, told: Mapping[str, Any]) -> str:
    ceilings = told["ceilings"]
    lines = [
        "# Real images learned by heart",
        "",
        f"Preset `{options.preset}` trained end to end on the first {told['images']} training images of",
        f"{told['data']['coco']['root']} ({told['data']['hash']}) and scored on the same images. Metrics × 100, in",
        "brackets their share of what perfect tokens score. Written by `python -m bench overfit --coco DIR`.",
        "",
        "| decoder | " + " | ".join(WANTED) + " | steps | all reached at step | CPU seconds |",
        "| --- |" + " ---: |" * (len(WANTED) + 3),
        _line("perfect tokens", [f"{ceilings[name] * 100:.1f}" for name in WANTED], ["", "", ""]),
        _line("wanted", [f"({share:.0%})" for share in WANTED.values()], ["", "", ""]),
    ]
    for decoder, row in told["rows"].items():
        shares = [f"{v * 100:.1f} ({v / ceilings[name]:.0%})" for name, v in row["scores"].items()]
        reached = "not" if row["reached"] is None else str(row["reached"])
        lines.append(_line(decoder, shares, [str(row["steps"]), reached, str(row["cpu_seconds"])]))
    return "\n".join(lines) + "\n"


def _line(name: str, scores: Sequence[str], rest: Sequence[str]) -> str:
    return f"| {name} | " + " | ".join([*scores, *rest]) + " |"
