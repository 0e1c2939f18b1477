"""Gather everything a report of finished runs shows, and write the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.compare.score_tables import DataPaths, open_suite, run_tables
from bench.config.analysis import ReportOptions
from bench.errors import UserError
from bench.paths import REPOSITORY
from bench.report.learning_curves import curves
from bench.report.reproduce import commands
from bench.system.environment import git_state
from reports.checks import refuse_unlike
from reports.report_data import GalleryImage, ReportData, Statistics
from reports.runs import find_runs, label_runs, main_and_variants, object_counts, report_run, selection_note
from reports.style import in_order
from results.run_files import RunFiles
from results.study import read_outcomes
from tasks.metrics.tables import ScoreTable

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from bench.builders.suite import Suite
    from bench.data.dataset import Dataset

REPORT = "report"


def write(options: ReportOptions, *, console: Console | None = None) -> Path:
    """Write a report and return the path of its page.

    Args:
        options: what to report on.
        console: if given, a summary is printed on it.

    Raises:
        ReportError: if there are no runs, or they cannot be shown together.
        StoreError: if runs cannot be read or the report cannot be written.
    """
    from reports.page.readme import write_readme
    from reports.page.sections import write_report
    from reports.terminal.summary import print_summary

    files = find_runs(options.runs)
    data = gather(files, options)
    path = write_report(data, options.out or files[0].path.resolve().parent / REPORT)
    if options.readme is not None:
        root = options.readme.resolve().parent
        write_readme(data, options.readme.resolve(), figures=root / "docs", tables=root / "results" / REPORT)
    if console is not None:
        print_summary(data, console)
    return path


def gather(files: Sequence[RunFiles], options: ReportOptions) -> ReportData:
    """Return everything that the report of some runs shows, with reasons for what is missing.

    Raises:
        ReportError: if the runs cannot be shown together.
    """
    from bench.report.intervals import report_statistics

    runs = label_runs(files)
    main, variants = main_and_variants(runs)
    drawn = {label: report_run(label, run) for label, run in runs.items()}
    refuse_unlike(list(drawn.values()))
    missing: dict[str, str] = {}
    if note := selection_note(main, variants, runs):
        missing["runs"] = note
    paths = DataPaths(options.coco, options.nyu, options.nyu_list, options.tokenizer)
    suite = cache(lambda: open_suite(files[0].record, paths))
    tables = _tables(runs, suite, missing)
    counts = _objects_per_image(suite) if any(run.samples for run in files) else {}
    drawn = {label: replace(run, objects=object_counts(runs[label], counts)) for label, run in drawn.items()}
    statistics = Statistics()
    if any(tables.values()):
        statistics = report_statistics(runs, tables, main=main, resamples=options.resamples, seed=options.seed)
    return ReportData(
        runs=in_order([drawn[label] for label in main]),
        statistics=statistics,
        variants=[drawn[label] for label in variants],
        pictures=_pictures({label: runs[label] for label in main}, tables, suite, options.gallery, missing),
        curves=curves([runs[label].record for label in main], missing),
        outcomes=read_outcomes(),
        missing=missing,
        commands=commands([runs[run.label].record for run in in_order(list(drawn.values()))]),
        about=git_state(REPOSITORY),
    )


def _tables(
    runs: Mapping[str, RunFiles], suite: Callable[[], Suite], missing: dict[str, str]
) -> dict[str, dict[str, ScoreTable]]:
    """Return label to task to table of every run; notes in ``missing`` why there are none."""
    without = [label for label, run in runs.items() if not run.samples]
    if without:
        missing["statistics"] = (
            f"{', '.join(without)} has no samples beside its record, so its numbers have no interval"
        )
    try:
        return {label: run_tables(run, lambda: suite().metrics) for label, run in runs.items()}
    except UserError as error:
        missing["statistics"] = str(error)
        return {}


def _objects_per_image(suite: Callable[[], Suite]) -> dict[int, int]:
    """Map image ids to numbers of annotated objects; empty if the data cannot be opened."""
    try:
        dataset = suite().dataset
    except UserError:
        return {}
    counts = {}
    for sample in dataset.samples:
        objects = dataset.coco.targets(sample.image_id).instances if dataset.coco is not None and sample.coco else None
        if objects is not None:
            counts[sample.image_id] = len(objects)
    return counts


def _pictures(
    runs: Mapping[str, RunFiles],
    tables: Mapping[str, Mapping[str, ScoreTable]],
    suite: Callable[[], Suite],
    images_per_kind: int,
    missing: dict[str, str],
) -> list[GalleryImage]:
    """Return the images of the gallery; notes in ``missing`` why there are none."""
    from bench.report.gallery import gallery

    if not images_per_kind:
        missing["gallery"] = "it was not asked for (--gallery 0)"
        return []
    with_samples = {label: run for label, run in runs.items() if run.samples}
    if not with_samples:
        missing["gallery"] = "no run has samples beside its record"
        return []
    try:
        dataset = suite().dataset
    except UserError as error:
        missing["gallery"] = str(error)
        return []
    encoding = {label: run for label, run in with_samples.items() if "backbone" in run.record.latency.phases}
    if not encoding:
        missing["gallery"] = "no run encodes images with a network"
    return gallery(dataset, _sources(encoding, tables, dataset), each=images_per_kind)


def _sources(
    runs: Mapping[str, RunFiles], tables: Mapping[str, Mapping[str, ScoreTable]], dataset: Dataset
) -> list[Any]:
    """Return predictions and per-image scores of the runs, in the report's order."""
    from bench.report.gallery import Source, image_scores

    sources = []
    for label in (run.label for run in in_order([report_run(label, run) for label, run in runs.items()])):
        samples = runs[label].samples
        scores = image_scores(samples, dataset, _cider(tables.get(label, {}).get("captioning")))
        sources.append(Source(label, {sample.image_id: sample for sample in samples}, scores))
    return sources


def _cider(table: ScoreTable | None) -> dict[int, float]:
    """Map image ids to the CIDEr of each image alone."""
    if table is None:
        return {}
    values = table.score(np.eye(len(table.images), dtype=int), ["CIDEr"])["CIDEr"]
    return {int(image): float(value) for image, value in zip(table.images, values, strict=True) if np.isfinite(value)}
