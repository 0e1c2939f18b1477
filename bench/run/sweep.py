"""A sweep: one file names options and lists of their values, every combination is a run; what is finished is skipped.

The file is YAML::

    out: results/runs/batches        # folder; default: results/runs/<name of the file>
    options: {preset: embedded, limit: 100}
    matrix:
      decoder: [autoregressive, parallel, "parallel,mad"]
      batch: [1, 8]
    exclude:
      - {decoder: autoregressive, batch: 8}

``options`` and every combination of ``matrix`` are what ``run --config`` takes. Decoders that stand in one text take
turns within one run; those of a list are runs of their own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml

from bench.checkpoints.checkpoint import weights_hashes
from bench.config.loading import parse_run
from bench.config.run import RunOptions
from bench.errors import UserError
from bench.paths import SWEEPS
from bench.registry import unknown
from bench.system.environment import source_hash
from decoders.network.errors import NetworkError
from results.record import Record
from results.store import StoreError, write_atomically
from tasks.errors import TaskError

FINISHED = "finished.json"
OPTIONS = "options.yaml"
SECTIONS = ("out", "options", "matrix", "exclude")
CANNOT = (UserError, StoreError, TaskError, NetworkError, torch.cuda.OutOfMemoryError)  # say why a run cannot be
LONGEST = 100  # letters of a folder's name

Tell = Callable[[str], None]
Runner = Callable[[RunOptions], Mapping[Path, Record]]


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Args:
        name: of its folder.
        values: options as the file gives them.
    """

    name: str
    values: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """16 hexadecimal letters of the options."""
        text = json.dumps(self.values, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Sweep:
    """All runs of a file.

    Args:
        out: folder that holds one folder a run.
        points: runs in the order of the file, the last option of the matrix changing fastest.
    """

    out: Path
    points: Sequence[Point]


@dataclass(frozen=True)
class Result:
    """What became of a sweep: folders of the records, names of what was skipped, and errors by name."""

    records: Sequence[Path]
    skipped: Sequence[str]
    failed: Mapping[str, str]


def read_sweep(file: Path, *, out: Path | None = None, only: str | None = None) -> Sweep:
    """A sweep from a file, or a shipped one from its name.

    Args:
        file: YAML file, or a name such as ``gpu``.
        out: folder in place of the file's.
        only: keep runs whose name contains this.

    Raises:
        UserError: if the file is missing, no sweep, or has a combination that ``run`` would refuse.
    """
    path = file if file.exists() else SWEEPS / f"{file}.yaml"
    if not path.is_file():
        names = sorted(own.stem for own in SWEEPS.glob("*.yaml"))
        raise UserError(f"{file}: no such file; give a YAML file, or one of: {', '.join(names)}")
    content = _content(path)
    matrix = {name: _values(path, name, given) for name, given in content.get("matrix", {}).items()}
    fixed = content.get("options", {})
    if both := sorted(fixed.keys() & matrix.keys()):
        raise UserError(f"{path.name}: {both[0]} stands in options and in matrix; keep one")
    if not fixed and not matrix:
        raise UserError(f"{path.name}: no run in it; give options, a matrix or both")
    combined = [dict(zip(matrix, values, strict=True)) for values in product(*matrix.values())]
    left = [own for own in combined if not any(_matches(own, rule) for rule in content.get("exclude", []))]
    names = [_name(own) for own in left]
    points = [Point(name, {**fixed, **own}) for name, own in zip(_told_apart(names, left), left, strict=True)]
    kept = [point for point in points if only is None or only in point.name]
    if not kept:
        if not points:
            raise UserError(f"{path.name}: exclude leaves no run; remove a rule")
        raise UserError(f"{path.name}: no run is called {only!r}; there are {', '.join(p.name for p in points)}")
    folder = out or Path(content.get("out") or Path("results") / "runs" / path.stem)
    return Sweep(folder, kept)


def run_sweep(
    sweep: Sweep,
    runner: Runner,
    tell: Tell,
    *,
    fresh: bool = False,
    agree: Callable[[Any], Any] = lambda own: own,
    alone: bool = True,
) -> Result:
    """Run every point that is not finished; one that cannot be run is told and does not stop the others.

    Args:
        sweep: from ``read_sweep``.
        runner: ``bench.run.runner.run``.
        tell: takes one line for each point.
        fresh: run finished points again, and discard unfinished runs.
        agree: makes one process's answer that of all, where several share the runs.
        alone: whether there is one process only. Of several one may fail while the others wait for it, so that they
            cannot go on together: what cannot be run then ends the sweep, and the same command continues it.
    """
    records: list[Path] = []
    skipped, failed = [], {}
    for number, point in enumerate(sweep.points, 1):
        head = f"[{number}/{len(sweep.points)}] {point.name}"
        folder = sweep.out / point.name
        done = agree(None if fresh else finished(folder, point))
        if done is not None:
            tell(f"{head}: finished before{_otherwise(folder, point)}, skipped")
            skipped.append(point.name)
            records += done
            continue
        tell(head)
        try:
            found = runner(options_of(point, folder, fresh=fresh))
        except CANNOT as error:
            if not alone:
                raise
            failed[point.name] = " ".join(str(error).split())
            tell(f"{head}: error: {failed[point.name]}")
            continue
        made = list(found)
        records += made
        if made:
            names = [path.relative_to(folder).as_posix() for path in made]
            weights = {name: own for one in found.values() for name, own in one.weights.items()}
            told: dict[str, Any] = {"options": point.hash, "resolved": resolved(point), "records": names}
            told |= {"source": source_hash(), "weights": weights}
            write_atomically(folder / FINISHED, (json.dumps(told, indent=2) + "\n").encode())
    return Result(records, skipped, failed)


def finished(folder: Path, point: Point) -> list[Path] | None:
    """Folders of a point's records, if it was run to its end with these options; else None.

    A preset that changed since gives other options.
    """
    try:
        told = json.loads((folder / FINISHED).read_text())
        paths = [folder / name for name in told["records"]]
        same = told["options"] == point.hash and told.get("resolved") in (None, resolved(point))
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None
    return paths if same and all((path / "record.json").exists() for path in paths) else None


def resolved(point: Point) -> str:
    """16 hexadecimal letters of all options of a point, its preset's included.

    Raises:
        UserError: if ``run`` would refuse them.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / OPTIONS
        file.write_text(yaml.safe_dump(dict(point.values), sort_keys=False))
        options = asdict(parse_run([f"--config={file}"]))
    text = json.dumps(options, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _otherwise(folder: Path, point: Point) -> str:
    """What is told of a finished point if code or weights were others, from its ``finished.json``."""
    try:
        told = json.loads((folder / FINISHED).read_text())
        with TemporaryDirectory() as place:
            options = options_of(point, Path(place))
        own = {name: weights_hashes(name, options).get(name) for name in told["weights"]}
        code, weights = told["source"] != source_hash(), told["weights"] != own
    except (OSError, ValueError, KeyError):  # another process's folder, an older file, weights that are gone
        return ""
    parts = " and ".join(word for word, other in (("code", code), ("weights", weights)) if other)
    return f" by other {parts} (--fresh runs it again)" if parts else ""


def options_of(point: Point, folder: Path, *, fresh: bool = False) -> RunOptions:
    """A point's options, over its preset's; they are written into its folder too.

    Raises:
        UserError: if ``run`` would refuse them.
    """
    text = yaml.safe_dump({**point.values, "out": str(folder)}, sort_keys=False)
    write_atomically(folder / OPTIONS, text.encode())
    return parse_run([f"--config={folder / OPTIONS}", *(["--fresh=true"] if fresh else [])])


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name}: not a YAML file ({' '.join(str(error).split())})") from None
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


def _values(path: Path, name: str, given: Any) -> list[Any]:
    if not isinstance(given, list) or not given:
        raise UserError(f"{path.name}: matrix.{name} must be a list of values, got {given!r}; write `{name}: [...]`")
    return given


def _matches(values: Mapping[str, Any], rule: Any) -> bool:
    return isinstance(rule, dict) and all(name in values and values[name] == wanted for name, wanted in rule.items())


def _name(values: Mapping[str, Any]) -> str:
    """A folder's name that tells the values."""
    parts = [f"{n}-{v if isinstance(v, str) else json.dumps(v, default=str)}" for n, v in values.items()]
    name = "+".join(re.sub(r"[^A-Za-z0-9.,_]+", "-", part).strip("-") for part in parts)
    return name[:LONGEST] or "run"


def _told_apart(names: Sequence[str], values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names, with a hash of their values behind those that several have."""
    return [
        f"{name}-{Point(name, own).hash[:8]}" if names.count(name) > 1 else name
        for name, own in zip(names, values, strict=True)
    ]
