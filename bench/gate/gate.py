"""The command ``gate``: run decoders that have a baseline, judge them, write the report and the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import torch

from bench import registry
from bench.builders.decoder import choose_device
from bench.compare.comparability import busy
from bench.compare.runs import expand
from bench.compare.score_tables import DataPaths, metrics_of, run_tables
from bench.config.analysis import GateOptions
from bench.config.loading import load_run
from bench.errors import UserError, unknown
from bench.gate.gated_run import REFERENCE, GatedRun, baseline_of, gated_runs, was_busy
from bench.gate.judge import judge
from bench.gate.thresholds import BASELINES, FILE, read_thresholds
from bench.run import runner
from bench.system.calibration import measure, read_calibration, write_calibration
from bench.system.environment import fingerprint
from bench.system.gpu import watch_gpu
from reports.terminal.gate import junit, markdown
from results.baseline import Baseline, read_baseline, write_baseline
from results.gate_report import GateReport
from results.history import HistoryEntry, append
from results.run_files import read_run
from results.run_names import run_name_of
from results.store import write_atomically

RUNS = Path("results") / "runs" / "gate"


@dataclass(frozen=True)
class GateResult:
    """Answers of the gate and the runs behind them.

    Args:
        report: the answers.
        runs: name to run.
        judged: names of the runs that the report is about.
        baselines: folder of the baselines.
        out: folder of the report.
    """

    report: GateReport
    runs: Mapping[str, GatedRun]
    judged: Sequence[str]
    baselines: Path
    out: Path


def gate(options: GateOptions) -> GateResult:
    """Judge finished runs, or run the decoders first; writes report and history, but no baseline.

    Raises:
        UserError: if there is nothing to judge, or options, data or thresholds cannot be used.
        StoreError: if a run or baseline cannot be read, or the report cannot be written.
    """
    if options.update_baseline and options.kind != "all":
        raise UserError(f"--update-baseline --kind {options.kind}: a baseline is replaced whole; leave --kind out")
    _check(options)
    folder, out = options.baselines or BASELINES, options.out or RUNS
    thresholds_file = folder / FILE if (folder / FILE).exists() else BASELINES / FILE
    thresholds = read_thresholds(options.thresholds or thresholds_file)
    stored = read_baselines(folder)
    files = [read_run(path) for path in (expand(options.runs) if options.runs else _run(options, stored, out))]
    metrics = cache(lambda: metrics_of(files[0].record, DataPaths(options.coco, options.nyu)))
    runs = gated_runs(files, lambda run: run_tables(run, metrics), read_calibration(files[0].path.parent))
    preset, environment = files[0].record.preset, files[0].record.environment
    names = _names_to_judge(options.names(), runs)
    baselines = {name: stored.get((preset, name)) for name in names}
    lines = judge(runs, baselines, thresholds)
    report = GateReport(
        preset=preset,
        commit=environment.get("git_commit"),
        machine=f"{environment.get('gpu') or environment.get('cpu')} [{fingerprint(environment)}]",
        lines=[line for line in lines if options.kind in ("all", line.kind) or line.name == "accuracy"],
        remarks=_remarks(runs, baselines),
    )
    write_report(out, report)
    if options.history is not None:
        append(options.history, [history_entry(run) for run in runs.values()])
    return GateResult(report, runs, [name for name in names if name in runs], folder, out)


def _check(options: GateOptions) -> None:
    """Refuse what would end in "cannot tell", which a CI takes for success. Raises UserError."""
    installed = registry.names(registry.DECODERS)
    for name in options.names():
        if name not in installed:
            raise UserError(f"--decoder: {unknown('decoder', name, installed)}")
    for name in ("limit", "tasks", "settings"):
        if options.runs and getattr(options, name) is not None:
            raise UserError(f"--{name}: is for decoders that the gate runs itself; leave it out beside finished runs")
    folder = options.baselines
    if folder is not None and not options.update_baseline and not any(folder.glob("*.json")):
        raise UserError(f"--baselines {folder}: holds no baseline; name another folder, or give --update-baseline")


def _names_to_judge(decoders: Sequence[str], runs: Mapping[str, GatedRun]) -> list[str]:
    """Return the names of all runs of the given decoders, then those of the decoders that did not run."""
    if not decoders:
        return list(runs)
    absent = [name for name in decoders if name not in {run.record.decoder for run in runs.values()}]
    return [name for name, run in runs.items() if run.record.decoder in decoders] + absent


def _run(options: GateOptions, stored: Mapping[tuple[str, str], Baseline], out: Path) -> list[Path]:
    """Run the decoders afresh and measure the machine's speed before and after; returns their folders."""
    with_baseline = [baseline.decoder for (preset, _), baseline in stored.items() if preset == options.preset]
    names = options.names() or list(dict.fromkeys(with_baseline))
    if not names:
        raise UserError(
            f"there is no baseline of preset {options.preset!r}; name decoders with --decoder and give "
            "--update-baseline to write the first"
        )
    if REFERENCE not in names:
        names = [*names, REFERENCE]
    required = {"preset": options.preset, "decoder": ",".join(names), "out": out, "threads": options.threads}
    optional = {name: getattr(options, name) for name in ("coco", "nyu", "limit", "tasks")}
    chosen = {name: value for name, value in optional.items() if value is not None}
    loaded = load_run({"config": options.settings, "fresh": True, "calibrate": True} | required | chosen)
    if loaded.threads:
        torch.set_num_threads(loaded.threads)  # as the run will
    device = "cuda" if loaded.device != "cpu" and torch.cuda.is_available() else "cpu"
    watch_gpu(choose_device(loaded.device))  # before anything computes there
    before = measure(device=device)
    folders = list(runner.run(loaded))
    write_calibration(out, before, measure(device=device))
    return folders


