"""Summarize the samples of a run's images: times, work and machine."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

from bench.system.host import BUSY_CORES
from results.record import SAMPLES_FOR, Cost, Gpu, Latency, Machine, Passes, PeakRates, Sample, Timing, WarmUp, Work

HARNESS = ("score", "loop")  # phases of neither data nor model


def timing(milliseconds: Sequence[float], measurements: Sequence[Hashable] | None = None) -> Timing:
    """Summarize one phase; percentiles are None where there are too few measurements.

    Args:
        milliseconds: of each image.
        measurements: equal for images whose times are shares of one measurement; default: all differ.
    """
    shares: dict[Hashable, list[float]] = {}
    for number, value in enumerate(milliseconds):
        shares.setdefault(number if measurements is None else measurements[number], []).append(value)
    ordered = sorted(mean(values) for values in shares.values())
    count, images = len(ordered), len(milliseconds)

    def percentile(p: int) -> float | None:
        return ordered[min(count - 1, -(-count * p // 100) - 1)] if count >= SAMPLES_FOR[p] else None

    return Timing(
        n=images,
        mean_ms=sum(milliseconds) / images,
        min_ms=min(milliseconds),
        max_ms=max(milliseconds),
        p50_ms=percentile(50),
        p90_ms=percentile(90),
        p95_ms=percentile(95),
        p99_ms=percentile(99),
        batches=None if count == images else count,
    )


def latency(
    samples: Sequence[Sample],
    *,
    batch: int,
    scenario: str,
    tokens: Mapping[str, int],
    after: Mapping[str, Sequence[str]],
    warm_up: WarmUp | None = None,
    ended: str = "data",
) -> Latency:
    """Return the times of a run.

    Args:
        samples: of its images.
        batch: images decoded together.
        scenario: as in the record.
        tokens: task to the target tokens of a sequence.
        after: every task that ran to the tasks whose predictions it needs.
        warm_up: what ran before.
        ended: why measuring stopped.
    """
    phases = _columns(sample.milliseconds for sample in samples)
    total = phases.pop("total")
    ranks = _by_rank(samples)
    return Latency(
        total=timing(total, _measurements(samples, "total")),
        phases={name: timing(values, _measurements(samples, name)) for name, values in phases.items()},
        batch=batch,
        sittings=len({sample.sitting for sample in samples}),
        scenario=scenario,
        alone=_alone(samples, after),
        passes=_passes(samples),
        process_ms={name: mean(values) for name, values in _columns(s.process_ms for s in samples).items()},
        images_per_second=1000 * len(total) / sum(total) if sum(total) else None,
        tokens_per_second=_tokens_per_second(samples, tokens),
        harness_share=_harness(phases) / mean(total) if sum(total) else None,
        warm_up=warm_up,
        ended=ended,
        ranks=ranks if len(ranks) > 1 else {},
    )


def cost(samples: Sequence[Sample], tokens: Mapping[str, int]) -> dict[str, Cost]:
    """Return the mean work per image of each task; ``tokens`` has the target tokens of its sequences."""
    costs = {}
    for task, length in tokens.items():
        rows = [sample.work[task] for sample in samples if task in sample.work]
        if rows:
            evaluations, positions, sequences = (mean(column) for column in zip(*rows, strict=True))
            costs[task] = Cost(
                evaluations=evaluations, positions=positions, sequences=sequences, tokens=sequences * length
            )
    return costs


def work(samples: Sequence[Sample], rates: PeakRates | None) -> dict[str, Work]:
    """Return what the network computed in each phase, and its share of the machine's peak rates."""
    computed = {}
    for phase in dict.fromkeys(name for sample in samples for name in sample.computed):
        rows = [sample for sample in samples if phase in sample.computed]
        operations, read = (mean(column) for column in zip(*(s.computed[phase] for s in rows), strict=True))
        seconds = mean([s.milliseconds[phase] for s in rows]) / 1000
        shares: dict[str, float | None] = {"matmul_share": None, "bandwidth_share": None}
        if rates is not None and seconds:
            shares["matmul_share"] = operations / seconds / (rates.matmul_gflops * 1e9)
            shares["bandwidth_share"] = read / seconds / (rates.bandwidth_gb * 1e9)
        computed[phase] = Work(gflops=operations / 1e9, megabytes=read / 1e6, **shares)
    return computed


