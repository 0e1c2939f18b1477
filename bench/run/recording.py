"""The record of one decoder, from the lines of its images and what the run knows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from bench.builders.decoder import plain_options
from bench.builders.suite import Suite
from bench.builders.task_formats import CODES
from bench.checkpoints.codec import CODECS
from bench.run import summary
from bench.run.decoder_run import Lane
from bench.run.plan import Entry
from bench.run.timing_warnings import doubts, unfinished
from bench.system.host import load_average, peak_rss_mib
from results.record import Latency, Machine, Mode, Rates, Record, Sample, WarmUp
from results.run_files import checksum


@dataclass(frozen=True)
class Circumstances:
    """What the decoders of a run have in common.

    Args:
        environment: machine and versions.
        fingerprint: of the hardware.
        rates: what the machine can do; None where nothing is timed.
        ended: why measuring stopped.
        minimum: what was to be measured at least, where the budget came before.
        least: images and measured seconds below which times are marked.
        lanes: names of those that took turns.
        processes: that shared the images.
        timed: whether times were wanted.
    """

    environment: Mapping[str, Any]
    fingerprint: str
    rates: Rates | None
    ended: str
    minimum: str
    least: tuple[int, float]
    lanes: Sequence[str]
    processes: int
    timed: bool


def signature_hash(signature: Mapping[str, Any]) -> str:
    """16 hexadecimal letters."""
    return hashlib.sha256(msgspec.json.encode(signature, order="deterministic")).hexdigest()[:16]


def record(
    entry: Entry,
    lane: Lane,
    samples: Sequence[Sample],
    circumstances: Circumstances,
    signature: Mapping[str, Any],
    *,
    seen: Seen,
) -> Record:
    """The record of an entry.

    Args:
        entry: what was measured.
        lane: how it was measured.
        samples: lines of its images, of all processes, in order.
        circumstances: of the run.
        signature: what decides its predictions.
        seen: by all processes, of how it was measured.
    """
    suite, around = entry.suite, circumstances
    tokens = {task.name: task.format.length for task in suite.tasks}
    latency, machine = _latency(entry, seen, samples, around, tokens), _machine(seen, samples, around)
    return Record(
        decoder=entry.decoder.name,
        preset=str(entry.options.preset),
        options=plain_options(entry.options),
        data=suite.data,
        tasks=list(suite.metrics) if lane.scored else [task.name for task in suite.tasks],
        off=suite.off,
        metrics=_metrics(suite, samples) if lane.scored else {},
        notes=_notes(suite, samples) if lane.scored else {},
        latency=latency,
        cost=summary.cost(samples, tokens),
        environment=dict(around.environment),
        seed=entry.options.seed,
        images=len(samples),
        checksum=checksum(samples),
        started=lane.folder.started,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        signature=signature_hash(signature),
        random_weights=entry.options.random_weights,
        weights=entry.weights,
        mode=seen.mode,
        parameters=None if entry.network is None else sum(p.numel() for p in entry.network.parameters()),
        work=summary.work(samples, around.rates),
        machine=machine,
        processes=around.processes,
        interleaved=list(around.lanes),
        warnings=doubts(
            latency=latency,
            machine=machine,
            mode=seen.mode,
            environment=around.environment,
            minimum=around.minimum,
            least=around.least,
        )
        if around.timed
        else unfinished(around.minimum),
    )


def _latency(
    entry: Entry, seen: Seen, samples: Sequence[Sample], around: Circumstances, tokens: Mapping[str, int]
) -> Latency:
    return summary.latency(
        samples,
        batch=entry.options.batch or 1,
        scenario=str(entry.options.scenario) if around.timed else "untimed",
        tokens=tokens,
        after=_needed(entry.suite),
        warm_up=seen.warm_up,
        ended=around.ended,
    )


def _machine(seen: Seen, samples: Sequence[Sample], around: Circumstances) -> Machine:
    return summary.machine(
        samples,
        fingerprint=around.fingerprint,
        rates=around.rates,
        load_average=load_average(),
        peak_rss_mib=seen.peak_rss_mib,
        energy=seen.energy,
    )


def _needed(suite: Suite) -> dict[str, list[str]]:
    """Task to all tasks that must run before it; tasks stand behind those they need."""
    found: dict[str, list[str]] = {}
    for task in suite.tasks:
        found[task.name] = list(dict.fromkeys(name for own in task.after for name in [*found.get(own, []), own]))
    return found


def _metrics(suite: Suite, samples: Sequence[Sample]) -> dict[str, dict[str, float | None]]:
    found = {}
    for task, metric in suite.metrics.items():
        kept = {s.image_id: s.predictions[task] for s in samples if task in s.predictions}
        found[task] = metric.summarize(kept)
    return found


def _notes(suite: Suite, samples: Sequence[Sample]) -> dict[str, dict[str, str]]:
    notes = {}
    for name, metric in suite.metrics.items():
        cut = sum(sample.cut.get(name, 0) for sample in samples)
        found = metric.notes() | (
            {"cut": f"{cut} annotations do not fit its sequences, for any decoder"} if cut else {}
        )
        if codes := _codes_note(name, suite):
            found |= {"format": codes}
        if found:
            notes[name] = found
    return notes


def _codes_note(task: str, suite: Suite) -> str | None:
    if suite.formats.get("formats", {}).get(task) != CODES:
        return None
    return f"codes of codec {suite.formats['codecs'][CODECS[task]]['hash']}"


@dataclass(frozen=True)
class Seen:
    """What one process saw, or all of them together.

    Args:
        mode: how the network was executed.
        warm_up: what ran before; None where nothing was left to measure.
        energy: joules per image and the seconds that they were counted over.
        peak_rss_mib: most memory of a process.
    """

    mode: Mode
    warm_up: WarmUp | None
    energy: tuple[float | None, float]
    peak_rss_mib: float | None


def seen(lane: Lane) -> Seen:
    """What this process saw of a decoder."""
    return Seen(lane.told, lane.warm, lane.energy, peak_rss_mib())


def together(own: Sequence[Seen]) -> Seen:
    """Longest preparation and highest memory, counts in sum, means over the images' joules; stable if all were."""
    modes, warm = [one.mode for one in own], [one.warm_up for one in own if one.warm_up is not None]
    joules = [one.energy for one in own if one.energy[0] is not None]
    return Seen(
        mode=msgspec.structs.replace(
            modes[0],
            prepare_ms=max(mode.prepare_ms for mode in modes),
            prepared=max(mode.prepared for mode in modes),
            checked_images=sum(mode.checked_images for mode in modes),
            checked_tokens=sum(mode.checked_tokens for mode in modes),
            different_tokens=sum(mode.different_tokens for mode in modes),
            remarks=list(dict.fromkeys(remark for mode in modes for remark in mode.remarks)),
        ),
        warm_up=WarmUp(
            images=sum(one.images for one in warm),
            seconds=max(one.seconds for one in warm),
            stable=all(one.stable for one in warm),
        )
        if warm
        else None,
        energy=(sum(one or 0.0 for one, _ in joules) / len(joules), min(time for _, time in joules))
        if joules
        else (None, 0.0),
        peak_rss_mib=max((one.peak_rss_mib for one in own if one.peak_rss_mib is not None), default=None),
    )
