"""Where the numbers come from: data, source, machine, seeds, versions, and the commands that make them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.material import Material, Run
from reports.table import Cell, Table, words


def provenance_table(material: Material) -> Table:
    """One row a run."""
    headings = [
        "run",
        "commit",
        "seed",
        "machine",
        "threads",
        "load",
        "batch",
        "torch",
        "images",
        "started",
        "checksum",
    ]
    runs = [*material.runs, *material.variants]
    return Table(
        name="provenance",
        title=f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} on data {runs[0].record['data'].get('hash')}",
        headings=headings,
        rows=[_row(run) for run in runs],
        notes=["A star behind a commit: the source tree had uncommitted changes."],
        words=tuple(range(1, len(headings))),
    )


def _row(run: Run) -> list[Cell]:
    record = run.record
    environment: Mapping[str, Any] = record["environment"]
    commit = str(environment.get("git_commit") or "unknown")[:10] + ("*" if environment.get("git_dirty") else "")
    versions = environment.get("versions", {})
    cells = [
        commit,
        record["seed"],
        run.machine,
        environment.get("threads"),
        environment.get("load_average"),
        record["latency"].get("batch"),
        versions.get("torch"),
        record["images"],
        str(record.get("started", ""))[:16].replace("T", " "),
        str(record.get("checksum", ""))[:12],
    ]
    return [words(run.label), *(words("–" if cell is None else str(cell)) for cell in cells)]


def facts(material: Material) -> list[tuple[str, str]]:
    """Data, counts, tokeniser and the report's own state, as name and text."""
    data = material.runs[0].record["data"]
    counts = ", ".join(f"{value} {name}" for name, value in data.get("counts", {}).items())
    found = [("data", f"{_root(data, 'coco')}; {_root(data, 'nyu')}; content hash {data.get('hash')}")]
    found += [("counts", counts)] if counts else []
    tokenizer = data.get("tokenizer")
    if tokenizer:
        found.append(
            ("caption pieces", f"{tokenizer.get('pieces')}, {tokenizer.get('source')} ({tokenizer.get('hash')})")
        )
    commit = material.about.get("git_commit")
    if commit:
        dirty = " with uncommitted changes" if material.about.get("git_dirty") else ""
        found.append(("report", f"written at commit {str(commit)[:10]}{dirty}"))
    if material.statistics.method:
        found.append(("statistics", material.statistics.method))
    return found


def _root(data: Mapping[str, Any], name: str) -> str:
    part = data.get(name)
    return f"no {name}" if not part else f"{name}: {part.get('root')}, {part.get('split')}"