def machine(
    samples: Sequence[Sample],
    *,
    fingerprint: str,
    rates: PeakRates | None = None,
    load_average: float | None = None,
    peak_rss_mib: float | None = None,
    energy: tuple[float | None, float] = (None, 0.0),
) -> Machine:
    """Return the state of the machine while the images were measured, in all sessions.

    Args:
        samples: of the images.
        fingerprint: of the hardware.
        rates: peak rates.
        load_average: at the end.
        peak_rss_mib: of the process, at the end.
        energy: joules per image and the seconds that they were counted over.
    """
    others = [s.other_cores for s in samples if s.other_cores is not None]
    return Machine(
        fingerprint=fingerprint,
        rates=rates,
        other_cores=mean(others) if others else None,
        other_cores_most=max(others, default=None),
        load_average=load_average,
        busy=bool(others) and mean(others) > BUSY_CORES,
        peak_rss_mib=peak_rss_mib,
        allocated_mib=max((s.allocated_mib for s in samples if s.allocated_mib is not None), default=None),
        reserved_mib=max((s.reserved_mib for s in samples if s.reserved_mib is not None), default=None),
        gpu=_gpu([s.gpu for s in samples if s.gpu is not None], energy),
    )


def mean(values: Iterable[float]) -> float:
    """Return the mean of at least one value."""
    numbers = list(values)
    return sum(numbers) / len(numbers)


def _columns(rows: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def _measurements(samples: Sequence[Sample], phase: str) -> list[Hashable]:
    """Return the key of the measurement that each value of a phase is a share of."""
    return [sample.measurement for sample in samples if phase in sample.milliseconds]


def _harness(phases: Mapping[str, Sequence[float]]) -> float:
    """Return the mean per image; the first sample of a session has no ``loop``, as no turn precedes it."""
    return sum(mean(phases[name]) for name in HARNESS if name in phases)


def _by_rank(samples: Sequence[Sample]) -> dict[str, float]:
    ranks = sorted({sample.rank for sample in samples})
    return {str(rank): mean([s.milliseconds["total"] for s in samples if s.rank == rank]) for rank in ranks}


def _alone(samples: Sequence[Sample], after: Mapping[str, Sequence[str]]) -> dict[str, Timing]:
    """Return each task's time on the images that have it: shared phases, the tasks that it needs, and itself."""
    times = {}
    for task, needed in after.items():
        rows = [s.milliseconds for s in samples if f"decode.{task}" in s.milliseconds]
        parts = ["preprocess", "backbone", "encoder"]
        parts += [f"{kind}.{name}" for name in (*needed, task) for kind in ("decode", "interpret")]
        if rows:
            alone = [sum(row.get(part, 0.0) for part in parts) for row in rows]
            times[task] = timing(alone, _measurements(samples, f"decode.{task}"))
    return times


def _tokens_per_second(samples: Sequence[Sample], tokens: Mapping[str, int]) -> dict[str, float]:
    rates = {}
    for task, length in tokens.items():
        rows = [s for s in samples if task in s.work]
        seconds = sum(s.milliseconds[f"decode.{task}"] for s in rows) / 1000
        if seconds:
            rates[task] = sum(s.work[task][2] for s in rows) * length / seconds
    return rates


def _passes(samples: Sequence[Sample]) -> dict[str, Passes]:
    passes = {}
    for name in dict.fromkeys(name for sample in samples for name in sample.passes):
        phase = name.rpartition(".")[0]
        images = sum(phase in sample.milliseconds for sample in samples)
        counts, spent = zip(*(s.passes[name] for s in samples if name in s.passes), strict=True)
        passes[name] = Passes(per_image=sum(counts) / images, mean_ms=sum(spent) / sum(counts))
    return passes


def _gpu(states: Sequence[Mapping[str, object]], energy: tuple[float | None, float]) -> Gpu | None:
    if not states and energy[0] is None:
        return None

    def spread(name: str) -> tuple[float, float, float] | None:
        values = [value for state in states if isinstance(value := state.get(name), (int, float))]
        return (min(values), mean(values), max(values)) if values else None

    def named(name: str) -> list[str]:
        return [each for state in states if isinstance(values := state.get(name), list) for each in values]

    reasons = named("throttled")
    return Gpu(
        samples=len(states),
        sm_mhz=spread("sm_mhz"),
        memory_mhz=spread("memory_mhz"),
        celsius=spread("celsius"),
        throttled={reason: reasons.count(reason) / len(states) for reason in dict.fromkeys(reasons)},
        foreign=sorted(set(named("foreign"))),
        hidden=any(state.get("hidden") for state in states),
        joules_per_image=energy[0],
        energy_seconds=energy[1],
    )
