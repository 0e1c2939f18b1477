"""Where the numbers come from: data, source, machine, seeds and versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.report_data import ReportData, ReportRun
from reports.tables.table import Table, words


def provenance_table(report: ReportData) -> Table:
    """One row a run."""
    runs = [*report.runs, *report.variants]
    origins = [_origin(run, report) for run in runs]
    digest = runs[0].record["data"].get("hash")
    return Table(
        name="provenance",
        title=f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}{f' on data {digest}' if digest else ''}",
        headings=list(origins[0]),
        rows=[[words("–" if value is None else str(value)) for value in origin.values()] for origin in origins],
        notes=[
            "*: the source tree had uncommitted changes.",
            "Weights: hash and training seed of the shipped checkpoint at the time of this report.",
        ],
        words=tuple(range(1, len(origins[0]))),
    )


def _origin(run: ReportRun, report: ReportData) -> dict[str, Any]:
    """Heading to value, None if the record lacks it."""
    record = run.record
    environment: Mapping[str, Any] = record["environment"]
    commit = str(environment.get("git_commit") or "unknown")[:10]
    return {
        "run": run.label,
        "commit": f"{commit}*" if environment.get("git_dirty") else commit,
        "seed": record["seed"],
        "machine": run.hardware,
        "threads": environment.get("threads"),
        "load": environment.get("load_average"),
        "batch": record["latency"].get("batch"),
        "precision": record["options"].get("precision"),
        "device": record["options"].get("device"),
        "torch": environment.get("versions", {}).get("torch"),
        "Python": environment.get("python"),
        "system": environment.get("system"),
        "waiting threads": environment.get("omp_wait_policy"),
        "weights": _weights(run, report),
        "images": record["images"],
        "started": str(record.get("started", ""))[:16].replace("T", " "),
        "checksum": str(record.get("checksum", ""))[:12],
    }


def _weights(run: ReportRun, report: ReportData) -> str | None:
    """Hash and training seed of the run's shipped weights."""
    if run.record.get("random_weights"):
        return "random"
    if run.record["options"].get("checkpoints"):
        return "not the shipped ones"
    card = next((curve.card for curve in report.curves if curve.label in _names(run)), {})
    parts = [str(card["hash"])[:12]] if card.get("hash") else []
    seed = card.get("seed", (card.get("options") or {}).get("seed"))
    parts += [f"seed {seed}"] if seed is not None else []
    return ", ".join(parts) or None


def _names(run: ReportRun) -> tuple[str, ...]:
    """Names that a run's shipped weights may have, as one-pass strategies share those of their family."""
    return (run.decoder, run.decoder.partition("-one-pass")[0])


def facts(report: ReportData) -> list[tuple[str, str]]:
    """Pairs of name and text: data, counts, tokenizer, state of the source tree, versions, statistics."""
    data = report.runs[0].record["data"]
    counts = ", ".join(f"{value} {name}" for name, value in data.get("counts", {}).items())
    content = [f"content hash {data['hash']}"] if data.get("hash") else []
    pairs = [("data", "; ".join([_root(data, "coco"), _root(data, "nyu"), *content]))]
    pairs += [("counts", counts)] if counts else []
    tokenizer = data.get("tokenizer")
    if tokenizer:
        pairs.append(
            ("caption pieces", f"{tokenizer.get('pieces')}, {tokenizer.get('source')} ({tokenizer.get('hash')})")
        )
    commit = report.about.get("git_commit")
    if commit:
        dirty = " with uncommitted changes" if report.about.get("git_dirty") else ""
        pairs.append(("report", f"written at commit {str(commit)[:10]}{dirty}"))
    versions = report.runs[0].record["environment"].get("versions", {})
    if versions:
        pairs.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    if report.statistics.method:
        pairs.append(("statistics", report.statistics.method))
    return pairs


def _root(data: Mapping[str, Any], name: str) -> str:
    part = data.get(name)
    return f"no {name}" if not part else f"{name}: {part.get('root')}, {part.get('split')}"
