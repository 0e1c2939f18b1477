"""The command ``gate``: runs the decoders that have a baseline, judges them, and keeps the report and the history."""

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
from bench.errors import UserError
from bench.gate.gated_run import REFERENCE, Measured, baseline_of, measured, was_busy
from bench.gate.judge import judge
from bench.gate.thresholds import BASELINES, FILE, read_thresholds
from bench.system.calibration import measure, read_calibration, write_calibration
from bench.system.environment import fingerprint
from bench.system.gpu import watch_gpu
from reports.terminal.gate import junit, markdown
from results.baseline import Baseline, read_baseline, write_baseline
from results.gate_report import GateReport
from results.history import Entry, append
from results.run_files import read_run
from results.run_names import run_name_of
from results.store import write_atomically

RUNS = Path("results") / "runs" / "gate"


@dataclass(frozen=True)
class Gated:
    """What the gate found.

    Args:
        report: the answers.
        runs: name to run.
        judged: names of the runs that the report is about.
        baselines: folder of the baselines.
        out: folder of the report.
    """

    report: GateReport
    runs: Mapping[str, Measured]
    judged: Sequence[str]
    baselines: Path
    out: Path


def gate(options: GateOptions) -> Gated:
    """Judge runs, or run the decoders first; the same as the command ``gate`` without ``--update-baseline``.

    Raises:
        UserError: if there is nothing to judge, or options, data or thresholds cannot be used.
        StoreError: if a run or baseline cannot be read, or the report cannot be written.
    """
    if options.update_baseline and options.kind != "all":
        raise UserError(f"--update-baseline --kind {options.kind}: a baseline is replaced whole; leave --kind out")
    _check(options)
    folder = options.baselines or BASELINES
    own = folder / FILE
    thresholds = read_thresholds(options.thresholds or (own if own.exists() else BASELINES / FILE))
    known = read_baselines(folder)
    out = options.out or RUNS
    folders = expand(options.runs) if options.runs else _run(options, known, out)
    files = [read_run(path) for path in folders]
    metrics = cache(lambda: metrics_of(files[0].record, DataPaths(options.coco, options.nyu)))
    runs = measured(files, lambda run: run_tables(run, metrics), read_calibration(files[0].path.parent))
    preset = files[0].record.preset
    wanted = _wanted(options.names(), runs)
    lines = judge(runs, {name: known.get((preset, name)) for name in wanted}, thresholds)
    environment = files[0].record.environment
    report = GateReport(
        preset=preset,
        commit=environment.get("git_commit"),
        machine=f"{environment.get('gpu') or environment.get('cpu')} [{fingerprint(environment)}]",
        lines=[line for line in lines if options.kind in ("all", line.kind)],
        remarks=_remarks(runs, {name: known.get((preset, name)) for name in wanted}),
    )
    write_report(out, report)
    if options.history is not None:
        append(options.history, [entry(run) for run in runs.values()])
    return Gated(report, runs, [name for name in wanted if name in runs], folder, out)


def _check(options: GateOptions) -> None:
    """Refuse what would end in "cannot tell", which a CI takes for success. Raises UserError."""
    known = registry.names(registry.DECODERS)
    for name in options.names():
        if name not in known:
            raise UserError(f"--decoder: {registry.unknown('decoder', name, known)}")
    given = {"limit": options.limit, "tasks": options.tasks, "settings": options.settings}
    for name, value in given.items():
        if options.runs and value is not None:
            raise UserError(f"--{name}: is for decoders that the gate runs itself; leave it out beside finished runs")
    folder = options.baselines
    if folder is not None and not options.update_baseline and not any(folder.glob("*.json")):
        raise UserError(f"--baselines {folder}: holds no baseline; name another folder, or give --update-baseline")


def _wanted(decoders: Sequence[str], runs: Mapping[str, Measured]) -> list[str]:
    """Names of runs to judge: all of the decoders that were asked for, and those of them that did not run."""
    if not decoders:
        return list(runs)
    absent = [name for name in decoders if name not in {run.record.decoder for run in runs.values()}]
    return [name for name, run in runs.items() if run.record.decoder in decoders] + absent


