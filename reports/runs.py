"""The runs of a report: found in folders, named apart, and sorted into those that are compared and points of a knob."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.errors import UserError
from reports.report_data import ReportRun
from results.record import Record
from results.run_files import RunFiles, read_run
from results.store import RECORD

RUNS = Path("results") / "runs"
IDLE = ("strategy", "coco", "nyu", "report", "phases", "decoder")  # options that name no difference worth a label


def find_runs(paths: Sequence[Path]) -> list[RunFiles]:
    """Every run in the given folders, at any depth; without paths the newest folder of ``results/runs``.

    Raises:
        UserError: if there is none.
        StoreError: if a record or its samples cannot be read.
    """
    given = list(paths) or newest(RUNS)
    found: dict[Path, None] = {}
    for path in given:
        if path.is_file() or (path / RECORD).exists():
            found[path] = None
        elif path.is_dir():
            found |= dict.fromkeys(file.parent for file in sorted(path.rglob(RECORD)))
        else:
            raise UserError(f"{path}: no such run folder; `python -m bench run` makes one")
    if not found:
        raise UserError(f"{', '.join(map(str, given))}: no run in there; `python -m bench run` makes one")
    return [read_run(path) for path in found]


def newest(root: Path) -> list[Path]:
    """The folder below ``root`` whose run finished last, with all runs that lie beside it."""
    records = sorted(root.rglob(RECORD), key=lambda file: file.stat().st_mtime)
    if not records:
        raise UserError(f"{root}: no run in there; name run folders, or make one with `python -m bench run`")
    return [records[-1].parent.parent]


def labeled(files: Sequence[RunFiles]) -> dict[str, RunFiles]:
    """Label to run: the decoder's name, with what differs where a decoder has several runs."""
    by_decoder: dict[str, list[RunFiles]] = {}
    for one in files:
        by_decoder.setdefault(one.record.decoder, []).append(one)
    found: dict[str, RunFiles] = {}
    for decoder, runs in by_decoder.items():
        names = [decoder] if len(runs) == 1 else _apart(decoder, runs)
        found |= dict(zip(names, runs, strict=True))
    return found


def _apart(decoder: str, runs: Sequence[RunFiles]) -> list[str]:
    """Names that say how the runs of one decoder differ; the one without options of its own keeps the plain name."""
    told = [_told(one.record, [other.record for other in runs]) for one in runs]
    names = [f"{decoder}, {text}" if text else decoder for text in told]
    counts = {name: names.count(name) for name in names}
    numbers: dict[str, int] = {}
    for place, name in enumerate(names):
        if counts[name] > 1:
            numbers[name] = numbers.get(name, 0) + 1
            names[place] = f"{name} #{numbers[name]}"
    return names


def _told(record: Record, all_: Sequence[Record]) -> str:
    parts = [
        f"{name} {_short(value)}" for name, value in record.options.get("strategy", {}).get(record.decoder, {}).items()
    ]
    for name in ("seed", "preset"):
        if len({getattr(one, name) for one in all_}) > 1:
            parts.append(f"{name} {getattr(record, name)}")
    plain = [flat(one.options) for one in all_]
    own = flat(record.options)
    for name in own:
        differs = len({json.dumps(options.get(name), sort_keys=True) for options in plain}) > 1
        if differs and name.partition(".")[0] not in (*IDLE, "seed", "preset"):
            parts.append(f"{name} {_short(own[name])}")
    return ", ".join(parts)


def flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Options by their full names, ``sizes.bins`` and the like."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace('"', "")


def main_and_variants(runs: Mapping[str, RunFiles]) -> tuple[list[str], list[str]]:
    """Labels of the runs that are compared, one a decoder, and of the further runs of the same decoders.

    Of several runs of one decoder those without strategy options come first, then those whose other options most
    decoders have a run of, so that what is compared differs in the strategy alone; then the first.
    """
    by_decoder: dict[str, list[str]] = {}
    for label, one in runs.items():
        by_decoder.setdefault(one.record.decoder, []).append(label)
    having: dict[str, set[str]] = {}
    for one in runs.values():
        having.setdefault(_shared(one.record), set()).add(one.record.decoder)
    main = []
    for decoder, labels in by_decoder.items():
        plain = [n for n in labels if not runs[n].record.options.get("strategy", {}).get(decoder)]
        main.append(max(plain or labels, key=lambda name: len(having[_shared(runs[name].record)])))
    return main, [label for label in runs if label not in main]


def _shared(record: Record) -> str:
    """All options that runs of different decoders can have in common, and the seed."""
    own = {name: value for name, value in flat(record.options).items() if name.partition(".")[0] not in (*IDLE, "seed")}
    return json.dumps([record.preset, record.seed, own], sort_keys=True, default=str)


def left_out(main: Sequence[str], variants: Sequence[str], runs: Mapping[str, RunFiles]) -> str:
    """What is compared where decoders have several runs, and what is not; empty without further runs."""
    if not variants:
        return ""
    several = [name for name in main if any(runs[v].record.decoder == runs[name].record.decoder for v in variants)]
    return (
        f"compared are {', '.join(several)}; {len(variants)} further runs stand in a table of their own, not averaged"
    )


def shown(label: str, files: RunFiles) -> ReportRun:
    """A run as the report takes it."""
    names = list(dict.fromkeys(name for sample in files.samples for name in sample.milliseconds))
    tasks = list(dict.fromkeys(name for sample in files.samples for name in sample.work))
    return ReportRun(
        label=label,
        record=msgspec.to_builtins(files.record),
        folder=files.path.name,
        phases={
            name: np.array([s.milliseconds[name] for s in files.samples if name in s.milliseconds]) for name in names
        },
        work={task: np.array([s.work[task] for s in files.samples if task in s.work], dtype=float) for task in tasks},
    )


def object_counts(files: RunFiles, counted: Mapping[int, int]) -> np.ndarray[Any, Any] | None:
    """(B,) objects of every timed image; None where some image's number is not known."""
    timed = [sample.image_id for sample in files.samples if "total" in sample.milliseconds]
    if not timed or any(number not in counted for number in timed):
        return None
    return np.array([counted[number] for number in timed], dtype=float)
