"""Cost of decoding beside time: evaluations, positions, tokens, operations, memory, share of peak rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.findings import joined
from reports.metrics import in_task_order
from reports.report_data import ReportData, ReportRun
from reports.tables.table import Cell, Table, plain, words

ALL = "all tasks"


def cost_table(report: ReportData) -> Table | None:
    """One row a run and task with the quantities that the records hold; None if no run uses a network."""
    runs = [run for run in report.runs if run.encodes]
    if not runs:
        return None
    tasks = in_task_order(task for run in runs for task in run.record.get("cost", {}))
    columns = [
        column for column in _COST if any(_known(run, task, column[1]) is not None for run in runs for task in tasks)
    ]
    rows = []
    for run in runs:
        run_tasks = [task for task in tasks if task in run.record.get("cost", {})]
        rows += [
            [words(run.label), words(task), *(_cell(run, task, *column) for column in columns)] for task in run_tasks
        ]
        if len(run_tasks) > 1:
            rows.append([words(run.label), words(ALL), *(_sum(run, run_tasks, *column) for column in columns)])
    return Table(
        name="cost",
        title=_cost_title(runs, tasks),
        headings=["strategy", "task", *(heading for heading, _, _ in columns)],
        rows=rows,
        notes=_cost_notes(runs),
        words=(1,),
    )


_COST = (
    ("evaluations", "cost.evaluations", 1),
    ("positions", "cost.positions", 0),
    ("sequences", "cost.sequences", 1),
    ("tokens", "cost.tokens", 0),
    ("tokens/s", "latency.tokens_per_second", 0),
    ("GFLOP", "work.gflops", 2),
    ("MB read", "work.megabytes", 1),
    ("of matmul rate", "work.matmul_share", 1),
    ("of bandwidth", "work.bandwidth_share", 1),
)


def _known(run: ReportRun, task: str, name: str) -> float | None:
    part, _, field = name.partition(".")
    if part == "latency":
        return (run.record["latency"].get(field) or {}).get(task) or None
    place = run.record.get(part, {}).get(task if part == "cost" else f"decode.{task}")
    return None if place is None else place.get(field)


# Rates and what each is a rate of: a sum over tasks weighs each by the time it takes.
_RATES = {
    "latency.tokens_per_second": "cost.tokens",
    "work.matmul_share": "work.gflops",
    "work.bandwidth_share": "work.megabytes",
}


def _cell(run: ReportRun, task: str, _heading: str, name: str, digits: int) -> Cell:
    part, _, field = name.partition(".")
    where = {"latency": f"latency.{field}.{task}", "cost": f"cost.{task}.{field}"}
    source = f"{run.label}: {where.get(part, f'work.decode.{task}.{field}')}"
    return _shown(_known(run, task, name), name, digits, source)


def _sum(run: ReportRun, tasks: Sequence[str], _heading: str, name: str, digits: int) -> Cell:
    """Sum over all tasks, rates weighted by time; a dash if a task lacks the quantity."""
    values = [_known(run, task, name) for task in tasks]
    amounts = [_known(run, task, _RATES.get(name, name)) for task in tasks]
    present = [value for value in values if value is not None]
    weights = [amount for amount in amounts if amount is not None]
    if len(present) < len(tasks) or len(weights) < len(tasks):
        return words("–")
    if name not in _RATES:
        return _shown(sum(present), name, digits, "")
    return _shown(sum(weights) / sum(a / v for a, v in zip(weights, present, strict=True)), name, digits, "")


def _shown(value: float | None, name: str, digits: int, source: str) -> Cell:
    if value is None or not name.endswith("_share"):
        return plain(value, digits, source=source)
    return Cell(text=f"{100 * value:.{digits}f} %", value=value, source=source)


def _cost_title(runs: Sequence[ReportRun], tasks: Sequence[str]) -> str:
    total = {run.label: sum(_known(run, task, "cost.evaluations") or 0.0 for task in tasks) for run in runs}
    most, least = max(total, key=lambda name: total[name]), min(total, key=lambda name: total[name])
    if most == least or not total[least]:
        return f"{most} evaluates its decoder {total[most]:.0f} times an image"
    return f"{most} evaluates its decoder {total[most]:.0f} times an image, {least} {total[least]:.0f} times"


def _cost_notes(runs: Sequence[ReportRun]) -> list[str]:
    notes = [f"Mean per image; {ALL}: of decoding, without backbone and encoder."]
    peaks: dict[float, list[str]] = {}
    for run in runs:
        place: dict[str, Any] = run.record.get("machine") or {}
        peak = place.get("allocated_mib") or place.get("peak_rss_mib")
        if peak:
            peaks.setdefault(float(peak), []).append(run.label)
    for peak, labels in peaks.items():
        who = labels[0] if len(labels) == 1 else f"One process ran {joined(labels)}"
        notes.append(f"{who}: {peak:,.0f} MiB of memory at most.")
    for run in runs:
        place = run.record.get("machine") or {}
        energy = (place.get("gpu") or {}).get("joules_per_image")
        if energy:
            notes.append(f"{run.label}: {energy:.2f} J an image.")
    lacking = [
        heading
        for heading, name, _ in _COST
        if name.startswith("work") and not any(run.record.get("work") for run in runs)
    ]
    if lacking:
        notes.append("Operations and the share of the machine's peak are not in these records.")
    return notes
