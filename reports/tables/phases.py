"""Mean milliseconds per image of every phase, a column a run."""

from __future__ import annotations

from collections.abc import Sequence

from reports.findings import joined, milliseconds
from reports.metrics import in_task_order
from reports.report_data import ReportData, ReportRun
from reports.tables.table import Cell, Table, plain, words

# Files, bookkeeping and a yardstick, which are not in the total; earlier records name some bookkeeping ``keep``.
OUTSIDE = ("read", "score", "keep", "loop", "calibration")


def grouped(run: ReportRun) -> dict[str, float]:
    """Milliseconds of a run's phases, those of interpreting tokens taken together; reading files is left out."""
    found: dict[str, float] = {}
    for name, timing in run.record["latency"]["phases"].items():
        if name not in OUTSIDE:
            group = "interpret" if name.startswith("interpret.") else name
            found[group] = found.get(group, 0.0) + float(timing["mean_ms"])
    return {name: found[name] for name in ordered(list(found))}


def ordered(names: Sequence[str]) -> list[str]:
    """Phases, each once: first what all tasks share, then decoding task by task, then the rest of every task."""
    known = list(dict.fromkeys(names))
    kinds = ("decode", "interpret")
    tasks = in_task_order(name.partition(".")[2] for name in known if name.partition(".")[0] in kinds)

    def place(name: str) -> tuple[int, int, int]:
        kind, _, task = name.partition(".")
        at = known.index(name)
        return (1 + kinds.index(kind), tasks.index(task), at) if kind in kinds else (0, at, 0)

    return sorted(known, key=place)


def phase_name(name: str) -> str:
    """``decode.captioning`` as people read it."""
    return name.replace(".", " ")


def phase_table(report: ReportData) -> Table | None:
    """Mean milliseconds per image of every phase, a column a strategy; None where nothing was timed."""
    runs = [run for run in report.runs if run.timed]
    if not runs:
        return None
    names = ordered([name for run in runs for name in run.record["latency"]["phases"]])
    within, beside = ([n for n in names if (n in OUTSIDE) is out] for out in (False, True))
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
    rows += [[words(f"not in the total: {name}"), *(_phase(run, name) for run in runs)] for name in beside]
    if any(run.record["latency"].get("harness_share") is not None for run in runs):
        rows.append([words("harness, % of total"), *(_harness(run) for run in runs)])
    if any(_prepared(run) for run in runs):
        heading = words("not in the total: compiling or capturing, once")
        rows.append([heading, *(plain(_prepared(r), source=f"{r.label}: mode.prepare_ms") for r in runs)])
    slowest = max(runs, key=lambda run: run.milliseconds)
    phases = {name: each for name, each in slowest.record["latency"]["phases"].items() if name in within}
    phase = max(phases.items(), key=lambda item: float(item[1]["mean_ms"]))
    share = phase[1]["mean_ms"] / slowest.milliseconds
    name = phase_name(phase[0]).capitalize()
    return Table(
        name="phases",
        title=f"{name} takes {share:.0%} of {slowest.label}'s {milliseconds(slowest.milliseconds)}",
        headings=["phase", *(run.label for run in runs)],
        rows=rows,
        notes=[
            f"Milliseconds per image.{_outside(beside)}",
            "A percentile is given only where there are images enough for it (p50 7, p90 44, p95 90, p99 459).",
        ],
    )


_MEANING = {
    "read": "reading files",
    "score": "scoring",
    "keep": "keeping results",
    "loop": "all else of a turn, which is the harness's",
    "calibration": "a fixed piece of work that shows how fast the machine is at the time",
}


def _outside(names: Sequence[str]) -> str:
    told = joined([_MEANING[name] for name in names])
    return f" The total leaves out {told}." if told else ""


def _alone(run: ReportRun, task: str) -> Cell:
    found = (run.record["latency"].get("alone") or {}).get(task)
    if found is None:
        return words("–")
    return plain(found["mean_ms"], source=f"{run.label}: latency.alone.{task}.mean_ms")


def _harness(run: ReportRun) -> Cell:
    share = run.record["latency"].get("harness_share")
    return plain(None if share is None else 100 * share, source=f"{run.label}: latency.harness_share")


def _prepared(run: ReportRun) -> float | None:
    """Milliseconds of compiling or capturing, which are in no other time."""
    return (run.record.get("mode") or {}).get("prepare_ms") or None


def _phase(run: ReportRun, name: str) -> Cell:
    found = run.record["latency"]["phases"].get(name)
    if found is None:
        return words("–")
    return plain(found["mean_ms"], source=f"{run.label}: latency.phases.{name}.mean_ms")


def _percentile(run: ReportRun, p: int) -> Cell:
    return plain(run.record["latency"]["total"].get(f"p{p}_ms"), source=f"{run.label}: latency.total.p{p}_ms")