def _run(options: GateOptions, known: Mapping[tuple[str, str], Baseline], out: Path) -> list[Path]:
    """Run the decoders afresh, with the machine's speed measured before and after."""
    from bench.config.loading import parse_run
    from bench.run.runner import run

    own = [baseline.decoder for (preset, _), baseline in known.items() if preset == options.preset]
    names = options.names() or list(dict.fromkeys(own))
    if not names:
        raise UserError(
            f"there is no baseline of preset {options.preset!r}; name decoders with --decoder and give "
            "--update-baseline to write the first"
        )
    if REFERENCE not in names:
        names = [*names, REFERENCE]
    words = ["--preset", options.preset, "--decoder", ",".join(names), "--out", str(out), "--fresh", "true"]
    words += ["--calibrate", "true"]
    given = {
        "config": options.settings,
        "coco": options.coco,
        "nyu": options.nyu,
        "limit": options.limit,
        "tasks": options.tasks,
    }
    words += [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
    parsed = parse_run([*words, "--threads", str(options.threads)])
    if parsed.threads:
        torch.set_num_threads(parsed.threads)  # as the run will
    device = "cuda" if parsed.device != "cpu" and torch.cuda.is_available() else "cpu"
    watch_gpu(choose_device(parsed.device))  # before anything computes there
    before = measure(device=device)
    folders = list(run(parsed))
    write_calibration(out, before, measure(device=device))
    return folders


def read_baselines(folder: Path) -> dict[tuple[str, str], Baseline]:
    """Preset and name of the run to baseline, for every baseline in a folder."""
    found = [read_baseline(path) for path in sorted(folder.glob("*.json"))]
    return {(baseline.preset, baseline.run_name): baseline for baseline in found}


def update(gated: Gated, *, force: bool = False) -> list[Path]:
    """Make the runs that were judged the new baselines; those that only ran beside them keep theirs.

    Args:
        gated: the runs.
        force: even though the machine was busy.

    Raises:
        UserError: if the machine was busy: every later slowdown would be held against times that were disturbed.
    """
    judged = {name: gated.runs[name] for name in gated.judged}
    for name, run in judged.items():
        if not force and (reason := busy(run.record)) is not None:
            raise UserError(f"--update-baseline: {name}: {reason}; measure on a quiet machine, or give --force")
    return [write_baseline(gated.baselines, baseline_of(run)) for run in judged.values()]


def write_report(out: Path, report: GateReport) -> None:
    """Write ``gate.json``, ``gate.md`` and ``gate.xml`` into ``out``."""
    plain = {**msgspec.to_builtins(report), "verdict": report.verdict, "exit_code": report.exit_code}
    write_atomically(out / "gate.json", msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n")
    write_atomically(out / "gate.md", markdown(report).encode())
    write_atomically(out / "gate.xml", junit(report).encode())


def _remarks(runs: Mapping[str, Measured], baselines: Mapping[str, Baseline | None]) -> list[str]:
    remarks: list[str] = []
    for name, run in runs.items():
        if (reason := busy(run.record)) is not None:
            remarks.append(f"{name}: {reason}; a slowdown would not be believed")
        if not run.together:
            remarks.append(f"{name}: did not take turns with {REFERENCE}")
    for baseline in baselines.values():
        if baseline is not None and (reason := was_busy(baseline)) is not None:
            remarks.append(f"{baseline.run_name}: when its baseline was measured, {reason}")
    return list(dict.fromkeys(remarks))


def entry(run: Measured) -> Entry:
    """A run's line of the history."""
    record, environment = run.record, run.record.environment
    means = {"total": sum(run.total_ms), "decode": sum(run.decode_ms)}
    ratios = {
        f"{part}/{against}": mean / sum(beside.get(part, beside["total"]))
        for against, beside in run.against.items()
        for part, mean in means.items()
    }
    return Entry(
        date=record.finished,
        commit=environment.get("git_commit"),
        dirty=environment.get("git_dirty"),
        decoder=run_name_of(record),
        preset=record.preset,
        data=str(record.data["hash"]),
        machine=fingerprint(environment),
        processor=str(environment.get("gpu") or environment.get("cpu")),
        metrics={f"{task} {name}": value for task, values in record.metrics.items() for name, value in values.items()},
        ratios=ratios,
        ms=record.latency.total.mean_ms,
        checksum=record.checksum,
    )


def entries(paths: Sequence[Path]) -> list[Entry]:
    """Lines of the history for finished runs of one command."""
    files = [read_run(path) for path in expand(paths)]
    calibration = read_calibration(files[0].path.parent) if files else None
    return [entry(run) for run in measured(files, lambda run: {}, calibration).values()]