def read_baselines(folder: Path) -> dict[tuple[str, str], Baseline]:
    """Map preset and name of the run to each baseline in a folder."""
    baselines = [read_baseline(path) for path in sorted(folder.glob("*.json"))]
    return {(baseline.preset, baseline.run_name): baseline for baseline in baselines}


def update(result: GateResult, *, force: bool = False) -> list[Path]:
    """Write the judged runs as new baselines; runs that only ran beside them keep theirs.

    Args:
        result: of ``gate``.
        force: even if the machine was busy.

    Raises:
        UserError: if the machine was busy, as later slowdowns would be measured against disturbed times.
    """
    judged = {name: result.runs[name] for name in result.judged}
    for name, run in judged.items():
        if not force and (reason := busy(run.record)) is not None:
            raise UserError(f"--update-baseline: {name}: {reason}; measure on a quiet machine, or give --force")
    return [write_baseline(result.baselines, baseline_of(run)) for run in judged.values()]


def write_report(out: Path, report: GateReport) -> None:
    """Write ``gate.json``, ``gate.md`` and ``gate.xml`` into ``out``."""
    plain = {**msgspec.to_builtins(report), "verdict": report.verdict, "exit_code": report.exit_code}
    write_atomically(out / "gate.json", msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n")
    write_atomically(out / "gate.md", markdown(report).encode())
    write_atomically(out / "gate.xml", junit(report).encode())


def _remarks(runs: Mapping[str, GatedRun], baselines: Mapping[str, Baseline | None]) -> list[str]:
    remarks: list[str] = []
    for name, run in runs.items():
        if (reason := busy(run.record)) is not None:
            remarks.append(f"{name}: {reason}; a slowdown would not be believed")
        if run.record.environment.get("git_dirty"):
            remarks.append(f"{name}: measured from a source tree with uncommitted changes")
        if not run.interleaved:
            remarks.append(f"{name}: not interleaved with {REFERENCE}")
    for baseline in baselines.values():
        if baseline is not None and (reason := was_busy(baseline)) is not None:
            remarks.append(f"{baseline.run_name}: when its baseline was measured, {reason}")
    return list(dict.fromkeys(remarks))


def history_entry(run: GatedRun) -> HistoryEntry:
    """Return a run's line of the history."""
    record, environment = run.record, run.record.environment
    sums = {"total": sum(run.total_ms), "decode": sum(run.decode_ms)}
    return HistoryEntry(
        date=record.finished,
        commit=environment.get("git_commit"),
        dirty=environment.get("git_dirty"),
        decoder=run_name_of(record),
        preset=record.preset,
        data=str(record.data["hash"]),
        machine=fingerprint(environment),
        processor=str(environment.get("gpu") or environment.get("cpu")),
        metrics={f"{task} {name}": value for task, values in record.metrics.items() for name, value in values.items()},
        ratios={
            f"{part}/{against}": milliseconds / sum(times.get(part, times["total"]))
            for against, times in run.against.items()
            for part, milliseconds in sums.items()
        },
        ms=record.latency.total.mean_ms,
        checksum=record.checksum,
    )


def history_entries(paths: Sequence[Path]) -> list[HistoryEntry]:
    """Return the lines of the history for finished runs of one command."""
    files = [read_run(path) for path in expand(paths)]
    calibration = read_calibration(files[0].path.parent) if files else None
    return [history_entry(run) for run in gated_runs(files, lambda run: {}, calibration).values()]
