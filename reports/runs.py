"""The runs of a report: find them in folders, give them unique labels, choose those that are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from reports.errors import ReportError
from reports.report_data import ReportRun
from results.record import Record
from results.run_files import RunFiles, read_run
from results.store import RECORD

RUNS = Path("results") / "runs"
IDLE = ("strategy", "coco", "nyu", "report", "phases", "decoder")  # options that are never part of a label


def find_runs(paths: Sequence[Path]) -> list[RunFiles]:
    """Every run in the folders, at any depth; without paths the newest folder of ``results/runs``.

    Raises:
        ReportError: if there is none.
        StoreError: if a record or its samples cannot be read.
    """
    roots = list(paths) or newest(RUNS)
    folders: dict[Path, None] = {}
    for path in roots:
        if path.is_file() or (path / RECORD).exists():
            folders[path] = None
        elif path.is_dir():
            folders |= dict.fromkeys(file.parent for file in sorted(path.rglob(RECORD)))
        else:
            raise ReportError(f"{path}: no such run folder; `python -m bench run` makes one")
    if not folders:
        raise ReportError(f"{', '.join(map(str, roots))}: no run in there; `python -m bench run` makes one")
    return [read_run(path) for path in folders]


def newest(root: Path) -> list[Path]:
    """The folder below ``root`` with the newest record and all runs beside it."""
    records = sorted(root.rglob(RECORD), key=lambda file: file.stat().st_mtime)
    if not records:
        raise ReportError(f"{root}: no run in there; name run folders, or make one with `python -m bench run`")
    return [records[-1].parent.parent]


def label_runs(files: Sequence[RunFiles]) -> dict[str, RunFiles]:
    """Label to run: the decoder's name, followed by what differs if it has several runs."""
    by_decoder: dict[str, list[RunFiles]] = {}
    for run in files:
        by_decoder.setdefault(run.record.decoder, []).append(run)
    by_label: dict[str, RunFiles] = {}
    for decoder, runs in by_decoder.items():
        names = [decoder] if len(runs) == 1 else _distinct(decoder, runs)
        by_label |= dict(zip(names, runs, strict=True))
    return by_label


def _distinct(decoder: str, runs: Sequence[RunFiles]) -> list[str]:
    """Labels that name the differences of one decoder's runs; equal ones are numbered."""
    records = [run.record for run in runs]
    differences = [_differences(record, records) for record in records]
    names = [f"{decoder}, {text}" if text else decoder for text in differences]
    counts = {name: names.count(name) for name in names}
    numbers: dict[str, int] = {}
    for place, name in enumerate(names):
        if counts[name] > 1:
            numbers[name] = numbers.get(name, 0) + 1
            names[place] = f"{name} #{numbers[name]}"
    return names


def _differences(record: Record, records: Sequence[Record]) -> str:
    """Strategy options of a run, and other options in which the runs of its decoder differ."""
    parts = [
        f"{name} {_short(value)}" for name, value in record.options.get("strategy", {}).get(record.decoder, {}).items()
    ]
    for name in ("seed", "preset"):
        if len({getattr(other, name) for other in records}) > 1:
            parts.append(f"{name} {getattr(record, name)}")
    all_options = [flat(other.options) for other in records]
    for name, value in flat(record.options).items():
        differs = len({json.dumps(options.get(name), sort_keys=True) for options in all_options}) > 1
        if differs and name.partition(".")[0] not in (*IDLE, "seed", "preset"):
            parts.append(f"{name} {_short(value)}")
    return ", ".join(parts)


def flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Options by their full names, such as ``sizes.bins``."""
    flattened: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            flattened |= flat(value, f"{prefix}{name}.")
        else:
            flattened[prefix + name] = value
    return flattened


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace('"', "")


def main_and_variants(runs: Mapping[str, RunFiles]) -> tuple[list[str], list[str]]:
    """Labels of the compared runs, one a decoder, and of the further runs of the same decoders.

    Of several runs of a decoder, those without strategy options are preferred, then those whose other options most
    decoders share, so that the compared runs differ only in the strategy; then the first.
    """
    by_decoder: dict[str, list[str]] = {}
    for label, run in runs.items():
        by_decoder.setdefault(run.record.decoder, []).append(label)
    decoders_with: dict[str, set[str]] = {}
    for run in runs.values():
        decoders_with.setdefault(_shared(run.record), set()).add(run.record.decoder)
    main = []
    for decoder, labels in by_decoder.items():
        plain = [n for n in labels if not runs[n].record.options.get("strategy", {}).get(decoder)]
        main.append(max(plain or labels, key=lambda name: len(decoders_with[_shared(runs[name].record)])))
    return main, [label for label in runs if label not in main]


def _shared(record: Record) -> str:
    """Preset, seed and the options that runs of different decoders can share, as JSON."""
    excluded = (*IDLE, "seed")
    options = {name: value for name, value in flat(record.options).items() if name.partition(".")[0] not in excluded}
    return json.dumps([record.preset, record.seed, options], sort_keys=True, default=str)


def selection_note(main: Sequence[str], variants: Sequence[str], runs: Mapping[str, RunFiles]) -> str:
    """Which runs are compared if decoders have several, in a sentence; empty without further runs."""
    if not variants:
        return ""
    several = [name for name in main if any(runs[v].record.decoder == runs[name].record.decoder for v in variants)]
    return f"{', '.join(several)} are compared; {len(variants)} further runs have a separate table and are not averaged"


def report_run(label: str, files: RunFiles) -> ReportRun:
    """The run as data of a report."""
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
    """(B,) annotated objects of every timed image, None if an image is unknown."""
    timed = [sample.image_id for sample in files.samples if "total" in sample.milliseconds]
    if not timed or any(number not in counted for number in timed):
        return None
    return np.array([counted[number] for number in timed], dtype=float)
