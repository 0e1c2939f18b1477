"""What a run measures beside accuracy: times, work and the machine; the parts of a record."""

from __future__ import annotations

import msgspec

# Fewest samples for a percentile: below them a quantile claim does not hold at 99 % (MLPerf's early-stopping bound).
SAMPLES_FOR = {50: 7, 90: 44, 95: 90, 99: 459}


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds per image of one phase. A percentile is null where there are too few measurements for it.

    Images that were decoded together share one measurement, so percentiles are over batches.

    Args:
        n: images measured.
        mean_ms: mean.
        min_ms: smallest.
        max_ms: largest.
        p50_ms: median; needs 7 measurements.
        p90_ms: needs 44 measurements.
        p95_ms: needs 90 measurements.
        p99_ms: needs 459 measurements.
        batches: in which the images were decoded; null where each was a measurement of its own.
    """

    n: int
    mean_ms: float
    min_ms: float
    max_ms: float
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    batches: int | None = None


class Passes(msgspec.Struct, frozen=True, kw_only=True):
    """The passes of the network inside ``decode.<task>``, from the start of each to the start of the next.

    Args:
        per_image: passes of this kind that an image took, mean.
        mean_ms: milliseconds of one of them, shared equally among the images of a batch.
    """

    per_image: float
    mean_ms: float


class WarmUp(msgspec.Struct, frozen=True, kw_only=True):
    """What ran before anything was measured.

    Args:
        images: images decoded, their times thrown away.
        seconds: how long that took.
        stable: whether the last times agreed; if not, the warm-up's limit ended it.
    """

    images: int
    seconds: float
    stable: bool


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Wall-clock time. ``total`` runs from decoded pixels to predictions; reading files is apart.

    Args:
        total: from the first phase to the last, by its own clock: preprocess, backbone, encoder, every task's decode
            and interpret, and what lies between them. Before 2026-12-01 it was their sum.
        phases: ``preprocess``, ``backbone``, ``encoder``, ``decode.<task>`` and ``interpret.<task>``; and, not in the
            total, ``read`` (files and annotations), ``score`` (what the metrics keep of an image), ``loop`` (all else
            of a turn: lines, looks at the machine, progress, gaps between phases; told by the line of the next turn)
            and ``calibration`` (a fixed piece of work before a batch, where it was asked for). Records before
            2026-11-20 have ``keep`` in place of ``loop``: writing lines alone.
        batch: images decoded together; a batch's time is shared equally among its images.
        sittings: processes that measured parts of this run (more than 1 when it was interrupted and resumed).
        scenario: ``latency`` (batch 1), ``throughput``, ``stream``, or ``untimed`` where only accuracy was asked for.
        alone: task to the time that it takes alone: the image's encoding, its own phases, and those of the tasks whose
            predictions it needs.
        passes: ``decode.<task>.prefill``, ``.step`` (causal) and ``.round`` (all positions).
        process_ms: phase to mean milliseconds of CPU time per image, all threads together; ``total`` has its own clock.
        images_per_second: of the measured phases.
        tokens_per_second: task to target tokens per second of its decoding.
        harness_share: ``score`` and ``loop`` per time in the total: everything but data, yardstick and model.
        warm_up: of the last sitting.
        ended: why measuring stopped: ``data`` (every image once), ``enough`` or ``budget``.
        ranks: process to its mean total, where several measured at the same time.
    """

    total: Timing
    phases: dict[str, Timing]
    batch: int
    sittings: int
    scenario: str = "latency"
    alone: dict[str, Timing] = {}
    passes: dict[str, Passes] = {}
    process_ms: dict[str, float] = {}
    images_per_second: float | None = None
    tokens_per_second: dict[str, float] = {}
    harness_share: float | None = None
    warm_up: WarmUp | None = None
    ended: str = "data"
    ranks: dict[str, float] = {}


class Mode(msgspec.Struct, frozen=True, kw_only=True):
    """How the network was executed.

    Args:
        name: ``eager``, ``compiled`` (torch.compile) or ``graphed`` (CUDA graphs).
        prepare_ms: compiling or capturing, which is in no other time.
        prepared: how many graphs were compiled or captured.
        checked_images: images decoded in eager mode too.
        checked_tokens: tokens compared on them.
        different_tokens: those that differed.
        remarks: what ran eagerly all the same, and why.
        compared_images: images that the same run decoded in eager mode too, of which all tokens were compared.
        different_images: those of them with another token.
    """

    name: str = "eager"
    prepare_ms: float = 0.0
    prepared: int = 0
    checked_images: int = 0
    checked_tokens: int = 0
    different_tokens: int = 0
    remarks: list[str] = []
    compared_images: int = 0
    different_images: int = 0


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Mean work per image of one task: network evaluations and the positions that they computed.

    Args:
        evaluations: passes of the network.
        positions: positions that they computed, prompts included.
        sequences: sequences filled.
        tokens: target tokens filled.
    """

    evaluations: float
    positions: float
    sequences: float
    tokens: float | None = None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """Mean work of the network in one phase, per image.

    Args:
        gflops: 1e9 floating-point operations, a multiply-add counted as two.
        megabytes: 1e6 bytes that every pass must read at least: weights, memory and cache, each once.
        matmul_share: operations per second as a share of the machine's measured rate.
        bandwidth_share: bytes per second as a share of the machine's measured rate.
    """

    gflops: float
    megabytes: float
    matmul_share: float | None = None
    bandwidth_share: float | None = None


class PeakRates(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine can do with the run's threads and precision, measured.

    Args:
        matmul_gflops: 1e9 operations per second of a large matrix product.
        bandwidth_gb: 1e9 bytes per second, read and written, of copying more than the caches hold.
    """

    matmul_gflops: float
    bandwidth_gb: float


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """The GPU while it was measured, sampled about once a second between images.

    Args:
        samples: how many.
        sm_mhz: lowest, mean and highest clock of the processors.
        memory_mhz: lowest, mean and highest clock of the memory.
        celsius: lowest, mean and highest temperature.
        throttled: reason to share of the samples in which it slowed the clocks.
        foreign: names of other processes on it.
        hidden: whether the driver showed not even the run's own process, so that ``foreign`` says nothing.
        joules_per_image: from the energy counter, over ``energy_seconds`` of uninterrupted decoding.
        energy_seconds: 0 where there is no counter.
    """

    samples: int
    sm_mhz: tuple[float, float, float] | None = None
    memory_mhz: tuple[float, float, float] | None = None
    celsius: tuple[float, float, float] | None = None
    throttled: dict[str, float] = {}
    foreign: list[str] = []
    hidden: bool = False
    joules_per_image: float | None = None
    energy_seconds: float = 0.0


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine while it was measured.

    Args:
        fingerprint: of the hardware; times of others must not be compared as they are.
        rates: what it can do; null where they were not asked for.
        other_cores: cores that other processes kept busy: mean over the images.
        other_cores_most: the same, highest.
        load_average: of one minute, at the end.
        busy: whether other work disturbed the times; ``warnings`` of the record say how.
        peak_rss_mib: most memory of the process, everything in it.
        allocated_mib: most memory on the GPU: the decoder's network and what one batch adds.
        reserved_mib: most memory that torch held on the GPU, other decoders of the run included.
        gpu: the GPU, if one computed.
    """

    fingerprint: str
    rates: PeakRates | None = None
    other_cores: float | None = None
    other_cores_most: float | None = None
    load_average: float | None = None
    busy: bool = False
    peak_rss_mib: float | None = None
    allocated_mib: float | None = None
    reserved_mib: float | None = None
    gpu: Gpu | None = None
