"""The record of a run: one JSON file that says what ran, on what, where, how accurate and how fast it was."""

from __future__ import annotations

from typing import Any

import msgspec

SCHEMA = "decoder-bench/record/1"

# Fewest samples for a percentile: below them a quantile claim does not hold at 99 % (MLPerf's early-stopping bound).
SAMPLES_FOR = {50: 7, 90: 44, 95: 90, 99: 459}


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds per image of one phase. A percentile is null where ``n`` is too small for it.

    Args:
        n: images measured.
        mean_ms: mean.
        min_ms: smallest.
        max_ms: largest.
        p50_ms: median; needs 7 images.
        p90_ms: needs 44 images.
        p95_ms: needs 90 images.
        p99_ms: needs 459 images.
    """

    n: int
    mean_ms: float
    min_ms: float
    max_ms: float
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Wall-clock time. ``total`` runs from decoded pixels to predictions; reading files is apart.

    Args:
        total: preprocess + backbone + encoder + every task's decode and interpret.
        phases: ``read`` (not in the total), ``preprocess``, ``backbone``, ``encoder``, ``decode.<task>`` and
            ``interpret.<task>``.
        batch: images decoded together; a batch's time is shared equally among its images.
        sittings: processes that measured parts of this run (more than 1 when it was interrupted and resumed).
    """

    total: Timing
    phases: dict[str, Timing]
    batch: int
    sittings: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Mean work per image of one task: network evaluations and the positions that they computed."""

    evaluations: float
    positions: float
    sequences: float


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known of one decoder's run.

    Args:
        schema: name and version of this format.
        decoder: strategy.
        preset: preset that the options started from.
        options: every option as used.
        data: roots' names, split, counts, what is absent, content hash, caption tokeniser.
        tasks: tasks that ran, in order.
        off: tasks that did not run, each with the reason.
        metrics: task to metric to value: fractions in [0, 1], metres for depth; null where it is not defined.
        notes: task to remarks on how its values came about.
        latency: wall-clock time.
        cost: task to mean work per image.
        environment: machine, threads, versions, git commit.
        seed: seed of every random choice.
        images: images evaluated.
        checksum: SHA-256 over the scored predictions, which are those that were timed.
        started: UTC time of the first sitting, ISO 8601.
        finished: UTC time at which the record was written.
    """

    schema: str = SCHEMA
    decoder: str
    preset: str
    options: dict[str, Any]
    data: dict[str, Any]
    tasks: list[str]
    off: dict[str, str]
    metrics: dict[str, dict[str, float | None]]
    notes: dict[str, dict[str, str]]
    latency: Latency
    cost: dict[str, Cost]
    environment: dict[str, Any]
    seed: int
    images: int
    checksum: str
    started: str
    finished: str


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``samples.jsonl``: what one image gave.

    Args:
        image_id: COCO image id; minus the line number for images that only NYUv2 lists.
        file: file name of the image.
        predictions: task to what its metric keeps of the prediction.
        milliseconds: phase to milliseconds.
        cut: task to annotated things that do not fit its sequences, where there are any.
        work: task to (network evaluations, positions, sequences).
        sitting: 1 for the first process of the run, 2 after one interruption, ...
    """

    image_id: int
    file: str
    predictions: dict[str, Any]
    milliseconds: dict[str, float]
    work: dict[str, tuple[int, int, int]]
    cut: dict[str, int] = {}
    sitting: int = 1


def json_schema() -> dict[str, Any]:
    """JSON Schema of ``record.json``."""
    return msgspec.json.schema(Record)
