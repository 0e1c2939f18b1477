"""AiT's Tables 10 and 12, measured: dense tokens one by one against dense tokens in one pass, accuracy and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from bench.config.training import TrainOptions
from bench.studies.output import published, write
from bench.studies.soft_tokens import TRAININGS
from bench.studies.study import HEADINGS, TASKS, Measured, Study, accuracy, cells, trained_as
from results.record import Record
from results.store import reserve

SEEDS = 3
REFERENCE = "ait"
STEPWISE = "ait-parallel, a step for each token"
LIKELIEST: dict[str, Any] = {"top_p": {}}


def measure_parallel_study(options: TrainOptions, *, out: Path, folder: Path, seeds: int = SEEDS) -> str:
    """Train both, run them together, and write ``parallel_study.md`` and ``parallel_study.json`` into ``out``.

    The weights of ``ait`` are those of the soft-token study where that lies in the same folder.

    Args:
        options: of the trainings; ``train.evaluate_images`` held-out images are scored.
        out: folder of the two files.
        folder: of the trainings and runs.
        seeds: trainings of each kind, with seeds from ``options.seed``.

    Returns:
        The Markdown table.
    """
    reserve(out / "parallel_study.md")
    study = Study(options, folder)
    measured: dict[str, list[Measured]] = {REFERENCE: [], "ait-parallel": [], STEPWISE: []}
    weights: dict[str, Path] = {}
    for seed in range(options.seed, options.seed + seeds):
        name, strategy = TRAININGS[True]
        weights = {
            "ait": study.train(name, "ait", seed=seed, strategy=strategy),
            "ait-parallel": study.train("ait-parallel", "ait-parallel", seed=seed, strategy={}),
        }
        together = study.run("together", weights, seed=seed, strategy=dict.fromkeys(weights, LIKELIEST))
        released = {"ait-parallel": {**LIKELIEST, "one_pass": False}}
        alone = study.run("stepwise", {"ait-parallel": weights["ait-parallel"]}, seed=seed, strategy=released)
        measured["ait"].append(together["ait"])
        measured["ait-parallel"].append(together["ait-parallel"])
        measured[STEPWISE].append(alone["ait-parallel"])
    paper = published("ait_parallel")
    found = {row: {task: _row(row, task, measured, paper["rows"]) for task in TASKS} for row in measured}
    first = measured[REFERENCE][0].record
    text = _markdown(found, first, seeds, trained_as([*weights.values()]), paper["source"])
    write(out, "parallel_study", text, {"rows": found, "paper": paper, "images": first.images, "seeds": seeds})
    return text


def _row(row: str, task: str, measured: Mapping[str, Sequence[Measured]], paper: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy, and the time and work of decoding."""
    reference = None if row == REFERENCE else measured[REFERENCE]
    printed = [paper.get(name, {}).get(task) for name in (row, REFERENCE)]
    records = [one.record for one in measured[row]]
    return {
        **accuracy(task, measured[row], reference, printed),
        "decode_ms": mean(record.latency.phases[f"decode.{task}"].mean_ms for record in records),
        "evaluations": mean(record.cost[task].evaluations for record in records),
        "positions": mean(record.cost[task].positions for record in records),
    }


def _markdown(rows: Mapping[str, Mapping[str, Any]], first: Record, seeds: int, trained: str, source: str) -> str:
    environment = first.environment
    lines = [
        "# Dense tokens in parallel (AiT's Tables 10 and 12), on the embedded scenes",
        "",
        f"{first.images} images, mean of trainings with {seeds} seeds ({trained}); likeliest tokens, read softly.",
        "Masks are prompted by annotated boxes, all of score 1. Intervals: paired bootstrap over images, trainings",
        f"kept. The column behind the paper's value ({source})",
        f"says whether our difference goes its way. Time: decoding alone, batch {first.latency.batch}, "
        f"{environment['cpu']}, threads: {environment['threads']}.",
        "The last row decodes the same weights with a step for each token, as the released code does. Written by",
        "`python -m bench parallel-study`.",
    ]
    for task in TASKS:
        head = [
            HEADINGS[task],
            f"against {REFERENCE} (95 %)",
            "paper",
            "paper's way",
            "ms/image",
            "evaluations",
            "positions",
        ]
        lines += ["", "| | " + " | ".join(head) + " |", "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |"]
        for row, found in rows.items():
            work = [f"{found[task][name]:.1f}" for name in ("decode_ms", "evaluations", "positions")]
            lines.append(f"| {row} | " + " | ".join([*cells(found[task], task), *work]) + " |")
        slow, fast = (rows[row][task]["decode_ms"] for row in (REFERENCE, "ait-parallel"))
        lines += ["", f"`ait` takes {slow / fast:.1f} times as long as `ait-parallel` to decode {task}."]
    return "\n".join(lines) + "\n"
