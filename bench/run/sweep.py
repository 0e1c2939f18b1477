"""A sweep: a YAML file names options and lists of their values; every combination is a run; finished ones are skipped.

::

    out: results/runs/batches        # folder; default: results/runs/<name of the file>
    options: {preset: embedded, limit: 100}
    matrix:
      decoder: [autoregressive, parallel, "parallel,mad"]
      batch: [1, 8]
    exclude:
      - {decoder: autoregressive, batch: 8}

``options`` and every combination of ``matrix`` are what ``run --config`` takes. Decoders in one text are interleaved
within one run; those of a list are separate runs.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from bench import paths
from bench.checkpoints.checkpoint import weights_hashes
from bench.config.loading import load_run
from bench.config.run import RunOptions
from bench.config.yaml_files import read_yaml
from bench.errors import UserError, unknown
from bench.system.environment import source_hash
from decoders.network.errors import NetworkError
from results.record import Record
from results.store import StoreError, write_atomically
from tasks.errors import TaskError

FINISHED = "finished.json"
OPTIONS = "options.yaml"
SECTIONS = ("out", "options", "matrix", "exclude")
REFUSALS = (UserError, StoreError, TaskError, NetworkError)  # say why a run cannot be, as does a full GPU
MOST_RUNS = 10_000
LONGEST_NAME = 100  # characters of a folder's name

Log = Callable[[str], None]
Runner = Callable[[RunOptions], Mapping[Path, Record]]


@dataclass(frozen=True)
class SweepPoint:
    """One run of a sweep.

    Args:
        name: of its folder.
        values: options as the file gives them.
    """

    name: str
    values: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """16 hexadecimal digits of the values."""
        return _hash(self.values)


@dataclass(frozen=True)
class Sweep:
    """All runs of a file.

    Args:
        out: folder that holds one folder a run.
        points: runs in the order of the file, the last option of the matrix changing fastest.
    """

    out: Path
    points: Sequence[SweepPoint]


@dataclass(frozen=True)
class SweepResult:
    """Folders of the records, names of the runs that were skipped, and errors by name."""

    records: Sequence[Path]
    skipped: Sequence[str]
    failed: Mapping[str, str]


def read_sweep(file: Path, *, out: Path | None = None, only: str | None = None) -> Sweep:
    """Read a sweep from a file, or a shipped one by its name.

    Args:
        file: YAML file, or a name such as ``gpu``.
        out: folder in place of the file's.
        only: keep runs whose name contains this.

    Raises:
        UserError: if the file is missing or no sweep, or names no run.
    """
    path = file if file.exists() else paths.SWEEPS / f"{file}.yaml"
    if not path.is_file():
        names = sorted(shipped.stem for shipped in paths.SWEEPS.glob("*.yaml"))
        raise UserError(f"{file}: no such file; give a YAML file, or one of: {', '.join(names)}")
    content = _content(path)
    matrix = {name: _values(path, name, values) for name, values in content.get("matrix", {}).items()}
    fixed, rules = content.get("options", {}), content.get("exclude", [])
    if both := sorted(fixed.keys() & matrix.keys()):
        raise UserError(f"{path.name}: {both[0]} stands in options and in matrix; keep one")
    if not fixed and not matrix:
        raise UserError(f"{path.name}: no run in it; give options, a matrix or both")
    if (number := math.prod(map(len, matrix.values()))) > MOST_RUNS:
        raise UserError(f"{path.name}: its matrix has {number:,} combinations; give at most {MOST_RUNS:,}")
    combinations = [dict(zip(matrix, values, strict=True)) for values in product(*matrix.values())]
    combinations = [values for values in combinations if not any(rule.items() <= values.items() for rule in rules)]
    names = _unique_names(combinations)
    points = [SweepPoint(name, {**fixed, **values}) for name, values in zip(names, combinations, strict=True)]
    if not points:
        raise UserError(f"{path.name}: exclude leaves no run; remove a rule")
    chosen = [point for point in points if only is None or only in point.name]
    if not chosen:
        raise UserError(f"{path.name}: no run is called {only!r}; there are {', '.join(p.name for p in points)}")
    return Sweep(out or Path(content.get("out") or Path("results") / "runs" / path.stem), chosen)


def run_sweep(
    sweep: Sweep,
    runner: Runner,
    log: Log,
    *,
    fresh: bool = False,
    agree: Callable[[Any], Any] = lambda answer: answer,
    alone: bool = True,
) -> SweepResult:
    """Run every point that is not finished; log those that cannot be run and go on.

    Args:
        sweep: from ``read_sweep``.
        runner: ``bench.run.runner.run``.
        log: called with one line for each point.
        fresh: run finished points again, and discard unfinished runs.
        agree: makes the main process's answer that of all, where several share the runs.
        alone: whether there is one process only. One of several may fail while the others wait for it, so a failure
            ends their sweep; the same command continues it.
    """
    import torch

    records: list[Path] = []
    skipped, failed = [], {}
    for number, point in enumerate(sweep.points, 1):
        head, folder = f"[{number}/{len(sweep.points)}] {point.name}", sweep.out / point.name
        done = agree(None if fresh else finished_records(folder, point))
        if done is not None:
            log(f"{head}: finished before{_other_version(folder, point)}, skipped")
            skipped.append(point.name)
            records += done
            continue
        log(head)
        try:
            new = runner(options_of(point, folder, fresh=fresh))
        except (*REFUSALS, torch.cuda.OutOfMemoryError) as error:
            if not alone:
                raise
            failed[point.name] = " ".join(str(error).split())
            log(f"{head}: error: {failed[point.name]}")
            continue
        records += new
        if new:
            _mark_finished(folder, point, new)
    return SweepResult(records, skipped, failed)


def _mark_finished(folder: Path, point: SweepPoint, records: Mapping[Path, Record]) -> None:
    content = {
        "options": point.hash,
        "resolved": resolved(point),
        "records": [path.relative_to(folder).as_posix() for path in records],
        "source": source_hash(),
        "weights": {name: weights for record in records.values() for name, weights in record.weights.items()},
    }
    write_atomically(folder / FINISHED, (json.dumps(content, indent=2) + "\n").encode())


def finished_records(folder: Path, point: SweepPoint) -> list[Path] | None:
    """Return the folders of a point's records, or None if it did not run to its end with these options.

    A preset that has changed since gives other options.
    """
    try:
        mark = json.loads((folder / FINISHED).read_text())
        records = [folder / name for name in mark["records"]]
        same = mark["options"] == point.hash and mark.get("resolved") in (None, resolved(point))
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None
    return records if same and all((path / "record.json").exists() for path in records) else None


def resolved(point: SweepPoint) -> str:
    """Return 16 hexadecimal digits of all options of a point, its preset's included.

    Raises:
        UserError: if ``run`` would refuse them.
    """
    return _hash(asdict(load_run(point.values)))


def options_of(point: SweepPoint, folder: Path, *, fresh: bool = False) -> RunOptions:
    """Return a point's options, over its preset's, and write them into its folder.

    Raises:
        UserError: if ``run`` would refuse them.
    """
    values = {**point.values, "out": str(folder)}
    write_atomically(folder / OPTIONS, yaml.safe_dump(values, sort_keys=False).encode())
    return load_run({**values, "fresh": True} if fresh else values)


def _other_version(folder: Path, point: SweepPoint) -> str:
    """Say whether a finished point ran with other code or weights, from its ``finished.json``."""
    try:
        mark = json.loads((folder / FINISHED).read_text())
        options = load_run({**point.values, "out": str(folder)})
        now = {name: weights_hashes(name, options).get(name) for name in mark["weights"]}
        code, weights = mark["source"] != source_hash(), mark["weights"] != now
    except (OSError, ValueError, KeyError):  # another process's folder, an older file, weights that are gone
        return ""
    changed = " and ".join(word for word, other in (("code", code), ("weights", weights)) if other)
    return f" by other {changed} (--fresh runs it again)" if changed else ""


def _hash(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _content(path: Path) -> Mapping[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path.name}: expected {', '.join(SECTIONS)}, got a {type(content).__name__}")
    for name in content:
        if name not in SECTIONS:
            raise UserError(f"{path.name}: {unknown('section', str(name), list(SECTIONS))}")
    for name in ("options", "matrix"):
        if not isinstance(content.get(name, {}), dict):
            raise UserError(f"{path.name}: {name} must name options; write `{name}: {{batch: ...}}`")
    if not isinstance(content.get("exclude", []), list):
        raise UserError(f"{path.name}: exclude must be a list of combinations; write `- {{batch: 8}}`")
    if not isinstance(content.get("out", ""), str):
        raise UserError(f"{path.name}: out must be a folder's name, got {content['out']!r}")
    for rule in content.get("exclude", []):
        known = {**content.get("options", {}), **content.get("matrix", {})}
        if not isinstance(rule, dict) or not rule:
            raise UserError(f"{path.name}: exclude has {rule!r}; write options with values, `- {{batch: 8}}`")
        for name in rule.keys() - known.keys():
            raise UserError(f"{path.name}: exclude: {unknown('option of this sweep', str(name), sorted(known))}")
    return content


def _values(path: Path, name: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise UserError(f"{path.name}: matrix.{name} must be a list of values, got {values!r}; write `{name}: [...]`")
    return values


def _unique_names(combinations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return folder names that show the values, with a hash behind those that several have."""
    names = [_name(values) for values in combinations]
    return [
        f"{name}-{_hash(values)[:8]}" if names.count(name) > 1 else name
        for name, values in zip(names, combinations, strict=True)
    ]


def _name(values: Mapping[str, Any]) -> str:
    parts = [f"{n}-{v if isinstance(v, str) else json.dumps(v, default=str)}" for n, v in values.items()]
    name = "+".join(re.sub(r"[^A-Za-z0-9.,_]+", "-", part).strip("-") for part in parts)
    return name[:LONGEST_NAME] or "run"
