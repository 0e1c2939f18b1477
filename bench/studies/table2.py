"""MAD's Table 2, measured, with AiT's strategies below: five tasks and time, every row on the same encoder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import registry
from bench.checkpoints.checkpoint import checkpoint_path
from bench.config.run import RunOptions
from bench.paths import CHECKPOINTS
from bench.run.runner import run
from reports.metrics import HEADLINE
from reports.terminal.record_tables import cell
from results.record import Record
from results.store import reserve, write_atomically

ROWS = {
    "autoregressive": "autoregressive",
    "parallel": "parallel",
    "mad-one-pass": "+ masked training",
    "mad": "+ masked inference",
    "ait": "AiT, soft tokens",
    "ait-parallel": "AiT-P, parallel dense tokens",
}
COMPARED = ("autoregressive", "mad")  # rows whose times are set against each other


def measure_table2(options: RunOptions, *, out: Path) -> str:
    """Run the rows and write ``table2.md`` and ``table2.json`` into ``out``.

    Args:
        options: of the runs; ``decoder`` is replaced by the rows whose weights are there.
        out: folder of the two files.

    Returns:
        The Markdown table.
    """
    reserve(out / "table2.md")
    names = [name for name in ROWS if _weights(name, options).exists()]
    records = {record.decoder: record for record in run(dataclasses.replace(options, decoder=",".join(names))).values()}
    ordered = [records[name] for name in names]
    text = markdown(ordered)
    rows = [{"row": ROWS[record.decoder], **msgspec.to_builtins(record)} for record in ordered]
    write_atomically(out / "table2.json", (json.dumps(rows, indent=2, ensure_ascii=False) + "\n").encode())
    write_atomically(out / "table2.md", text.encode())
    return text


def _weights(name: str, options: RunOptions) -> Path:
    decoder = registry.load(registry.DECODERS, name)
    kept = options.checkpoints or CHECKPOINTS
    return checkpoint_path(str(options.preset), getattr(decoder, "weights", name), kept)


def markdown(records: Sequence[Record]) -> str:
    """Accuracy and time of the rows, then milliseconds per task and the ratio of the first row to the last."""
    first = records[0]
    cpu, threads = first.environment["cpu"], first.environment["threads"]
    lines = [
        "# MAD's Table 2 and AiT, on the embedded scenes",
        "",
        f"{first.images} images, preset {first.preset}, batch {first.latency.batch}, seed {first.seed}; {cpu},",
        f"threads: {threads}. Metrics × 100, depth error in meters. Written by `python -m bench table2`.",
        "",
        "| | " + " | ".join(metric.heading for metric in HEADLINE) + " | ms/image |",
        "| --- |" + " ---: |" * (len(HEADLINE) + 1),
    ]
    for record in records:
        cells = [cell(record, metric) for metric in HEADLINE]
        lines.append(f"| {ROWS[record.decoder]} | {' | '.join(cells)} | {record.latency.total.mean_ms:.1f} |")
    lines += ["", "Decoding alone, milliseconds per image:", "", *_times(records)]
    missing = [heading for name, heading in ROWS.items() if name not in {record.decoder for record in records}]
    lines += ["", f"Not measured, as there are no weights: {', '.join(missing)}."] if missing else []
    notes = first.notes.get("captioning", {}).get("tokenizer")
    lines += [f"\nCaption metrics: tokenizer {notes}."] if notes else []
    return "\n".join([*lines, *(f"\n{text}" for text in _doubts(records))]) + "\n"


def _doubts(records: Sequence[Record]) -> list[str]:
    """What makes the times doubtful, each reason once; with the rows that it is true of, unless it is all."""
    found = []
    for warning in dict.fromkeys(text for record in records for text in record.warnings):
        rows = [ROWS[record.decoder] for record in records if warning in record.warnings]
        of = f"Times of {', '.join(rows)}"
        found.append(f"{of if len(rows) < len(records) else 'Times'}: {warning}.")
    return found


def _times(records: Sequence[Record]) -> list[str]:
    tasks = [
        task for task in ("detection", "segmentation", "keypoints", "captioning", "depth") if task in records[0].metrics
    ]
    lines = ["| | " + " | ".join([*tasks, "all five"]) + " |", "| --- |" + " ---: |" * (len(tasks) + 1)]
    table = [_decode_ms(record, tasks) for record in records]
    for record, times in zip(records, table, strict=True):
        lines.append(f"| {ROWS[record.decoder]} | " + " | ".join(f"{value:.1f}" for value in times) + " |")
    own = {record.decoder: times for record, times in zip(records, table, strict=True)}
    ratios = [slow / fast for slow, fast in zip(own[COMPARED[0]], own[COMPARED[1]], strict=True)]
    lines.append(f"| {ROWS[COMPARED[0]]} / {ROWS[COMPARED[1]]} | " + " | ".join(f"{r:.1f}×" for r in ratios) + " |")
    return lines


def _decode_ms(record: Record, tasks: Sequence[str]) -> list[float]:
    """Mean milliseconds of each task's decoding, and their sum."""
    each = [record.latency.phases[f"decode.{task}"].mean_ms for task in tasks]
    return [*each, sum(each)]
