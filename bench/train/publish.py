"""The end of a training: weights and card in its folder, and copies among the checkpoints where that is asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.checkpoints import checkpoint
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
    """Write what was learned, with what it cost and how well it does.

    Args:
        trainer: at the last step.
        name: of the checkpoint: a decoder's, ``encoder``, or a codec's.
        tensors: what is kept.
        card: what the checkpoint says of itself; steps, times, precision and metrics are added.
        publish: preset among whose checkpoints copies are put, or None.
        start: weights that the training started from; their learning curve comes before this one's in the copy.

    Returns:
        The files that were written.
    """
    told = {
        **card,
        "steps": trainer.step,
        "parts": trainer.parts,
        "seconds": round(trainer.seconds),
        "cpu_seconds": round(trainer.cpu_seconds),
        "precision": trainer.precision,
        "metrics": trainer.last_evaluation(),
    }
    path = checkpoint.write_checkpoint(trainer.folder / f"{name}.safetensors", tensors, told)
    written = [path, trainer.folder / CURVE]
    if publish is not None:
        target = checkpoint.checkpoint_path(publish, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        curve = whole_curve(written[1], start)  # before the copy: the start may be what is replaced
        for source, suffix in ((path, ".safetensors"), (path.with_suffix(".json"), ".json")):
            shutil.copyfile(source, target.with_suffix(suffix))
        write_atomically(target.with_suffix(".jsonl"), curve.encode())
        written.append(target)
    return written


def whole_curve(own: Path, start: Path | None) -> str:
    """Lines of a learning curve behind those of the training that it started from, if that left any.

    Steps and times go on where those end.
    """
    before = [] if start is None else [start.with_suffix(".jsonl"), start.with_name(CURVE)]
    found = next((path for path in before if path.exists()), None)
    if found is None:
        return own.read_text()
    first, second = ([json.loads(line) for line in path.read_text().splitlines()] for path in (found, own))
    end = {name: max((point.get(name, 0) for point in first), default=0) for name in CONTINUED}
    moved = [point | {name: point[name] + end[name] for name in CONTINUED if name in point} for point in second]
    return "".join(json.dumps(point) + "\n" for point in [*first, *moved])
