"""The tables of a set of runs: the comparison (MAD Tables 1 and 2), every metric, phases of time, cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reports import findings
from reports.checks import doubtful_times
from reports.findings import joined, milliseconds, spread
from reports.material import TIME, Material, Run, one_machine
from reports.metrics import Metric, headline, metric
from reports.style import looks
from reports.table import Cell, Table, number, plain, words

TASKS = ("detection", "segmentation", "keypoints", "captioning", "depth")


def comparison_table(material: Material) -> Table:
    """One row a run: backbone, parameters, time and every task's headline metrics with intervals."""
    runs = material.runs
    columns = headline([run.record for run in runs])
    backbones = any(_backbone(run) for run in runs)
    sizes = any(_parameters(run) is not None for run in runs)
    headings = ["strategy", *(["backbone"] if backbones else []), *(["parameters"] if sizes else []), "ms/image"]
    look = looks([run.decoder for run in runs])
    rows = []
    for run in runs:
        row = [words(run.label, swatch=look[run.decoder].colour)]
        row += [words(_backbone(run) if run.encodes else "–")] if backbones else []
        row += [_millions(_parameters(run), run)] if sizes else []
        rows.append([*row, _time(run, material), *(_score(run, column, material) for column in columns)])
    return Table(
        name="comparison",
        title=_title(material, columns),
        headings=[*headings, *(column.heading for column in columns)],
        rows=rows,
        notes=_comparison_notes(material, columns),
        words=(1,) if backbones else (),
    )


def variants_table(material: Material) -> Table | None:
    """Further runs of the same strategies; None without any."""
    if not material.variants:
        return None
    table = comparison_table(replace(material, runs=material.variants))
    return replace(
        table,
        name="variants",
        title=f"{len(material.variants)} further runs of the same strategies",
        rows=[[replace(cell, best=False) for cell in row] for row in table.rows],
        notes=[],
    )


def _title(material: Material, columns: Sequence[Metric]) -> str:
    if not material.statistics.comparisons:
        return f"Accuracy and time of {joined([run.label for run in material.runs])}"
    return findings.leaders(material.runs, columns, lambda run, column: is_best(run, column, material))


def _score(run: Run, column: Metric, material: Material) -> Cell:
    value = column.value(run.record)
    if column.task not in run.record["metrics"]:
        return words("off")
    return number(
        column,
        value,
        source=f"{run.label}: metrics.{column.task}.{column.name}",
        interval=spread(material.statistics.interval(run.label, column.key), column),
        best=is_best(run, column, material),
    )


def is_best(run: Run, column: Metric, material: Material) -> bool:
    """Whether a run is significantly better than every other that encodes an image; the ceiling takes no part."""
    others = [other for other in material.runs if other.encodes and other is not run]
    if column.higher is None or not others or not run.encodes:
        return False
    for other in others:
        found = material.statistics.between(other.label, run.label, column.key)
        if found is None or not found.significant or (found.value > 0) != column.higher:
            return False
    return True


def _time(run: Run, material: Material) -> Cell:
    interval = material.statistics.interval(run.label, TIME)
    text = f"({interval.low:.1f}–{interval.high:.1f})" if interval else ""
    if not run.timed:
        return words("–")
    others = [other for other in material.runs if other.timed and other is not run]
    found = [material.statistics.between(other.label, run.label, TIME) for other in others]
    best = bool(found) and all(each is not None and each.significant and each.value > 1 for each in found)
    best = best and one_machine(material.runs)
    return plain(run.milliseconds, source=f"{run.label}: latency.total.mean_ms", interval=text, best=best)


def _comparison_notes(material: Material, columns: Sequence[Metric]) -> list[str]:
    first = material.runs[0].record
    unit = f"time is wall clock at batch {_batch(first)}"
    notes = [f"{first['images']} images. Fractions × 100, depth errors in metres; {unit}."]
    if material.statistics.intervals:
        notes.append(
            f"In brackets: {material.statistics.method}. Bold: significantly better than every other strategy."
        )
    else:
        notes.append(f"No intervals: {material.missing.get('statistics', 'none were computed')}.")
    ceilings = [run.label for run in material.runs if not run.encodes]
    if ceilings:
        notes.append(f"{joined(ceilings)}: the ground truth's own tokens, the ceiling of the tokenisation.")
    if not one_machine(material.runs):
        notes.append("Times are of different machines and must not be compared.")
    return notes + doubtful_times([run for run in material.runs if run.timed])


