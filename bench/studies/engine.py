"""A study: train and run what is missing in several processes, compare its arms, write its page and data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec

from bench import paths
from bench.builders.open_suite import build_suite
from bench.compare.score_tables import run_tables
from bench.config.run import RunOptions
from bench.config.studies import StudyOptions
from bench.errors import UserError
from bench.stats.bootstrap import RESAMPLES
from bench.studies import estimate
from bench.studies.analysis import FEWEST_SEEDS, Scores, codec_scores, differences, point, run_scores
from bench.studies.codec_tables import codec_table
from bench.studies.contrasts import contrasts
from bench.studies.definition import SHIPPED, Definition, read_definition
from bench.studies.output import write_study
from bench.studies.plan import Job, Plan, plan
from bench.studies.study_results import Results, card_of
from bench.studies.tables import TABLES
from bench.studies.worker import SETTINGS, do, do_all
from bench.system.environment import DIRTY, git_state
from results.record import Record
from results.run_files import RunFiles, read_run
from results.store import RECORD, reserve, setting_differences
from results.study import FOLDER, Outcome

Log = Callable[[str], None]


@dataclass(frozen=True)
class StudyResult:
    """What came of a study: its page, None if arms are missing, and each arm that failed with its error."""

    page: Path | None
    failed: Mapping[str, str]


def show(options: StudyOptions) -> list[str]:
    """Return what a study would do, a line a job, and how long it would take."""
    _, _, jobs = _open(options)
    missing = [job for job in jobs.jobs if not job.is_done()]
    remaining = estimate.seconds(missing, options.work, do)
    lines = []
    for job in jobs.jobs:
        own = {name: value for name, value in job.given.items() if name not in ("preset", "decoder", "codec", "seed")}
        seconds = remaining.get(job.folder)
        time = "time not known yet" if seconds is None else f"about {seconds / 60:.1f} min"
        state = "done" if job.is_done() else time
        lines.append(f"{job.title}: {json.dumps(own)}: {state}")
    lines += [f"{name}: cannot be done: {error}" for name, error in jobs.failed.items()]
    return [*lines, estimate.text(remaining.values(), options.jobs)]


def run_study(options: StudyOptions, *, log: Log = print, resamples: int = RESAMPLES) -> StudyResult:
    """Do what is missing of a study, and write its page and data when all its arms are there.

    An arm that fails does not stop the others; the page is then of those, unless ``options.only`` asks for some arms.

    Args:
        options: of ``study``.
        log: called with the estimated time, and a message for each finished job.
        resamples: of the bootstrap.

    Raises:
        UserError: if the study, its options or the folder of its work cannot be used.
    """
    name, definition, jobs = _open(options)
    out = options.out or FOLDER
    reserve(out / f"{name}.md")
    missing = [job for job in jobs.jobs if not job.is_done()]
    if out.resolve().is_relative_to(paths.REPOSITORY) and git_state(paths.REPOSITORY).get("git_dirty"):
        log(DIRTY)
    if missing:
        log(f"{len(missing)} of {len(jobs.jobs)} trainings and runs are missing; measuring how long they take")
        log(estimate.text(estimate.seconds(missing, options.work, do).values(), options.jobs))
    errors = do_all(jobs.jobs, processes=options.jobs, log=log)
    failed = dict(jobs.failed)
    for job in jobs.jobs:
        if error := errors.get(job.folder):
            failed |= {arm: failed.get(arm, error) for arm in job.arms}
    whole = plan(name, definition, work=options.work, given=_given(options))
    done = [arm for arm, own in whole.results.items() if own and all(job.is_done() for job in own)]
    if not done or (options.only and len(done) < len(definition.arms)):
        return StudyResult(None, failed)
    results = _results(definition, whole, done, resamples)
    return StudyResult(_write(name, definition, results, out, failed=failed, resamples=resamples), failed)


def _open(options: StudyOptions) -> tuple[str, Definition, Plan]:
    """The plan of a study; refuses folders that were filled with other settings."""
    name, definition = read_definition(str(options.name))
    jobs = plan(name, definition, work=options.work, given=_given(options), only=options.only)
    for table in definition.tables:
        if table not in TABLES:
            raise UserError(f"study {name}: there is no table {table!r}; known: {', '.join(TABLES)}")
    for job in jobs.jobs:
        check_settings(job)
    return name, definition, jobs


def _given(options: StudyOptions) -> dict[str, Any]:
    given = {"coco": options.coco, "nyu": options.nyu}
    return {name: str(folder) for name, folder in given.items() if folder is not None}


def check_settings(job: Job) -> None:
    """Raise UserError if a job's folder was filled with other settings, or by a version that kept none."""
    path = job.folder / SETTINGS
    filled = job.weights.exists() or any(job.folder.glob(f"*/{RECORD}"))
    if not path.exists() and not filled:
        return
    before = json.loads(path.read_text()) if path.exists() else {}
    if before != job.settings:
        changed = ", ".join(setting_differences(before, job.settings))
        raise UserError(f"{job.folder}: was filled with other settings ({changed}); remove it, or give another --work")


