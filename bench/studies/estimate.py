"""How long the jobs of a study take on this machine, from the seconds a step that were measured here."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.checkpoints.checkpoint import ENCODER
from bench.config.codecs import CodecTrainOptions
from bench.studies.definition import merged
from bench.studies.plan import MACHINE, Job
from bench.system.environment import describe_environment, fingerprint
from bench.train.trainer import CURVE
from results.store import RECORD, read_record

Do = Callable[[Job], None]
STEPS = 4  # of a training that is timed
IMAGES = 2  # of a run that is timed


def seconds(jobs: Sequence[Job], work: Path, do: Do) -> dict[Path, float | None]:
    """Return folder to remaining seconds of each job; None where that is not known: a run whose weights are
    not trained yet, or a job that will fail.

    Args:
        jobs: to do.
        work: folder of earlier trainings and runs; what is not found there is timed in a temporary folder.
        do: does a job, as ``worker.do``.
    """
    paces = _measured(work)
    remaining: dict[Path, float | None] = {}
    for job in jobs:
        if job.pace not in paces and (job.kind != "run" or not job.needs):
            with tempfile.TemporaryDirectory() as folder:
                if (pace := _timed(job, Path(folder), do)) is not None:
                    paces[job.pace] = pace
        pace = paces.get(job.pace)
        try:
            remaining[job.folder] = None if pace is None else pace * _units(job)
        except Exception:  # the job itself will say what is wrong with it
            remaining[job.folder] = None
    return remaining


def text(remaining: Iterable[float | None], processes: int) -> str:
    """Return a sentence on the time that jobs take."""
    numbers = list(remaining)
    known = [number for number in numbers if number is not None]
    unknown = len(numbers) - len(known)
    minutes = sum(known) / max(1, min(processes, len(numbers))) / 60
    more = f", and {unknown} that cannot be timed yet" if unknown else ""
    return f"about {minutes:.0f} minutes with {processes} process{'' if processes == 1 else 'es'}{more}"


def steps_of(job: Job) -> int:
    """Return the optimizer steps of a training."""
    options = job.options()
    if isinstance(options, CodecTrainOptions):
        return int(options.chosen.schedule.steps)
    return int((options.train.encoder if options.decoder == ENCODER else options.train.decoder).steps)


def _measured(work: Path) -> dict[str, float]:
    """Pace to seconds a step, or an image of a run, of what was done on this machine."""
    machine, paces = fingerprint(describe_environment()), {}
    for path in work.glob(f"*/*/{MACHINE}"):
        told = json.loads(path.read_text())
        pace = _run_pace(path.parent) or _curve_pace(path.parent / CURVE)
        if told["machine"] == machine and pace:
            paces[told["pace"]] = pace
    return paces


def _curve_pace(path: Path) -> float | None:
    points = _points(path)
    if len(points) > 1:  # the first step of a process is slow
        return float((points[-1]["seconds"] - points[0]["seconds"]) / (points[-1]["step"] - points[0]["step"]))
    return None


def _points(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [point for line in lines if line.endswith("}") and "seconds" in (point := json.loads(line))]


def _run_pace(folder: Path) -> float:
    """Seconds an image of all decoders of a finished run together; 0 without one."""
    records = [read_record(path.parent) for path in folder.glob(f"*/{RECORD}")]
    return sum(record.latency.total.mean_ms for record in records) / 1000


def _units(job: Job) -> int:
    """Steps or images that are left to do."""
    if job.kind != "run":
        points = _points(job.folder / CURVE)
        return max(0, steps_of(job) - (points[-1]["step"] if points else 0))
    from bench.builders.open_suite import open_dataset

    return len(open_dataset(job.options()).samples)


def _timed(job: Job, folder: Path, do: Do) -> float | None:
    """Seconds a step or image of a short version of a job."""
    short = _short(job, folder, STEPS, do)
    try:
        do(short)
    except Exception:  # the job itself will say what is wrong with it
        return None
    return _run_pace(short.folder) if job.kind == "run" else _curve_pace(short.folder / CURVE)


def _short(job: Job, folder: Path, steps: int, do: Do) -> Job:
    """The job with a few steps, from random weights; trainings that it needs get a single step."""
    schedule = {"steps": steps}
    quick = {"log_every": 1, "evaluate_images": 0, "save_every": 10**6}
    options: dict[str, Any] = {"limit": IMAGES, "accuracy_only": False}
    if job.kind == "codec":
        options = {"codecs": {job.given["codec"]: {**quick, "schedule": schedule}}}
    elif job.kind == "train":
        options = {"train": {**quick, "encoder": schedule, "decoder": schedule}}
    needs = {name: _short(need, folder, 1, do) for name, need in job.needs.items()}
    for need in needs.values():
        do(need)
    own = folder / job.pace
    return replace(job, folder=own, given=merged(job.given, options), needs=needs, start=None)
