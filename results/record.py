"""The record of a run: one JSON file that says what ran, on what, where, how accurate and how fast it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from results.measurements import SAMPLES_FOR, Cost, Gpu, Latency, Machine, Mode, Passes, PeakRates, Timing, WarmUp, Work

__all__ = [
    "READABLE", "SAMPLES_FOR", "SCHEMA", "Cost", "Gpu", "Key", "Latency", "Machine", "Mode", "Passes", "PeakRates",
    "Record", "Sample", "Timing", "WarmUp", "Work", "disturbances", "json_schema",
]  # fmt: skip

SCHEMA = "decoder-bench/record/2"
READABLE = (SCHEMA, "decoder-bench/record/1")  # fields that came later have defaults

DISTURBANCES = (
    "the machine was busy", "the process had its core", "times had not settled", "other processes were on the GPU",
    "the GPU slowed its clocks",
)  # fmt: skip
"""How warnings begin whose cause was in the machine, not in what was measured."""

Key = int | tuple[int, int]  # an image's id; with the number of the repetition, if it is one


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known of one decoder's run.

    Args:
        schema: name and version of this format.
        decoder: strategy.
        preset: preset that the options started from.
        options: every option as used.
        data: roots' names, split, counts, what is absent, content hash, caption tokenizer.
        tasks: tasks that ran, in order.
        off: tasks that did not run, each with the reason.
        metrics: task to metric to value: fractions in [0, 1], meters for depth; null where it is not defined.
        notes: task to remarks on how its values came about.
        latency: wall-clock time.
        cost: task to mean work per image.
        environment: machine, threads, versions, git commit.
        seed: seed of every random choice.
        images: images evaluated.
        checksum: SHA-256 over the scored predictions, which are those that were timed.
        started: UTC time of the first sitting, ISO 8601.
        finished: UTC time at which the record was written.
        signature: hash of all that decides the predictions; runs with the same one give the same predictions.
        random_weights: whether the weights are random, so that only times mean anything.
        weights: name to hash of the files of weights that the decoder ran with; empty without any, and in records
            before 2026-11-20.
        missing: tensors that the imported checkpoint behind the weights lacks, which are random.
        mode: how the network was executed.
        parameters: of the network; null without one.
        work: ``backbone``, ``encoder`` and ``decode.<task>`` to what the network computed there.
        machine: where and under what load.
        processes: processes that shared the images.
        interleaved: decoders that took turns with this one, image by image, in their order; this one included.
        warnings: what makes the times doubtful.
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
    signature: str = ""
    random_weights: bool = False
    weights: dict[str, str] = {}
    missing: list[str] = []
    mode: Mode = Mode()
    parameters: int | None = None
    work: dict[str, Work] = {}
    machine: Machine | None = None
    processes: int = 1
    interleaved: list[str] = []
    warnings: list[str] = []


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
        process_ms: phase to milliseconds of CPU time.
        passes: ``decode.<task>.<kind>`` to how many passes and their milliseconds together.
        computed: phase to (floating-point operations, bytes), shared equally among the images of a batch.
        tokens: task to hash of its tokens, by which modes are compared.
        other_cores: cores that other processes kept busy lately.
        gpu: state of the GPU, where it was sampled just before.
        allocated_mib: most memory on the GPU while it was decoded.
        reserved_mib: most memory that torch held there.
        rank: process that decoded it, where several share the images.
        repeat: 0 for the first time that the image was decoded; only times are measured again.
        batch: number of the batch in which it was decoded, counted by its process; null in older lines.
        source: size and time of change of the files that it was read from, and a hash of their bytes.
    """

    image_id: int
    file: str
    predictions: dict[str, Any]
    milliseconds: dict[str, float]
    work: dict[str, tuple[int, int, int]]
    cut: dict[str, int] = {}
    sitting: int = 1
    process_ms: dict[str, float] = {}
    passes: dict[str, tuple[int, float]] = {}
    computed: dict[str, tuple[float, float]] = {}
    tokens: dict[str, str] = {}
    other_cores: float | None = None
    gpu: dict[str, Any] | None = None
    allocated_mib: float | None = None
    reserved_mib: float | None = None
    rank: int = 0
    repeat: int = 0
    batch: int | None = None
    source: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if "total" not in self.milliseconds:
            raise ValueError(f"image {self.image_id} has no milliseconds of phase 'total'")
        if min(self.milliseconds.values()) < 0 or min(self.sitting, self.rank, self.repeat) < 0:
            raise ValueError(f"image {self.image_id} has a time or a number below 0")

    @property
    def measurement(self) -> tuple[int, ...]:
        """Equal for the images that were decoded together, whose times are shares of one measurement."""
        if self.batch is None:
            return (self.image_id, self.repeat)
        return (self.sitting, self.rank, self.batch)

    @property
    def key(self) -> Key:
        """What names the line within its run."""
        return (self.image_id, self.repeat) if self.repeat else self.image_id


def disturbances(warnings: Sequence[str]) -> list[str]:
    """Return the warnings that tell of a disturbed machine."""
    return [text for text in warnings if text.startswith(DISTURBANCES)]


def json_schema() -> dict[str, Any]:
    """JSON Schema of ``record.json``."""
    return msgspec.json.schema(Record)
