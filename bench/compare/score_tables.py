"""Per-image score tables of a finished run, computed once from its samples and then cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bench.config.parts import SuiteOptions
from bench.errors import UserError
from bench.paths import cache_folder
from results.record import Record, Sample
from results.run_files import RunFiles
from results.store import write_atomically
from tasks.formats.vocabulary import Sizes
from tasks.metrics.tables import ScoreTable
from tasks.metrics.unpacking import unpack

if TYPE_CHECKING:
    from bench.builders.suite import Suite

VERSION = 1  # of what a cached table means
AGREES = 1e-9  # a table and the record must give the same value up to rounding


@dataclass(frozen=True)
class DataPaths:
    """Paths of a run's data, of which the record keeps only names.

    Args:
        coco: COCO folder, if the run had one.
        nyu: NYUv2 folder or file, if the run had one.
        nyu_list: NYUv2 list file, if it has an unusual name.
        tokenizer: SentencePiece model, if the run was given one.
    """

    coco: Path | None = None
    nyu: Path | None = None
    nyu_list: Path | None = None
    tokenizer: Path | None = None


def run_tables(run: RunFiles, metrics: Callable[[], Mapping[str, Any]]) -> dict[str, ScoreTable]:
    """Return task to table of a run, without tasks whose metric keeps no table; empty without samples.

    Args:
        run: the run.
        metrics: returns the metrics on the run's data; called only if the tables are not cached.

    Raises:
        UserError: if the tables do not reproduce the record's values.
    """
    if not run.samples:
        return {}
    path = cache_folder() / "tables" / f"{_key(run.record)}.json"
    with suppress(OSError, ValueError, KeyError):  # absent, or cut by a full disk: made again
        return {task: unpack(packed) for task, packed in json.loads(path.read_bytes()).items()}
    tables = make_tables(run.record, run.samples, metrics())
    write_atomically(path, json.dumps({task: table.pack() for task, table in tables.items()}).encode())
    return tables


def make_tables(record: Record, samples: Sequence[Sample], metrics: Mapping[str, Any]) -> dict[str, ScoreTable]:
    """Return the tables of the record's tasks, checked against the record's values."""
    tables: dict[str, ScoreTable] = {}
    for task in record.metrics:
        predictions = {sample.image_id: sample.predictions[task] for sample in samples if task in sample.predictions}
        if task in metrics and hasattr(metrics[task], "tables") and predictions:
            tables[task] = metrics[task].tables(predictions)
            _check(task, record, tables[task])
    return tables


def _check(task: str, record: Record, table: ScoreTable) -> None:
    values, absent = record.metrics[task], record.notes.get(task, {})
    for name, column in table.score(np.ones((1, len(table.images)), dtype=int)).items():
        recorded, computed = values.get(name), float(column[0])
        agrees = name in absent or np.isnan(computed) if recorded is None else abs(computed - recorded) <= AGREES
        if not agrees:
            raise UserError(
                f"{record.decoder}, {task} {name}: the samples give {computed:.6f}, the record says {recorded}; "
                "it was made by another version: run it again"
            )


def metrics_of(record: Record, paths: DataPaths) -> dict[str, Any]:
    """Return the metrics of a record's tasks, on the data of its run.

    Raises:
        UserError: if the data is not given or is other data.
    """
    return dict(open_suite(record, paths).metrics)


def open_suite(record: Record, paths: DataPaths) -> Suite:
    """Return data set, tasks and metrics of a record's run.

    Raises:
        UserError: if the data is not given or is other data.
    """
    from bench.builders.open_suite import build_suite
    from bench.console import progress

    with progress("opening the data") as report:
        suite = build_suite(_options(record, paths), progress=report)
    if suite.data["hash"] != record.data["hash"]:
        raise UserError(
            f"the data here has the content hash {suite.data['hash']}, the run's had {record.data['hash']}; "
            "give the folders that it ran on with --coco and --nyu"
        )
    return suite


def _options(record: Record, paths: DataPaths) -> SuiteOptions:
    """Return options that open the record's data again. Raises UserError if a folder or option is missing."""
    for name in ("coco", "nyu"):
        if record.options.get(name) is not None and getattr(paths, name) is None:
            raise UserError(f"{record.decoder}: ran on the folder {record.options[name]!r}; give it with --{name} DIR")
    tokenizer = record.notes.get("captioning", {}).get("tokenizer", "").partition(" ")[0]
    embedded = record.options.get("coco") is None and record.options.get("nyu") is None
    for name in ("split", "tasks", "limit", "sizes"):
        if name not in record.options:
            raise UserError(f"{record.decoder}: its record.json tells no option {name!r}; run it again")
    plain = {name: record.options[name] for name in ("split", "tasks", "limit")}
    plain |= {name: record.options[name] for name in ("exif", "nyu_depths", "nyu_scale") if name in record.options}
    return SuiteOptions(
        preset=record.preset,
        sizes=msgspec.convert(record.options["sizes"], Sizes),
        caption_tokenizer=tokenizer or "auto",  # type: ignore[arg-type]  # one of its three words
        **plain,
        **({} if embedded else {name: getattr(paths, name) for name in ("coco", "nyu", "nyu_list", "tokenizer")}),
    )


def _key(record: Record) -> str:
    notes = record.notes.get("captioning", {})
    content = [VERSION, record.checksum, record.data["hash"], record.metrics, notes]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
