"""Tables of records for the terminal: one line a decoder, five tasks and time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from results.record import Record

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Task, metric, heading, factor: fractions are shown times 100, depth in meters.
COLUMNS = (
    ("detection", "AP", "box AP", 100),
    ("segmentation", "AP", "mask AP", 100),
    ("keypoints", "AP", "kpt AP", 100),
    ("captioning", "BLEU-4", "BLEU-4", 100),
    ("captioning", "CIDEr", "CIDEr", 100),
    ("depth", "rmse", "RMSE m", 1),
    ("depth", "delta1", "δ1", 100),
)


def print_records(records: Sequence[Record], console: Console) -> None:
    """Print a table; records whose captions were tokenized differently never share one."""
    for _, group in groupby(sorted(records, key=_caption_tokenizer), key=_caption_tokenizer):
        together = list(group)
        console.print(_title(together[0]), style="bold", highlight=False, soft_wrap=True)
        console.print(records_table(together))
        for line in remarks(together):
            console.print(line, highlight=False, markup=False)


def records_table(records: Sequence[Record]) -> Table:
    """A rich table of records made on the same data.

    Raises:
        ValueError: if the caption metrics come from different tokenizers.
    """
    from rich import box
    from rich.table import Table

    if len({_caption_tokenizer(record) for record in records}) > 1:
        raise ValueError("caption metrics of different tokenizers cannot share a table")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("decoder", no_wrap=True)
    for _, _, heading, _ in COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("ms/image", justify="right", no_wrap=True)
    for record in records:
        cells = [cell(record, task, metric, factor) for task, metric, _, factor in COLUMNS]
        table.add_row(label(record), *cells, milliseconds(record))
    return table


def label(record: Record) -> str:
    """The decoder, with its mode and batch where they are not the usual ones."""
    batch = f" ×{record.latency.batch}" if record.latency.scenario == "stream" else ""
    return record.decoder + (f" {record.mode.name}" if record.mode.name != "eager" else "") + batch


def milliseconds(record: Record) -> str:
    """Mean time of an image; none where only accuracy was asked for."""
    return "–" if record.latency.scenario == "untimed" else f"{record.latency.total.mean_ms:.1f}"


def cell(record: Record, task: str, metric: str, factor: float) -> str:
    """One value: ``off`` where the task did not run, ``–`` where the metric is not defined."""
    if task not in record.metrics:
        return "off"
    value = record.metrics[task].get(metric)
    if value is None:
        return "–"
    return f"{value * factor:.1f}" if factor == 100 else f"{value:.3f}"


def remarks(records: Sequence[Record]) -> list[str]:
    """What a reader must know beside the numbers: tasks that are off, how metrics came about, interruptions."""
    lines = []
    first = records[0]
    for why in dict.fromkeys(first.off.values()):
        tasks = ", ".join(task for task, reason in first.off.items() if reason == why)
        lines.append(f"off: {tasks}: {why}")
    for task, notes in first.notes.items():
        # An optional metric that is not in the record needs no remark here; the record has it.
        shown = {key: text for key, text in notes.items() if not key.isupper() or key in first.metrics[task]}
        lines += [f"{task}: {key}: {text}" for key, text in shown.items()]
    for record in records:
        if record.latency.sittings > 1:
            lines.append(
                f"{record.decoder}: time measured in {record.latency.sittings} sittings (interrupted and resumed)"
            )
    for warning in dict.fromkeys(text for record in records for text in record.warnings):
        told = [label(record) for record in records if warning in record.warnings]
        lines.append(f"{'times' if len(told) == len(records) else ', '.join(told)}: {warning}")
    return lines


def _title(record: Record) -> str:
    batch = "batches of several sizes" if record.latency.scenario == "stream" else f"batch {record.latency.batch}"
    seed = f"seed {record.seed}"
    return f"{record.images} images, preset {record.preset}, {batch}, {seed} (metrics × 100, depth in meters)"


def _caption_tokenizer(record: Record) -> str:
    """First word of the note: ``ptb`` or ``python``; the version of Java behind it changes nothing."""
    return record.notes.get("captioning", {}).get("tokenizer", "").partition(" ")[0]