@dataclass(frozen=True)
class _Analyzed(Results):
    scores: Mapping[str, Sequence[Scores]]


def _results(definition: Definition, jobs: Plan, arms: Sequence[str], resamples: int) -> _Analyzed:
    """Scores of all arms from the per-image tables of their runs, or from the cards of their codecs."""
    kept = {name: jobs.results[name] for name in arms}
    runs: dict[str, list[RunFiles]] = {}
    scores: dict[str, list[Scores]] = {}
    for name, own in kept.items():
        arm = definition.arm(name)
        if arm.codec:
            split = definition.splits.test
            scores[name] = [
                codec_scores(arm.codec, card_of(job), codec_table(job, split), resamples=resamples) for job in own
            ]
        else:
            runs[name] = [read_run(job.folder / arm.decoder) for job in own]
    records = [run.record for own in runs.values() for run in own]
    if len({record.data["hash"] for record in records}) > 1:
        raise UserError("the arms' runs are of different data; remove their folders and run them again")
    for name, own_runs in runs.items():
        metrics = cache(partial(_metrics, own_runs[0].record, kept[name][0].options()))
        tables = [run_tables(run, metrics) for run in own_runs]
        trained = definition.arm(name).weights != SHIPPED
        scores[name] = [
            run_scores(run, table, resamples=resamples, trained=trained)
            for run, table in zip(own_runs, tables, strict=True)
        ]
    points = {name: point(scores[name], command=_command(kept[name][0])) for name in arms}
    return _Analyzed(kept, runs, points, scores)


def _metrics(record: Record, options: RunOptions) -> dict[str, Any]:
    """The metrics on the data of a run, with the tokenizer of captions that it used."""
    tokenizer = record.notes.get("captioning", {}).get("tokenizer", options.caption_tokenizer).partition(" ")[0]
    suite = build_suite(replace(options, caption_tokenizer=tokenizer))  # type: ignore[arg-type]  # one of its words
    if suite.data["hash"] != record.data["hash"]:
        raise UserError(f"{record.decoder}: the data have changed since its run; remove the run's folder")
    return dict(suite.metrics)


def _command(job: Job) -> str:
    """The command of a run with shipped weights; empty where something was trained."""
    if job.needs or job.kind != "run":
        return ""
    words = [
        f"--{name} {value if isinstance(value, str) else json.dumps(value)!r}"
        for name, value in job.given.items()
        if name not in ("coco", "nyu", "checkpoints")
    ]
    return f"python -m bench run {' '.join(words)}"


def _write(
    name: str, definition: Definition, results: _Analyzed, out: Path, *, failed: Mapping[str, str], resamples: int
) -> Path:
    sections, details = [], {}
    for table, options in definition.tables.items():
        text, details[table] = TABLES[table](results, **options)
        sections.append(text)
    arms = {arm: definition.arm(arm) for arm in results.points}
    trained = any(job.kind != "run" or job.needs for own in results.jobs.values() for job in own)
    first = next(iter(results.scores.values()))[0]
    data: dict[str, Any] = {"images": first.images}
    environment = {}
    if not results.runs:
        data["hash"] = card_of(results.trainings(next(iter(results.points)))[0]).get("data")
    else:
        record = next(iter(results.runs.values()))[0].record
        roots = {kind: record.data[kind]["root"] for kind in ("coco", "nyu") if record.data.get(kind)}
        data |= {**roots, "hash": record.data.get("hash")}
        environment = {k: record.environment.get(k) for k in ("cpu", "gpu", "threads", "git_commit", "git_dirty")}
    outcome = Outcome(
        name=name,
        title=definition.title,
        decoder=", ".join(dict.fromkeys(arm.decoder or f"codec of {arm.codec}" for arm in arms.values())),
        budget=definition.budget,
        trained=trained,
        data=data,
        environment=environment,
        points=dict(results.points),
        differences=differences(results.scores),
        contrasts=contrasts(definition.contrasts, results.scores),
        failed=dict(failed),
        details=msgspec.to_builtins({table: value for table, value in details.items() if value is not None}),
        method=_method(definition, first.images, resamples, trained=trained),
    )
    return write_study(out, outcome, definition.published, sections)


def _method(definition: Definition, images: int, resamples: int, *, trained: bool) -> str:
    """How the intervals of a study come about, in words."""
    if trained and len(definition.seeds) >= FEWEST_SEEDS:
        return f"Student's t over {len(definition.seeds)} training seeds crossed with {images} images"
    one = "; arms were trained with one seed each" if trained and len(definition.seeds) == 1 else ""
    return f"paired bootstrap over {images} images, {resamples} resamples, for these weights{one}"
