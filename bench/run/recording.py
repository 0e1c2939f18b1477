"""The record of one decoder, made from the samples of its images and the statistics of all processes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from bench.builders.suite import Suite
from bench.builders.task_formats import CODES
from bench.checkpoints.codec import CODECS
from bench.run import summary
from bench.run.timing_warnings import cut_short, timing_warnings
from bench.system.host import load_average
from results.record import Latency, Machine, Mode, PeakRates, Record, Sample, WarmUp
from results.run_files import checksum


@dataclass(frozen=True)
class ProcessStats:
    """Statistics of a decoder in one process, or in all of them.

    Args:
        mode: how the network was executed.
        warm_up: what ran before; None where nothing was left to measure.
        energy: joules per image and the seconds that they were counted over.
        peak_rss_mib: highest memory of a process.
    """

    mode: Mode
    warm_up: WarmUp | None
    energy: tuple[float | None, float]
    peak_rss_mib: float | None


def reduce_stats(stats: Sequence[ProcessStats]) -> ProcessStats:
    """Merge per-process statistics: highest times and memory, sums of counts, mean energy; stable if all were."""
    modes, warm_ups = [each.mode for each in stats], [each.warm_up for each in stats if each.warm_up is not None]
    joules = [each.energy for each in stats if each.energy[0] is not None]
    mode = msgspec.structs.replace(
        modes[0],
        prepare_ms=max(mode.prepare_ms for mode in modes),
        prepared=max(mode.prepared for mode in modes),
        checked_images=sum(mode.checked_images for mode in modes),
        checked_tokens=sum(mode.checked_tokens for mode in modes),
        different_tokens=sum(mode.different_tokens for mode in modes),
        remarks=list(dict.fromkeys(remark for mode in modes for remark in mode.remarks)),
    )
    warm_up: WarmUp | None = None
    energy: tuple[float | None, float] = (None, 0.0)
    if warm_ups:
        warm_up = WarmUp(
            images=sum(each.images for each in warm_ups),
            seconds=max(each.seconds for each in warm_ups),
            stable=all(each.stable for each in warm_ups),
        )
    if joules:
        energy = sum(each or 0.0 for each, _ in joules) / len(joules), min(seconds for _, seconds in joules)
    memory = max((each.peak_rss_mib for each in stats if each.peak_rss_mib is not None), default=None)
    return ProcessStats(mode, warm_up, energy, memory)


@dataclass(frozen=True)
class RunContext:
    """What the decoders of a run have in common.

    Args:
        environment: machine and versions.
        fingerprint: of the hardware.
        rates: peak rates of the machine; None where nothing is timed.
        ended: why measuring stopped.
        minimum: what had to be measured at least, where the budget ended first.
        least: images and measured seconds below which times are marked.
        interleaved: names of the decoders that took turns.
        processes: number of processes that shared the images.
        timed: whether times were wanted.
    """

    environment: Mapping[str, Any]
    fingerprint: str
    rates: PeakRates | None
    ended: str
    minimum: str
    least: tuple[int, float]
    interleaved: Sequence[str]
    processes: int
    timed: bool


@dataclass(frozen=True)
class RecordedRun:
    """What is known of a decoder before it is measured.

    Args:
        decoder: name of the strategy.
        preset: name of the preset.
        options: of the run, as JSON data.
        suite: tasks and metrics.
        scored: whether predictions are scored.
        batch: images decoded together.
        scenario: as in the record.
        seed: of all random choices.
        random_weights: whether the network is untrained.
        weights: name to hash of the weight files.
        missing: tensors that the imported checkpoint behind them lacks.
        parameters: of the network; None without one.
        signature: what decides the predictions.
        started: UTC time.
    """

    decoder: str
    preset: str
    options: dict[str, Any]
    suite: Suite
    scored: bool
    batch: int
    scenario: str
    seed: int
    random_weights: bool
    weights: dict[str, str]
    missing: list[str]
    parameters: int | None
    signature: Mapping[str, Any]
    started: str


def make_record(run: RecordedRun, samples: Sequence[Sample], context: RunContext, stats: ProcessStats) -> Record:
    """Return the record of a decoder.

    Args:
        run: what was measured.
        samples: of its images, from all processes, in order.
        context: of the whole run.
        stats: merged over all processes.
    """
    suite = run.suite
    tokens = {task.name: task.format.length for task in suite.tasks}
    latency, machine = _latency(run, samples, context, stats, tokens), _machine(samples, context, stats)
    warnings = cut_short(context.minimum)
    if context.timed:
        warnings = timing_warnings(
            latency=latency,
            machine=machine,
            mode=stats.mode,
            environment=context.environment,
            minimum=context.minimum,
            least=context.least,
        )
    return Record(
        decoder=run.decoder,
        preset=run.preset,
        options=run.options,
        data=suite.data,
        tasks=list(suite.metrics) if run.scored else [task.name for task in suite.tasks],
        off=suite.off,
        metrics=_metrics(suite, samples) if run.scored else {},
        notes=_notes(suite, samples) if run.scored else {},
        latency=latency,
        cost=summary.cost(samples, tokens),
        environment=dict(context.environment),
        seed=run.seed,
        images=len(samples),
        checksum=checksum(samples),
        started=run.started,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        signature=signature_hash(run.signature),
        random_weights=run.random_weights,
        weights=run.weights,
        missing=run.missing,
        mode=stats.mode,
        parameters=run.parameters,
        work=summary.work(samples, context.rates),
        machine=machine,
        processes=context.processes,
        interleaved=list(context.interleaved),
        warnings=warnings,
    )


def signature_hash(signature: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits of a signature."""
    return hashlib.sha256(msgspec.json.encode(signature, order="deterministic")).hexdigest()[:16]


