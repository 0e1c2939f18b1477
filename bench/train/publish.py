"""The end of a training: weights and card in its folder, and copies among the published checkpoints if asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.checkpoints.checkpoint import checkpoint_path, copy_checkpoint, write_checkpoint
from bench.train.trainer import CURVE, Trainer
from results.store import write_atomically

CONTINUED = ("step", "seconds", "cpu_seconds")


def finish(
    trainer: Trainer,
    name: str,
    tensors: Mapping[str, Tensor],
    card: Mapping[str, Any],
    *,
    publish: str | None,
    start: Path | None = None,
) -> list[Path]:
    """Write the weights with a card that names cost and scores of their training.

    Args:
        trainer: at the last step.
        name: of the checkpoint: a decoder's, ``encoder``, or a codec's.
        tensors: the weights.
        card: of the checkpoint; steps, times, precision and metrics are added.
        publish: preset among whose checkpoints copies are put, or None.
        start: weights that the training started from; their learning curve precedes this one in the copy.

    Returns:
        The files that were written.
    """
    full_card = {
        **card,
        "steps": trainer.step,
        "parts": trainer.parts,
        "seconds": round(trainer.seconds),
        "cpu_seconds": round(trainer.cpu_seconds),
        "precision": trainer.precision,
        "metrics": trainer.last_evaluation(),
    }
    path = write_checkpoint(trainer.folder / f"{name}.safetensors", tensors, full_card)
    written = [path, trainer.folder / CURVE]
    if publish is not None:
        target = checkpoint_path(publish, name)
        curve = whole_curve(written[1], start)  # before the copy: the start may be what is replaced
        copy_checkpoint(path, target)
        write_atomically(target.with_suffix(".jsonl"), curve.encode())
        written.append(target)
    return written


def last_points(curve: Path) -> str:
    """Return the last loss and the last scores of a learning curve in a line."""
    points = [json.loads(line) for line in curve.read_text().splitlines()]
    losses = [point for point in points if "loss" in point]
    scores = [point["evaluation"] for point in points if "evaluation" in point]
    parts = [f"step {losses[-1]['step']}: loss {losses[-1]['loss']:.4g}"] if losses else []
    parts += [f"{name} {value:.4g}" for name, value in (scores[-1].items() if scores else ()) if value is not None]
    return ", ".join(parts)


def whole_curve(curve: Path, start: Path | None) -> str:
    """Return the lines of a learning curve, after those of the training that it started from if that left any.

    Steps and times continue where those end.
    """
    candidates = [] if start is None else [start.with_suffix(".jsonl"), start.with_name(CURVE)]
    earlier = next((path for path in candidates if path.exists()), None)
    if earlier is None:
        return curve.read_text()
    first, second = ([json.loads(line) for line in path.read_text().splitlines()] for path in (earlier, curve))
    end = {name: max((point.get(name, 0) for point in first), default=0) for name in CONTINUED}
    shifted = [point | {name: point[name] + end[name] for name in CONTINUED if name in point} for point in second]
    return "".join(json.dumps(point) + "\n" for point in [*first, *shifted])
