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
    """Return one curve per shipped checkpoint; notes in ``missing`` why there are none."""
    by_name: dict[str, Curve] = {}
    with_own_weights = [record.decoder for record in records if record.options.get("checkpoints")]
    for record in records:
        name = _weights(record.decoder)
        path = checkpoint_path(record.preset, name, CHECKPOINTS).with_suffix(".jsonl")
        if record.decoder not in with_own_weights and name not in by_name and path.exists():
            by_name[name] = read_curve(name, path)
    if not by_name:
        decoders = ", ".join(with_own_weights)
        missing["curves"] = (
            f"{decoders} used other weights than those that are shipped" if decoders else "there are no training logs"
        )
    return list(by_name.values())


def read_curve(label: str, path: Path) -> Curve:
    """Return the curve of a training log, whose lines have a loss or an evaluation."""
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
    """Return the name of the checkpoint that a strategy decodes with."""
    try:
        return registry.decoder(decoder).weights
    except UserError:  # a strategy of a package that is not installed any more
        return decoder
