"""One decoder while it is measured: its batches, its clock, its samples."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.data.dataset import Dataset
from bench.data.sources import Source, source
from bench.inference.execution_modes import Agreement, add_preparation_ms, agreement, captured_graphs
from bench.inference.flops import FlopCounter
from bench.inference.pipeline import Pipeline, PipelineInput, PipelineOutput
from bench.inference.windowed_pipeline import WindowedPipeline
from bench.run.stopping import WarmUpRule, warm_up
from bench.system.gpu import GpuWatch
from bench.system.host import HostLoad
from results.record import Key, Mode, Sample, WarmUp
from results.store import RunFolder
from tasks.base import Task

COMPARED_BATCHES = 2  # whose tokens are compared with eager mode's
ATTEMPTS = 3  # at a batch during which something is compiled
ENERGY_SECONDS = 2.0  # the energy counter is too coarse for less


class LoadedImage(NamedTuple):
    """An image and its annotations.

    Args:
        file: name of its file.
        input: of the pipeline.
        cut: task to the number of annotations that do not fit its sequences, where there are any.
        milliseconds: of reading them and counting those that are cut.
        source: what it was read from; None without files.
    """

    file: str
    input: PipelineInput
    cut: dict[str, int]
    milliseconds: float
    source: Source | None


Reader = Callable[[Any], LoadedImage]


def sample_reader(dataset: Any, tasks: Sequence[Task]) -> Reader:
    """Return a function that reads a sample of a data set for these tasks."""

    def read(sample: Any) -> LoadedImage:
        start = time.perf_counter()
        origin = source(dataset, sample) if isinstance(dataset, Dataset) else None
        image = PipelineInput(image_id=sample.image_id, image=dataset.image(sample), targets=dataset.targets(sample))
        cut = {task.name: count for task in tasks if (count := task.unreachable(image.targets))}
        return LoadedImage(sample.file_name, image, cut, (time.perf_counter() - start) * 1000, origin)

    return read


@dataclass
class Monitors:
    """What is read between batches.

    Args:
        host: load of other processes; None where nothing is timed.
        gpu: the GPU; None without one, or without its library.
        calibration: does a fixed piece of work and returns its milliseconds; None where it is not asked for.
    """

    host: HostLoad | None = None
    gpu: GpuWatch | None = None
    calibration: Callable[[], float] | None = None

    def read(self, decoder: str) -> dict[str, Any]:
        """Return fields of ``Sample`` for a decoder that has just computed."""
        readings: dict[str, Any] = {}
        if self.host is not None:
            readings["other_cores"] = self.host.others()
        if self.gpu is not None:
            readings["gpu"] = self.gpu.sample(decoder)
        return readings


@dataclass
class DecoderRun:
    """A decoder with its batches; it takes turns with others (``bench/run/interleaving.py``).

    Args:
        name: of the folder.
        metrics: task to metric, of the tasks whose predictions are kept.
        pipeline: as it is measured.
        batches: of this process, in order.
        read: reads a sample.
        folder: of its samples.
        endless: repeat the batches, for their times alone.
        monitors: read between batches.
        counter: counts the network's work; None without a network, or where nothing is timed.
        eager: the same decoder in eager mode, where ``pipeline`` is not.
        mode: name of the mode.
    """

    name: str
    metrics: Mapping[str, Any]
    pipeline: Pipeline | WindowedPipeline
    batches: Sequence[Sequence[Any]]
    read: Reader
    folder: RunFolder
    endless: bool = False
    monitors: Monitors = field(default_factory=Monitors)
    counter: FlopCounter | None = None
    eager: Pipeline | WindowedPipeline | None = None
    mode: str = "eager"

    def __post_init__(self) -> None:
        samples = self._own_samples()
        self.images = len(samples)
        self.seconds = sum(sample.milliseconds["total"] for sample in samples) / 1000
        self.failed: str | None = None  # why it was given up
        self.warm: WarmUp | None = None
        self.energy: tuple[float | None, float] = (None, 0.0)
        self._agreement = Agreement(0, 0)
        self._compared_images = 0
        self._next = 0
        self._phase_ms = 0.0  # milliseconds of this turn that belong to a phase
        self._overhead_ms: float | None = None  # those of the previous turn that belong to none
        self._allocated = 0  # bytes on the GPU before a batch
        self._graph_bytes = 0  # that recorded graphs hold, which no statistics of a batch show
        self._skip()

    @property
    def unfinished(self) -> bool:
        """Whether there is more to decode."""
        if self.failed:
            return False
        return bool(self.batches) if self.endless else self._next < len(self.batches)

    @property
    def mode_record(self) -> Mode:
        """The mode as the record has it."""
        network = self.pipeline.network if self.eager is not None else None
        return Mode(
            name=self.mode,
            prepare_ms=getattr(network, "prepare_ms", 0.0),
            prepared=captured_graphs(network),
            checked_images=self._compared_images,
            checked_tokens=self._agreement.tokens,
            different_tokens=self._agreement.different,
            remarks=list(getattr(network, "remarks", [])),
        )

    def prepare(self, rule: WarmUpRule) -> None:
        """Compile or record, compare with eager mode, warm up, and measure energy; no sample is written."""
        if not self.unfinished:
            return
        start, reserved = time.perf_counter(), reserved_bytes(self.pipeline.device)
        self._compare()
        inputs = self._inputs(0)
        times, stable = warm_up(lambda: self._warm(inputs), rule)
        self.warm = WarmUp(images=len(times) * len(inputs), seconds=time.perf_counter() - start, stable=stable)
        if self.mode == "graphed":
            self._graph_bytes = max(0, reserved_bytes(self.pipeline.device) - reserved)
        if self.monitors.gpu is not None:
            self.energy = self._joules(inputs, self.monitors.gpu)

    def step(self) -> None:
        """Decode the next batch and append its samples to the folder."""
        samples, repeat = self._batch(0)
        images = [self._read(sample) for sample in samples]
        calibrated = self.monitors.calibration() if self.monitors.calibration else 0.0
        outputs = self._predict([image.input for image in images])
        shared = self.monitors.read(self.name) | self._shared(outputs[0])
        loop, self._overhead_ms = self._overhead_ms, None
        self._phase_ms += calibrated
        for image, output in zip(images, outputs, strict=True):
            start = time.perf_counter()
            predictions = self._observed(image.input, output)
            score = (time.perf_counter() - start) * 1000
            self._phase_ms += score + output.times.wall["total"]
            sample = self._sample(image, output, repeat, {**shared, "predictions": predictions})
            shared["gpu"] = None  # a GPU reading belongs to one sample
            if sample.key in self.folder.samples:
                continue  # the batch was interrupted between two of its images
            sample.milliseconds["score"] = score
            if loop is not None:
                sample.milliseconds["loop"] = loop / len(images)
            if calibrated:
                sample.milliseconds["calibration"] = calibrated
            self.folder.append(sample)
            self.images, self.seconds = self.images + 1, self.seconds + sample.milliseconds["total"] / 1000
        self._next += 1
        self._skip()

    def end_turn(self, milliseconds: float) -> None:
        """End a turn: time that belongs to no phase is the harness's, and the next sample has it as ``loop``."""
        self._overhead_ms, self._phase_ms = max(0.0, milliseconds - self._phase_ms), 0.0

    def _own_samples(self) -> list[Sample]:
        """Samples of earlier sessions: this process's where batches repeat, else those of its batches."""
        if self.endless:
            return [sample for sample in self.folder.samples.values() if sample.rank == self.folder.rank]
        images = {sample.image_id for batch in self.batches for sample in batch}
        return [sample for key, sample in self.folder.samples.items() if key in images]

    def _read(self, sample: Any) -> LoadedImage:
        """Read an image; if another decoder has read it already, that takes no time of this turn."""
        start = time.perf_counter()
        image = self.read(sample)
        self._phase_ms += min(image.milliseconds, (time.perf_counter() - start) * 1000)
        return image

    def _warm(self, inputs: Sequence[PipelineInput]) -> float:
        """Decode a batch and return its milliseconds; work that is counted once a shape is counted here."""
        output = self._predict(inputs)[0]
        self._shared(output)
        return output.times.wall["total"]

    def _batch(self, ahead: int) -> tuple[Sequence[Any], int]:
        """Return the samples of a later batch, and how often they were decoded before."""
        repeat, number = divmod(self._next + ahead, len(self.batches))
        return self.batches[number], repeat

    def _inputs(self, ahead: int) -> list[PipelineInput]:
        return [self.read(sample).input for sample in self._batch(ahead)[0]]

    def _skip(self) -> None:
        """Go on to the first batch with an image that has no sample yet."""
        while self.unfinished and all(key in self.folder.samples for key in self._keys()):
            self._next += 1

    def _keys(self) -> list[Key]:
        samples, repeat = self._batch(0)
        return [(sample.image_id, repeat) if repeat else sample.image_id for sample in samples]

    def _predict(self, inputs: Sequence[PipelineInput]) -> list[PipelineOutput]:
        """Decode a batch, again if something was compiled or recorded during it."""
        network, outputs = self.pipeline.network, []
        for _ in range(ATTEMPTS):
            before, start = captured_graphs(network), time.perf_counter()
            self._allocated = allocated_bytes(self.pipeline.device)
            outputs = self.pipeline.predict(inputs)
            if captured_graphs(network) == before:
                break
            self._phase_ms += (time.perf_counter() - start) * 1000  # part of ``prepare_ms``
            add_preparation_ms(network, outputs[0].times.wall["total"] * len(inputs))
        return outputs

    def _compare(self) -> None:
        if self.eager is None:
            return
        most = 1 if self.endless and len(self.batches) == 1 else COMPARED_BATCHES
        for ahead in range(min(most, len(self.batches) - (0 if self.endless else self._next))):
            inputs = self._inputs(ahead)
            expected, tokens = ([o.tokens for o in predict(inputs)] for predict in (self.eager.predict, self._predict))
            batch = agreement(expected, tokens)
            total = self._agreement
            self._agreement = Agreement(total.tokens + batch.tokens, total.different + batch.different)
            self._compared_images += len(inputs)

    def _joules(self, inputs: Sequence[PipelineInput], gpu: GpuWatch) -> tuple[float | None, float]:
        """Decode without a pause; return joules per image and the seconds that it took."""
        before, start, images = gpu.millijoules(), time.perf_counter(), 0
        if before is None:
            return None, 0.0
        while time.perf_counter() - start < ENERGY_SECONDS:
            self.pipeline.predict(inputs)
            images += len(inputs)
        spent, after = time.perf_counter() - start, gpu.millijoules()
        return (None if after is None else (after - before) / 1000 / images), spent

    def _shared(self, output: PipelineOutput) -> dict[str, Any]:
        """Fields of ``Sample`` that the images of a batch have in common."""
        shared: dict[str, Any] = {"sitting": self.folder.sitting, "rank": self.folder.rank}
        if self.counter is not None and output.calls is not None:
            shared["computed"] = self.counter.per_image(output.calls)
        before = self._allocated - self._graph_bytes
        return shared | peak_memory(self.pipeline.device, before, self.pipeline.network)

    def _observed(self, image: PipelineInput, output: PipelineOutput) -> dict[str, Any]:
        """What the metrics need of an image's predictions."""
        return {
            name: self.metrics[name].observe(image.image_id, prediction, image.targets)
            for name, prediction in output.predictions.items()
            if name in self.metrics
        }

    def _sample(self, image: LoadedImage, output: PipelineOutput, repeat: int, fields: Mapping[str, Any]) -> Sample:
        return Sample(
            image_id=image.input.image_id,
            file=image.file,
            milliseconds={"read": image.milliseconds} | output.times.wall,
            work=output.work,
            cut=image.cut,
            process_ms=output.times.process,
            passes=output.times.passes,
            tokens={task: token_hash(tokens) for task, tokens in output.tokens.items()},
            repeat=repeat,
            batch=self._next,
            source=image.source,
            **fields,
        )


def token_hash(tokens: Tensor) -> str:
    """Return 16 hexadecimal digits that identify tokens of any shape."""
    digest = hashlib.blake2b(repr(tuple(tokens.shape)).encode(), digest_size=8)
    digest.update(tokens.contiguous().numpy().tobytes())
    return digest.hexdigest()


def allocated_bytes(device: torch.device) -> int:
    """Return the bytes of torch's tensors on a GPU, from which the peak is counted; 0 for a CPU."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def reserved_bytes(device: torch.device) -> int:
    """Return the bytes that torch holds on a GPU and cannot give back; 0 for a CPU."""
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(device)


def peak_memory(device: torch.device, before: int, network: Any) -> dict[str, float]:
    """Return ``allocated_mib`` (weights and what a batch added) and ``reserved_mib`` (held by torch) of a GPU."""
    if device.type != "cuda":
        return {}
    weights = 0 if network is None else sum(p.numel() * p.element_size() for p in network.parameters())
    allocated = torch.cuda.max_memory_allocated(device) - before + weights
    return {"allocated_mib": allocated / 2**20, "reserved_mib": torch.cuda.max_memory_reserved(device) / 2**20}
