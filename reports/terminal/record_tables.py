"""Tables of records for the terminal: one line a decoder, its scores on five tasks and its time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from reports.metrics import HEADLINE, ShownMetric
from reports.terminal.console_table import console_table
from results.equal_work import ADVICE, unequal_work
from results.record import Record

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_records(records: Sequence[Record], console: Console) -> None:
    """Print one table for each caption tokenizer, as scores of different tokenizers are not comparable."""
    for _, group in groupby(sorted(records, key=_caption_tokenizer), key=_caption_tokenizer):
        comparable = list(group)
        console.print(_title(comparable[0]), style="bold", highlight=False, markup=False, soft_wrap=True)
        console.print(records_table(comparable))
        print_remarks(comparable, console)


def print_remarks(records: Sequence[Record], console: Console) -> None:
    """Print the remarks on the numbers of records."""
    for line in remarks(records):
        console.print(line, highlight=False, markup=False)


def records_table(records: Sequence[Record]) -> Table:
    """A rich table of records made on the same data.

    Raises:
        ValueError: if the caption metrics come from different tokenizers.
    """
    if len({_caption_tokenizer(record) for record in records}) > 1:
        raise ValueError("caption metrics of different tokenizers cannot share a table")
    table = console_table(["decoder", *(metric.heading for metric in HEADLINE), "ms/image"])
    for record in records:
        table.add_row(label(record), *(cell(record, metric) for metric in HEADLINE), milliseconds(record))
    return table


def label(record: Record) -> str:
    """The decoder, with its mode unless it is eager, and its batch where a run has several."""
    batch = f" ×{record.latency.batch}" if record.latency.scenario == "stream" else ""
    return record.decoder + (f" {record.mode.name}" if record.mode.name != "eager" else "") + batch


def milliseconds(record: Record) -> str:
    """Mean milliseconds per image; a dash for a run of accuracy alone."""
    return "–" if record.latency.scenario == "untimed" else f"{record.latency.total.mean_ms:.1f}"


def cell(record: Record, metric: ShownMetric) -> str:
    """One value: ``off`` where the task did not run, ``–`` where the metric is not defined."""
    return metric.text(record.metrics[metric.task].get(metric.name)) if metric.task in record.metrics else "off"


def remarks(records: Sequence[Record]) -> list[str]:
    """Remarks on the numbers: tasks that are off, how metrics were computed, interruptions, warnings."""
    lines = []
    first = records[0]
    for reason in dict.fromkeys(first.off.values()):
        tasks = ", ".join(task for task, why in first.off.items() if why == reason)
        lines.append(f"off: {tasks}: {reason}")
    for task, notes in first.notes.items():
        # An optional metric that is not in the record needs no remark here; the record has it.
        shown = {key: text for key, text in notes.items() if not key.isupper() or key in first.metrics[task]}
        lines += [f"{task}: {key}: {text}" for key, text in shown.items()]
    for record in records:
        if record.missing:
            lines.append(
                f"{label(record)}: {len(record.missing)} tensors are random, its imported checkpoint lacks them"
            )
        if record.latency.sittings > 1:
            lines.append(
                f"{record.decoder}: time measured in {record.latency.sittings} sessions (interrupted and resumed)"
            )
    lines += _unequal_work([record for record in records if record.latency.scenario != "untimed"])
    for warning in dict.fromkeys(text for record in records for text in record.warnings):
        labels = [label(record) for record in records if warning in record.warnings]
        lines.append(f"{'times' if len(labels) == len(records) else ', '.join(labels)}: {warning}")
    return lines


def _unequal_work(records: Sequence[Record]) -> list[str]:
    """Lines on records that decoded other numbers of sequences than the first."""
    counts = [{task: cost.sequences for task, cost in record.cost.items()} for record in records]
    differing = [(record, unequal_work(counts[0], each)) for record, each in zip(records, counts, strict=True)]
    return [
        f"times: {label(records[0])} and {label(record)} did unequal work ({text}): {ADVICE}"
        for record, text in differing
        if text
    ]


def _title(record: Record) -> str:
    batch = "batches of several sizes" if record.latency.scenario == "stream" else f"batch {record.latency.batch}"
    seed = f"seed {record.seed}"
    return f"{record.images} images, preset {record.preset}, {batch}, {seed} (metrics × 100, depth in meters)"


def _caption_tokenizer(record: Record) -> str:
    """First word of the note: ``ptb`` or ``python``; the version of Java behind it changes nothing."""
    return record.notes.get("captioning", {}).get("tokenizer", "").partition(" ")[0]