def detail_tables(material: Material) -> list[Table]:
    """Every metric of every task, one table a task: the 12 COCO numbers, captions, depth (AiT Table 12)."""
    tables = []
    for task in dict.fromkeys(task for run in material.runs for task in run.record["metrics"]):
        runs = [run for run in material.runs if task in run.record["metrics"]]
        names = dict.fromkeys(name for run in runs for name in run.record["metrics"][task])
        columns = [metric(task, name) for name in names]
        look = looks([run.decoder for run in material.runs])
        rows = [
            [words(run.label, swatch=look[run.decoder].colour), *(_score(run, column, material) for column in columns)]
            for run in runs
        ]
        rows = [
            [Cell(text=c.text, value=c.value, source=c.source, best=c.best, swatch=c.swatch) for c in r] for r in rows
        ]
        tables.append(
            Table(
                name=f"detail-{task}",
                title=_leads(task, runs, material),
                headings=["strategy", *(column.heading for column in columns)],
                rows=rows,
                notes=_absent(task, runs),
                section=task,
            )
        )
    return sorted(tables, key=lambda table: TASKS.index(table.section) if table.section in TASKS else len(TASKS))


def _leads(task: str, runs: Sequence[Run], material: Material) -> str:
    """A title that says who leads in the task's first metric, and whether that is more than chance."""
    columns = [column for column in headline([run.record for run in runs]) if column.task == task]
    column = next((c for c in columns if c.higher is not None), None)
    scored = [run for run in runs if column and run.encodes and column.value(run.record) is not None]
    if column is None or not scored:
        return f"{task[0].upper()}{task[1:]}: every metric"
    ordered = sorted(scored, key=lambda run: column.value(run.record) or 0.0, reverse=bool(column.higher))
    best = ordered[0]
    value = f"{column.text(column.value(best.record))} {column.heading}"
    if len(ordered) == 1:
        return f"{task[0].upper()}{task[1:]}: {best.label} reaches {value}"
    found = material.statistics.between(ordered[1].label, best.label, column.key)
    name = f"{task[0].upper()}{task[1:]}"
    if found is None:
        return f"{name}: {best.label} has the best value, {value}"
    if found.significant:
        return f"{name}: {best.label} leads with {value}, {findings.points(found, column)} over {ordered[1].label}"
    equal = [run.label for run in ordered if run is best or _equal(run, best, column, material)]
    return f"{name}: {joined(equal)} cannot be told apart at the top, {value} at best"


def _equal(run: Run, best: Run, column: Metric, material: Material) -> bool:
    found = material.statistics.between(best.label, run.label, column.key)
    return found is not None and not found.significant


def _absent(task: str, runs: Sequence[Run]) -> list[str]:
    found: dict[str, None] = {}
    for run in runs:
        notes = run.record.get("notes", {}).get(task, {})
        found |= dict.fromkeys(f"{name}: {text}." for name, text in notes.items())
    return list(found)


def phase_table(material: Material) -> Table | None:
    """Mean milliseconds per image of every phase, a column a strategy; None where nothing was timed."""
    runs = [run for run in material.runs if run.timed]
    if not runs:
        return None
    names = list(dict.fromkeys(name for run in runs for name in run.record["latency"]["phases"]))
    rows = [[words(phase_name(name)), *(_phase(run, name) for run in runs)] for name in names]
    total = [plain(run.milliseconds, source=f"{run.label}: latency.total.mean_ms") for run in runs]
    rows.append([words("total"), *total])
    rows += [
        [words(f"total, p{p}"), *(_percentile(run, p) for run in runs)]
        for p in (50, 90, 95, 99)
        if any(run.record["latency"]["total"].get(f"p{p}_ms") is not None for run in runs)
    ]
    rows += [
        [words(f"{task} alone"), *(_alone(run, task) for run in runs)]
        for task in dict.fromkeys(task for run in runs for task in run.record["latency"].get("alone") or {})
    ]
    if any(run.record["latency"].get("harness_share") is not None for run in runs):
        rows.append([words("harness, % of total"), *(_harness(run) for run in runs)])
    if any(_prepared(run) for run in runs):
        heading = words("compiling or capturing, once")
        rows.append([heading, *(plain(_prepared(r), source=f"{r.label}: mode.prepare_ms") for r in runs)])
    slowest = max(runs, key=lambda run: run.milliseconds)
    phase = max(slowest.record["latency"]["phases"].items(), key=lambda item: float(item[1]["mean_ms"]))
    share = phase[1]["mean_ms"] / slowest.milliseconds
    name = phase_name(phase[0]).capitalize()
    return Table(
        name="phases",
        title=f"{name} takes {share:.0%} of {slowest.label}'s {milliseconds(slowest.milliseconds)}",
        headings=["phase", *(run.label for run in runs)],
        rows=rows,
        notes=[
            "Milliseconds per image; reading files is not in the total.",
            "A percentile is given only where there are images enough for it (p50 7, p90 44, p95 90, p99 459).",
        ],
    )


