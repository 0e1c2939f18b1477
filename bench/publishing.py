"""The end of a training: weights and card in its folder, and copies among the checkpoints where that is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bench import checkpoint
from bench.trainer import CURVE, Trainer


def finish(
    trainer: Trainer, name: str, tensors: Mapping[str, Tensor], card: Mapping[str, Any], *, publish: str | None
) -> list[Path]:
    """Write what was learned, with what it cost and how well it does.

    Args:
        trainer: at the last step.
        name: of the checkpoint: a decoder's, ``encoder``, or a codec's.
        tensors: what is kept.
        card: what the checkpoint says of itself; steps, times, precision and metrics are added.
        publish: preset among whose checkpoints copies are put, or None.

    Returns:
        The files that were written.
    """
    told = {
        **card,
        "steps": trainer.step,
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
        for source, suffix in ((path, ".safetensors"), (path.with_suffix(".json"), ".json"), (written[1], ".jsonl")):
            shutil.copyfile(source, target.with_suffix(suffix))
        written.append(target)
    return written