def _latency(
    run: RecordedRun, samples: Sequence[Sample], context: RunContext, stats: ProcessStats, tokens: Mapping[str, int]
) -> Latency:
    return summary.latency(
        samples,
        batch=run.batch,
        scenario=run.scenario if context.timed else "untimed",
        tokens=tokens,
        after=_prerequisites(run.suite),
        warm_up=stats.warm_up,
        ended=context.ended,
    )


def _machine(samples: Sequence[Sample], context: RunContext, stats: ProcessStats) -> Machine:
    return summary.machine(
        samples,
        fingerprint=context.fingerprint,
        rates=context.rates,
        load_average=load_average(),
        peak_rss_mib=stats.peak_rss_mib,
        energy=stats.energy,
    )


def _prerequisites(suite: Suite) -> dict[str, list[str]]:
    """Task to all tasks that must run before it; tasks stand behind those they need."""
    needed: dict[str, list[str]] = {}
    for task in suite.tasks:
        earlier = [name for direct in task.after for name in [*needed.get(direct, []), direct]]
        needed[task.name] = list(dict.fromkeys(earlier))
    return needed


def _metrics(suite: Suite, samples: Sequence[Sample]) -> dict[str, dict[str, float | None]]:
    return {
        task: metric.summarize({s.image_id: s.predictions[task] for s in samples if task in s.predictions})
        for task, metric in suite.metrics.items()
    }


def _notes(suite: Suite, samples: Sequence[Sample]) -> dict[str, dict[str, str]]:
    notes = {}
    for task, metric in suite.metrics.items():
        remarks = dict(metric.notes())
        scored = sum(task in sample.predictions for sample in samples)
        if scored < len(samples):
            remarks["scored"] = f"{scored} of {len(samples)} images; the others are not annotated for it"
        if cut := sum(sample.cut.get(task, 0) for sample in samples):
            remarks["cut"] = f"{cut} annotations do not fit its sequences, for any decoder"
        if suite.formats.get("formats", {}).get(task) == CODES:
            remarks["format"] = f"codes of codec {suite.formats['codecs'][CODECS[task]]['hash']}"
        if remarks:
            notes[task] = remarks
    return notes
