"""Differences of runs with intervals, pair by pair."""

from __future__ import annotations

import msgspec

SCHEMA = "decoder-bench/comparison/1"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of two runs.

    Args:
        task: task.
        metric: metric.
        first: value of the first run; null where it has none.
        second: value of the second run.
        difference: second minus first.
        low: lower end of the 95 % interval of the difference; null where the metric could not be resampled.
        high: upper end.
        p: two-sided, by bootstrap.
        adjusted: p after Holm's correction over everything that the comparison tests.
        detectable: smallest difference that would be found with probability 0.8.
        note: why there is no interval.
    """

    task: str
    metric: str
    first: float | None
    second: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted: float | None = None
    detectable: float | None = None
    note: str | None = None


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Time of two runs on the same images.

    Args:
        phase: ``total``, ``decode`` (all tasks' decoding together) or a phase of the record.
        first_ms: mean milliseconds per image of the first run.
        second_ms: of the second run.
        ratio: how many times as long the second takes (Hodges-Lehmann over blocks of images).
        low: lower end of the 95 % interval; null with fewer than 6 blocks.
        high: upper end.
        p: two-sided, by paired permutation.
        adjusted: p after Holm's correction.
        detectable: smallest relative change that would be found with probability 0.8; null for a single block.
        blocks: blocks of consecutive images.
    """

    phase: str
    first_ms: float
    second_ms: float
    ratio: float
    low: float | None
    high: float | None
    p: float
    adjusted: float | None = None
    detectable: float | None
    blocks: int


class RunPair(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs.

    Args:
        first: label of the first run.
        second: label of the second run.
        metrics: every metric compared.
        times: every phase compared; empty where time is not comparable.
        remarks: why time is not compared, or what may have disturbed it.
        doubtful: whether a record names a reason to mistrust its times.
        sentence: the pair in one sentence.
    """

    first: str
    second: str
    metrics: list[Change]
    times: list[Speed]
    remarks: list[str]
    doubtful: bool = False
    sentence: str = ""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Runs compared pair by pair.

    Args:
        schema: name and version of this format.
        runs: label to what ran: decoder, preset, commit, machine.
        data: content hash of the data that all runs share.
        images: images that all runs share.
        resamples: bootstrap resamples.
        seed: seed of resamples and permutations.
        pairs: every pair.
    """

    schema: str = SCHEMA
    runs: dict[str, dict[str, str | None]]
    data: str
    images: int
    resamples: int
    seed: int
    pairs: list[RunPair]
