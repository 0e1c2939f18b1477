"""Time for the terminal: what a run without scores measured, and where a decoder's time goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.terminal.record_tables import label, remarks
from results.record import SAMPLES_FOR, Record, Timing

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

GIB = 1024
WIDE = 5  # columns of a table of phases


def print_speed(records: Sequence[Record], console: Console) -> None:
    """Print the table and what a reader must know beside it."""
    first = records[0]
    place = first.environment.get("gpu") or first.environment.get("cpu")
    load = "random weights" if first.random_weights else "trained weights"
    console.print(
        f"preset {first.preset}, {load}, {first.options.get('precision')}, {place}; milliseconds per image",
        style="bold",
        highlight=False,
        soft_wrap=True,
    )
    console.print(speed_table(records))
    for line in remarks(records):
        console.print(line, highlight=False, markup=False)


def print_details(records: Sequence[Record], console: Console) -> None:
    """Print where the time goes, phase by phase, and what each task costs and takes alone."""
    for start in range(0, len(records), WIDE):
        console.print(phase_table(records[start : start + WIDE]))
    if any(record.cost for record in records):
        console.print(cost_table(records))


def speed_table(records: Sequence[Record]) -> Table:
    """One line a record: how many images, how long, how even, and what it took."""
    headings = ["batch", "images", "mean", *(f"p{p}" for p in SAMPLES_FOR), "images/s", "CPU ms", "GFLOP"]
    prepared = any(record.mode.prepared for record in records)
    on_gpu = any(record.machine is not None and record.machine.allocated_mib is not None for record in records)
    table = _table([*headings, *(["prepare s"] if prepared else []), *(["GiB"] if on_gpu else [])])
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
    """One line a phase, one column a record: mean milliseconds; the passes of the network below each decoding."""
    table = _table([label(record) for record in records], first="phase")
    for name in dict.fromkeys(phase for record in records for phase in record.latency.phases):
        parts = [record.latency.phases.get(name) for record in records]
        table.add_row(name, *("–" if part is None else f"{part.mean_ms:.2f}" for part in parts))
        inside = dict.fromkeys(own for r in records for own in r.latency.passes if own.rpartition(".")[0] == name)
        for own in inside:
            passes = [record.latency.passes.get(own) for record in records]
            told = ("–" if one is None else f"{one.per_image:.4g} × {one.mean_ms:.2f}" for one in passes)
            table.add_row(f"  {own.rpartition('.')[2]}", *told, style="dim")
    table.add_row("total", *(f"{record.latency.total.mean_ms:.2f}" for record in records), style="bold")
    shares = [record.latency.harness_share for record in records]
    table.add_row("harness share", *("–" if share is None else f"{100 * share:.1f} %" for share in shares))
    return table


def cost_table(records: Sequence[Record]) -> Table:
    """One line a record and task: the network's work per image, how near it came to the machine's rates, time alone."""
    table = _table(["task", "evals", "positions", "tokens/s", "GFLOP", "of matmul", "of bandwidth", "alone ms"])
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
    """A percentile, or how many images it needs."""
    value = getattr(timing, f"p{p}_ms")
    return f"needs {SAMPLES_FOR[p]}" if value is None else f"{value:.1f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _table(headings: Sequence[str], *, first: str = "decoder") -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
