"""Times for the terminal: speed of each run, milliseconds of each phase, cost of each task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.terminal.console_table import console_table
from reports.terminal.record_tables import label, remarks
from results.record import SAMPLES_FOR, Record, Timing

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

GIB = 1024
COLUMNS_PER_TABLE = 5  # of a table of phases


def print_speed(records: Sequence[Record], console: Console) -> None:
    """Print the table of speed and the remarks on its numbers."""
    first = records[0]
    processor = first.environment.get("gpu") or first.environment.get("cpu")
    weights = "random weights" if first.random_weights else "trained weights"
    console.print(
        f"preset {first.preset}, {weights}, {first.options.get('precision')}, {processor}; milliseconds per image",
        style="bold",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print(speed_table(records))
    for line in remarks(records):
        console.print(line, highlight=False, markup=False)


def print_details(records: Sequence[Record], console: Console) -> None:
    """Print milliseconds of each phase, then cost and time of each task."""
    for start in range(0, len(records), COLUMNS_PER_TABLE):
        console.print(phase_table(records[start : start + COLUMNS_PER_TABLE]))
    if any(record.cost for record in records):
        console.print(cost_table(records))


def speed_table(records: Sequence[Record]) -> Table:
    """One line a record: images, mean and percentiles of time, throughput, CPU time, operations and memory."""
    headings = ["batch", "images", "mean", *(f"p{p}" for p in SAMPLES_FOR), "images/s", "CPU ms", "GFLOP"]
    prepared = any(record.mode.prepared for record in records)
    on_gpu = any(record.machine is not None and record.machine.allocated_mib is not None for record in records)
    table = console_table(["decoder", *headings, *(["prepare s"] if prepared else []), *(["GiB"] if on_gpu else [])])
    for record in records:
        total, latency = record.latency.total, record.latency
        memory = None if record.machine is None else record.machine.allocated_mib
        cells = [
            str(latency.batch),
            str(total.n),
            f"{total.mean_ms:.1f}",
            *(percentile(total, p) for p in SAMPLES_FOR),
            _number(latency.images_per_second),
            _number(latency.process_ms.get("total")),
            _number(sum(work.gflops for work in record.work.values()) if record.work else None),
        ]
        if prepared:
            cells.append(f"{record.mode.prepare_ms / 1000:.1f}" if record.mode.prepared else "–")
        if on_gpu:
            cells.append(_number(None if memory is None else memory / GIB))
        table.add_row(label(record), *cells)
    return table


def phase_table(records: Sequence[Record]) -> Table:
    """Mean milliseconds, one line a phase and one column a record; passes of the network below their phase."""
    table = console_table(["phase", *(label(record) for record in records)])
    for name in dict.fromkeys(phase for record in records for phase in record.latency.phases):
        timings = [record.latency.phases.get(name) for record in records]
        table.add_row(name, *("–" if timing is None else f"{timing.mean_ms:.2f}" for timing in timings))
        kinds = dict.fromkeys(kind for r in records for kind in r.latency.passes if kind.rpartition(".")[0] == name)
        for kind in kinds:
            passes = [record.latency.passes.get(kind) for record in records]
            cells = ("–" if item is None else f"{item.per_image:.4g} × {item.mean_ms:.2f}" for item in passes)
            table.add_row(f"  {kind.rpartition('.')[2]}", *cells, style="dim")
    table.add_row("total", *(f"{record.latency.total.mean_ms:.2f}" for record in records), style="bold")
    shares = [record.latency.harness_share for record in records]
    table.add_row("harness share", *("–" if share is None else f"{100 * share:.1f} %" for share in shares))
    return table


def cost_table(records: Sequence[Record]) -> Table:
    """One line a record and task: work per image, share of the machine's peak rates, time of the task run alone."""
    headings = ["decoder", "task", "evals", "positions", "tokens/s", "GFLOP", "of matmul", "of bandwidth", "alone ms"]
    table = console_table(headings)
    for record in records:
        name = label(record)
        if record.parameters is not None:
            name += f" ({record.parameters / 1e6:.1f} M)"
        for task, cost in record.cost.items():
            work, alone = record.work.get(f"decode.{task}"), record.latency.alone.get(task)
            table.add_row(
                name,
                task,
                _number(cost.evaluations),
                _number(cost.positions),
                _number(record.latency.tokens_per_second.get(task)),
                _number(None if work is None else work.gflops),
                _share(None if work is None else work.matmul_share),
                _share(None if work is None else work.bandwidth_share),
                "–" if alone is None else f"{alone.mean_ms:.1f}",
            )
            name = ""
    return table


def percentile(timing: Timing, p: int) -> str:
    """A percentile in milliseconds, or how many images it needs."""
    value = getattr(timing, f"p{p}_ms")
    return f"needs {SAMPLES_FOR[p]}" if value is None else f"{value:.1f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
