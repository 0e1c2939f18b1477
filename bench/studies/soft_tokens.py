"""AiT's Table 9, measured: soft tokens in the solver, in the detokenizer, in both, and with the auxiliary loss."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.config.training import TrainOptions
from bench.studies.output import published, write
from bench.studies.study import HEADINGS, TASKS, Measured, Study, accuracy, cells, trained_as
from results.store import reserve

SEEDS = 3
REFERENCE = "none"
# Row to whether it was trained with the auxiliary loss, and where soft tokens are used.
ROWS: dict[str, tuple[bool, dict[str, bool]]] = {
    REFERENCE: (False, {"soft_input": False, "soft_output": False}),
    "solver": (False, {"soft_input": True, "soft_output": False}),
    "detokeniser": (False, {"soft_input": False, "soft_output": True}),
    "both": (False, {"soft_input": True, "soft_output": True}),
    "both + auxiliary loss": (True, {"soft_input": True, "soft_output": True}),
}
TRAININGS: dict[bool, tuple[str, dict[str, Any]]] = {False: ("ait-plain", {"dense_weight": {}}), True: ("ait", {})}


def measure_soft_tokens(options: TrainOptions, *, out: Path, folder: Path, seeds: int = SEEDS) -> str:
    """Train twice a seed, run the five rows, and write ``soft_tokens.md`` and ``soft_tokens.json`` into ``out``.

    Args:
        options: of the trainings; ``train.evaluate_images`` held-out images are scored.
        out: folder of the two files.
        folder: of the trainings and runs.
        seeds: trainings of each kind, with seeds from ``options.seed``.

    Returns:
        The Markdown table.
    """
    reserve(out / "soft_tokens.md")
    study = Study(options, folder)
    measured: dict[str, list[Measured]] = {row: [] for row in ROWS}
    weights: list[Path] = []
    for seed in range(options.seed, options.seed + seeds):
        trained = {
            aux: study.train(name, "ait", seed=seed, strategy=strategy) for aux, (name, strategy) in TRAININGS.items()
        }
        weights += trained.values()
        for row, (aux, soft) in ROWS.items():
            # The likeliest tokens, so that rows differ in nothing but soft tokens.
            strategy = {"ait": {**soft, "top_p": {}}}
            name = row.replace(" ", "")
            measured[row].append(study.run(name, {"ait": trained[aux]}, seed=seed, strategy=strategy)["ait"])
    paper = published("ait_soft_tokens")
    found = {
        row: {
            task: accuracy(
                task,
                measured[row],
                None if row == REFERENCE else measured[REFERENCE],
                [paper["rows"][name][task] for name in (row, REFERENCE)],
            )
            for task in TASKS
        }
        for row in ROWS
    }
    images = measured[REFERENCE][0].record.images
    text = _markdown(found, images, seeds, trained_as(weights), paper["source"])
    write(out, "soft_tokens", text, {"rows": found, "paper": paper, "images": images, "seeds": seeds})
    return text


def _markdown(rows: Mapping[str, Mapping[str, Any]], images: int, seeds: int, trained: str, source: str) -> str:
    heads = [part for task in TASKS for part in (HEADINGS[task], f"against {REFERENCE} (95 %)", "paper", "paper's way")]
    lines = [
        "# Soft tokens (AiT's Table 9), on the embedded scenes",
        "",
        f"{images} images, mean of trainings with {seeds} seeds ({trained}) without and with the auxiliary",
        "loss; the likeliest tokens everywhere. Masks are prompted by annotated boxes, all of score 1, so that their",
        "AP is not that of a detector. Intervals: paired bootstrap over images, trainings kept. The column behind the",
        f"paper's value ({source})",
        "says whether our difference goes its way. Written by `python -m bench soft-tokens`.",
        "",
        "| soft tokens | " + " | ".join(heads) + " |",
        "| --- |" + " ---: | ---: | ---: | --- |" * len(TASKS),
    ]
    for row, found in rows.items():
        lines.append(f"| {row} | " + " | ".join(cell for task in TASKS for cell in cells(found[task], task)) + " |")
    return "\n".join(lines) + "\n"