def _alone(run: Run, task: str) -> Cell:
    found = (run.record["latency"].get("alone") or {}).get(task)
    if found is None:
        return words("–")
    return plain(found["mean_ms"], source=f"{run.label}: latency.alone.{task}.mean_ms")


def _harness(run: Run) -> Cell:
    share = run.record["latency"].get("harness_share")
    return plain(None if share is None else 100 * share, source=f"{run.label}: latency.harness_share")


def _prepared(run: Run) -> float | None:
    """Milliseconds of compiling or capturing, which are in no other time."""
    return (run.record.get("mode") or {}).get("prepare_ms") or None


def _phase(run: Run, name: str) -> Cell:
    found = run.record["latency"]["phases"].get(name)
    if found is None:
        return words("–")
    return plain(found["mean_ms"], source=f"{run.label}: latency.phases.{name}.mean_ms")


def _percentile(run: Run, p: int) -> Cell:
    return plain(run.record["latency"]["total"].get(f"p{p}_ms"), source=f"{run.label}: latency.total.p{p}_ms")


def phase_name(name: str) -> str:
    """``decode.captioning`` as people read it."""
    return name.replace(".", " ")


def cost_table(material: Material) -> Table | None:
    """Evaluations and positions of every task, and what the record knows beside: operations, memory, share of peak."""
    runs = [run for run in material.runs if run.encodes]
    if not runs:
        return None
    tasks = list(dict.fromkeys(task for run in runs for task in run.record.get("cost", {})))
    columns = [
        column for column in _COST if any(_known(run, task, column[1]) is not None for run in runs for task in tasks)
    ]
    rows = [
        [words(run.label), words(task), *(_cost_cell(run, task, name, digits) for _, name, digits in columns)]
        for run in runs
        for task in tasks
        if task in run.record.get("cost", {})
    ]
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
    ("of matmul rate", "work.matmul_share", 3),
    ("of bandwidth", "work.bandwidth_share", 3),
)


def _known(run: Run, task: str, name: str) -> float | None:
    part, _, field = name.partition(".")
    if part == "latency":
        return (run.record["latency"].get(field) or {}).get(task) or None
    place = run.record.get(part, {}).get(task if part == "cost" else f"decode.{task}")
    return None if place is None else place.get(field)


def _cost_cell(run: Run, task: str, name: str, digits: int) -> Cell:
    part, _, field = name.partition(".")
    where = {"latency": f"latency.{field}.{task}", "cost": f"cost.{task}.{field}"}
    return plain(
        _known(run, task, name), digits, source=f"{run.label}: {where.get(part, f'work.decode.{task}.{field}')}"
    )


def _cost_title(runs: Sequence[Run], tasks: Sequence[str]) -> str:
    total = {run.label: sum(_known(run, task, "cost.evaluations") or 0.0 for task in tasks) for run in runs}
    most, least = max(total, key=lambda name: total[name]), min(total, key=lambda name: total[name])
    if most == least or not total[least]:
        return f"{most} evaluates its decoder {total[most]:.0f} times an image"
    return f"{most} evaluates its decoder {total[most]:.0f} times an image, {least} {total[least]:.0f} times"


def _cost_notes(runs: Sequence[Run]) -> list[str]:
    notes = ["Mean per image."]
    for run in runs:
        place: dict[str, Any] = run.record.get("machine") or {}
        peak = place.get("allocated_mib") or place.get("peak_rss_mib")
        if peak:
            notes.append(f"{run.label}: {peak:,.0f} MiB of memory at most.")
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


def _millions(parameters: float | None, run: Run) -> Cell:
    if parameters is None:
        return words("–")
    return Cell(text=f"{parameters / 1e6:.1f} M", value=float(parameters), source=f"{run.label}: parameters")


def _parameters(run: Run) -> float | None:
    found = run.record.get("parameters")
    return None if found is None else float(found)


def _backbone(run: Run) -> str:
    return str(run.record["options"].get("network", {}).get("backbone", ""))


def _batch(record: Any) -> Any:
    return record["latency"].get("batch", 1)
