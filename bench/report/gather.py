"""A report from run folders: gathers what ``reports`` draws, says what is missing, and writes the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.compare.score_tables import DataPaths, open_suite, run_tables
from bench.config.analysis import ReportOptions
from bench.errors import UserError
from bench.paths import REPOSITORY
from bench.report.learning_curves import curves
from bench.report.reproduce import commands
from bench.system.environment import git_state
from reports.checks import refuse_unlike
from reports.report_data import ReportData, ReportError, Statistics
from reports.runs import find_runs, label_runs, main_and_variants, object_counts, report_run, selection_note
from reports.style import in_order
from results.study import read_outcomes
from results.run_files import RunFiles

REPORT = "report"


def write(options: ReportOptions, *, console: Any = None) -> Path:
    """Write a report; the same as the command ``report``.

    Args:
        options: what to report on.
        console: prints the summary on it, if given.

    Returns:
        Path of the page.

    Raises:
        UserError: if there are no runs, or they cannot be shown together.
        StoreError: if runs cannot be read or the report cannot be written.
    """
    from reports.page.readme import write_readme
    from reports.page.sections import write_report
    from reports.terminal.summary import print_summary

    files = find_runs(options.runs)
    material = gather(files, options)
    path = write_report(material, options.out or files[0].path.resolve().parent / REPORT)
    if options.readme is not None:
        root = options.readme.resolve().parent
        try:
            write_readme(material, options.readme.resolve(), figures=root / "docs", tables=root / "results" / REPORT)
        except ReportError as error:
            raise UserError(str(error)) from None
    if console is not None:
        print_summary(material, console)
    return path


def gather(files: Sequence[RunFiles], options: ReportOptions) -> ReportData:
    """Everything that the report of some runs shows.

    Raises:
        UserError: if the runs cannot be shown together.
    """
    runs = label_runs(files)
    main, variants = main_and_variants(runs)
    drawn = {label: report_run(label, one) for label, one in runs.items()}
    try:
        refuse_unlike(list(drawn.values()))
    except ReportError as error:
        raise UserError(str(error)) from None
    missing: dict[str, str] = {}
    if told := selection_note(main, variants, runs):
        missing["runs"] = told
    place = DataPaths(options.coco, options.nyu, options.nyu_list, options.tokenizer)
    suite = cache(lambda: open_suite(files[0].record, place))
    tables = _tables(runs, suite, missing)
    counted = _objects(suite) if any(one.samples for one in files) else {}
    drawn = {label: replace(one, objects=object_counts(runs[label], counted)) for label, one in drawn.items()}
    from bench.report.intervals import report_statistics

    statistics = Statistics()
    if any(tables.values()):
        statistics = report_statistics(runs, tables, main=main, resamples=options.resamples, seed=options.seed)
    return ReportData(
        runs=in_order([drawn[label] for label in main]),
        statistics=statistics,
        variants=[drawn[label] for label in variants],
        pictures=_pictures({label: runs[label] for label in main}, tables, suite, options, missing),
        curves=curves([runs[label].record for label in main], missing),
        outcomes=read_outcomes(),
        missing=missing,
        commands=commands([runs[one.label].record for one in in_order(list(drawn.values()))]),
        about=git_state(REPOSITORY),
    )


def _tables(runs: Mapping[str, RunFiles], suite: Any, missing: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Per-image tables of every run; says in ``missing`` why there are none."""
    without = [label for label, one in runs.items() if not one.samples]
    if without:
        missing["statistics"] = (
            f"{', '.join(without)} has no samples beside its record, so its numbers have no interval"
        )
    try:
        return {label: run_tables(one, lambda: suite().metrics) for label, one in runs.items()}
    except UserError as error:
        missing["statistics"] = str(error)
        return {}


def _objects(suite: Any) -> dict[int, int]:
    """Image id to annotated objects; empty where the data is not there any more."""
    try:
        dataset = suite().dataset
    except UserError:
        return {}
    if dataset.coco is None:
        return {}
    found = {}
    for sample in dataset.samples:
        instances = dataset.coco.targets(sample.image_id).instances if sample.coco else None
        if instances is not None:
            found[sample.image_id] = len(instances)
    return found


def _pictures(
    runs: Mapping[str, RunFiles], tables: Mapping[str, Any], suite: Any, options: ReportOptions, missing: dict[str, str]
) -> list[Any]:
    if not options.gallery:
        missing["gallery"] = "it was not asked for (--gallery 0)"
        return []
    with_samples = {label: one for label, one in runs.items() if one.samples}
    if not with_samples:
        missing["gallery"] = "no run has samples beside its record"
        return []
    from bench.report.gallery import Source, gallery, image_scores

    try:
        dataset = suite().dataset
    except UserError as error:
        missing["gallery"] = str(error)
        return []
    sources = []
    for label, one in with_samples.items():
        if "backbone" in one.record.latency.phases:
            captions = _cider(tables.get(label, {}).get("captioning"))
            scores = image_scores(one.samples, dataset, captions)
            sources.append(Source(label, {sample.image_id: sample for sample in one.samples}, scores))
    if not sources:
        missing["gallery"] = "no run encodes images with a network"
    order = [run.label for run in in_order([report_run(label, with_samples[label]) for label in with_samples])]
    sources.sort(key=lambda source: order.index(source.label))
    return gallery(dataset, sources, each=options.gallery)


def _cider(table: Any) -> dict[int, float]:
    """CIDEr of every image by itself."""
    if table is None:
        return {}
    each = table.score(np.eye(len(table.images), dtype=int), ["CIDEr"])["CIDEr"]
    return {int(image): float(value) for image, value in zip(table.images, each, strict=True) if np.isfinite(value)}
