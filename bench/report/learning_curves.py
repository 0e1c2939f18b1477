"""Learning curves of the weights that runs decoded with, from the checkpoints that are shipped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import registry
from bench.checkpoints.checkpoint import checkpoint_path
from bench.errors import UserError
from bench.paths import CHECKPOINTS
from reports.report_data import Curve
from results.record import Record


def curves(records: Sequence[Record], missing: dict[str, str]) -> list[Curve]:
    """One curve for each checkpoint, named after what was trained; says in ``missing`` why there are none."""
    found: dict[str, Curve] = {}
    own = [record.decoder for record in records if record.options.get("checkpoints")]
    for record in records:
        name = _weights(record.decoder)
        path = checkpoint_path(record.preset, name, CHECKPOINTS).with_suffix(".jsonl")
        if record.decoder not in own and name not in found and path.exists():
            found[name] = read_curve(name, path)
    if not found:
        why = (
            f"{', '.join(own)} used other weights than those that are shipped" if own else "there are no training logs"
        )
        missing["curves"] = why
    return list(found.values())


def read_curve(label: str, path: Path) -> Curve:
    """A learning curve as training leaves it: lines with a loss, lines with an evaluation."""
    loss: list[tuple[int, float]] = []
    evaluations: list[tuple[int, dict[str, float]]] = []
    for line in path.read_text().splitlines():
        point: dict[str, Any] = json.loads(line)
        if "evaluation" in point:
            evaluations.append((point["step"], point["evaluation"]))
        elif "loss" in point:
            loss.append((point["step"], point["loss"]))
    names = dict.fromkeys(name for _, scores in evaluations for name in scores)
    card = path.with_suffix(".json")
    return Curve(
        label=label,
        steps=[step for step, _ in evaluations],
        scores={name: [scores.get(name) for _, scores in evaluations] for name in names},
        loss=loss,
        card=json.loads(card.read_text()) if card.exists() else {},
    )


def _weights(decoder: str) -> str:
    """Name of the checkpoint that a strategy decodes with."""
    try:
        return str(getattr(registry.load(registry.DECODERS, decoder), "weights", decoder))
    except UserError:  # a strategy of a package that is not installed any more
        return decoder
