"""Mean milliseconds per image of every phase, a column a run."""

from __future__ import annotations

from collections.abc import Sequence

from reports.findings import joined, milliseconds
from reports.metrics import in_task_order
from reports.report_data import ReportData, ReportRun
from reports.tables.table import Cell, Table, plain, words

# Phases outside the total: files, bookkeeping (``keep`` in earlier records) and the calibration workload.
OUTSIDE = ("read", "score", "keep", "loop", "calibration")


def grouped(run: ReportRun) -> dict[str, float]:
    """Milliseconds of a run's phases within the total; ``interpret`` sums over tasks."""
    milliseconds_of: dict[str, float] = {}
    for name, timing in run.record["latency"]["phases"].items():
        if name not in OUTSIDE:
            group = "interpret" if name.startswith("interpret.") else name
            milliseconds_of[group] = milliseconds_of.get(group, 0.0) + float(timing["mean_ms"])
    return {name: milliseconds_of[name] for name in ordered(list(milliseconds_of))}


def ordered(names: Sequence[str]) -> list[str]:
    """Distinct phases: those shared by all tasks, then decoding task by task, then interpreting."""
    unique = list(dict.fromkeys(names))
    kinds = ("decode", "interpret")
    tasks = in_task_order(name.partition(".")[2] for name in unique if name.partition(".")[0] in kinds)

    def place(name: str) -> tuple[int, int, int]:
        kind, _, task = name.partition(".")
        first_seen = unique.index(name)
        return (1 + kinds.index(kind), tasks.index(task), first_seen) if kind in kinds else (0, first_seen, 0)

    return sorted(unique, key=place)


def phase_name(name: str) -> str:
    """``decode captioning`` for ``decode.captioning``."""
    return name.replace(".", " ")


def phase_table(report: ReportData) -> Table | None:
    """Mean milliseconds per image, one row a phase and one column a run; None if no run was timed."""
    runs = [run for run in report.runs if run.timed]
    if not runs:
        return None
    names = ordered([name for run in runs for name in run.record["latency"]["phases"]])
    within, outside = ([n for n in names if (n in OUTSIDE) is out] for out in (False, True))
    rows = [[words(phase_name(name)), *(_phase(run, name) for run in runs)] for name in within]
    total = [plain(run.milliseconds, source=f"{run.label}: latency.total.mean_ms") for run in runs]
    rows.append([words("total"), *total])
    rows += [
        [words(f"total, p{p}"), *(_percentile(run, p) for run in runs)]
        for p in (50, 90, 95, 99)
        if any(run.record["latency"]["total"].get(f"p{p}_ms") is not None for run in runs)
    ]
    rows += [
        [words(f"{task} alone"), *(_alone(run, task) for run in runs)]
        for task in in_task_order(task for run in runs for task in run.record["latency"].get("alone") or {})
    ]
    rows += [[words(f"not in the total: {name}"), *(_phase(run, name) for run in runs)] for name in outside]
    if any(run.record["latency"].get("harness_share") is not None for run in runs):
        rows.append([words("harness, % of total"), *(_harness(run) for run in runs)])
    if any(_prepared(run) for run in runs):
        heading = words("not in the total: compiling or capturing, once")
        rows.append([heading, *(plain(_prepared(r), source=f"{r.label}: mode.prepare_ms") for r in runs)])
    return Table(
        name="phases",
        title=_title(runs),
        headings=["phase", *(run.label for run in runs)],
        rows=rows,
        notes=[
            f"Milliseconds per image.{_outside(outside)}",
            "A percentile needs a number of images: p50 7, p90 44, p95 90, p99 459.",
        ],
    )


def _title(runs: Sequence[ReportRun]) -> str:
    """The largest phase of the slowest run."""
    slowest = max(runs, key=lambda run: run.milliseconds)
    times = {
        name: float(timing["mean_ms"])
        for name, timing in slowest.record["latency"]["phases"].items()
        if name not in OUTSIDE
    }
    largest = max(times, key=lambda name: times[name])
    share = times[largest] / slowest.milliseconds
    name = phase_name(largest).capitalize()
    return f"{name} takes {share:.0%} of {slowest.label}'s {milliseconds(slowest.milliseconds)}"


_MEANING = {
    "read": "reading files",
    "score": "scoring",
    "keep": "keeping results",
    "loop": "all other work of the harness",
    "calibration": "a fixed workload that measures the machine's speed at the time",
}


def _outside(names: Sequence[str]) -> str:
    meanings = joined([_MEANING[name] for name in names])
    return f" The total leaves out {meanings}." if meanings else ""


def _alone(run: ReportRun, task: str) -> Cell:
    timing = (run.record["latency"].get("alone") or {}).get(task)
    if timing is None:
        return words("–")
    return plain(timing["mean_ms"], source=f"{run.label}: latency.alone.{task}.mean_ms")


def _harness(run: ReportRun) -> Cell:
    share = run.record["latency"].get("harness_share")
    return plain(None if share is None else 100 * share, source=f"{run.label}: latency.harness_share")


def _prepared(run: ReportRun) -> float | None:
    """Milliseconds of compiling or graph capture, which no other time includes."""
    return (run.record.get("mode") or {}).get("prepare_ms") or None


def _phase(run: ReportRun, name: str) -> Cell:
    timing = run.record["latency"]["phases"].get(name)
    if timing is None:
        return words("–")
    return plain(timing["mean_ms"], source=f"{run.label}: latency.phases.{name}.mean_ms")


def _percentile(run: ReportRun, p: int) -> Cell:
    return plain(run.record["latency"]["total"].get(f"p{p}_ms"), source=f"{run.label}: latency.total.p{p}_ms")
