"""One decoder of a run while it is measured: its batches, its clock, its lines. Several of them take turns."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.builders.suite import Suite
from bench.inference.execution_modes import Agreement, agreement, note_preparation, prepared
from bench.inference.flops import CostCounter
from bench.inference.pipeline import Item, Outcome, Pipeline
from bench.inference.windowed_pipeline import WindowedPipeline
from bench.run.stopping import WarmUpRule, warm_up
from bench.system.gpu import GpuWatch
from bench.system.host import HostLoad
from results.record import Key, Mode, Sample, WarmUp
from results.store import RunFolder
from tasks.base import Task

CHECKED = 2  # batches whose tokens are compared with eager mode's
AGAIN = 3  # times that a batch is decoded again at most, because something was compiled during it
ENERGY_SECONDS = 2.0  # the counter tells nothing about less


class Read(NamedTuple):
    """An image and its annotations.

    Args:
        file: name of its file.
        item: for the pipeline.
        cut: task to annotated things that do not fit its sequences, where there are any.
        milliseconds: of reading them and looking for what is cut.
    """

    file: str
    item: Item
    cut: dict[str, int]
    milliseconds: float


Reader = Callable[[Any], Read]


def reader(dataset: Any, tasks: Sequence[Task]) -> Reader:
    """Reads a sample of a data set, on which these tasks run."""

    def read(sample: Any) -> Read:
        start = time.perf_counter()
        item = Item(image_id=sample.image_id, image=dataset.image(sample), targets=dataset.targets(sample))
        cut = {task.name: count for task in tasks if (count := task.cut(item.targets))}
        return Read(sample.file_name, item, cut, (time.perf_counter() - start) * 1000)

    return read


def kinds(dataset: Any, suite: Suite) -> Callable[[Any], Hashable]:
    """Which of a suite's tasks an image is annotated for."""

    def annotated(sample: Any) -> Hashable:
        targets = dataset.targets(sample)
        return tuple(task.annotated(targets) for task in suite.tasks)

    return annotated


@dataclass
class Surroundings:
    """What is looked at between batches.

    Args:
        host: load of other processes; None where nothing is timed.
        gpu: the GPU; None without one, or without its library.
        calibration: a fixed piece of work that gives its milliseconds; None where it is not asked for.
    """

    host: HostLoad | None = None
    gpu: GpuWatch | None = None
    calibration: Callable[[], float] | None = None

    def look(self, decoder: str) -> dict[str, Any]:
        """Members of ``Sample`` of a decoder that has just computed."""
        found: dict[str, Any] = {}
        if self.host is not None:
            found["other_cores"] = self.host.others()
        if self.gpu is not None:
            found["gpu"] = self.gpu.sample(decoder)
        return found


@dataclass
class Lane:
    """A decoder with its batches.

    Args:
        name: of the folder.
        suite: tasks and metrics.
        pipeline: as it is measured.
        batches: of this process, in order.
        read: gives image and annotations of a sample.
        folder: where its lines go.
        endless: whether the batches are decoded again and again, for their times alone.
        scored: whether predictions are kept for the metrics.
        surroundings: what is looked at between batches.
        counter: counts the network's work; None without a network, or where nothing is timed.
        eager: the same decoder in eager mode, where ``pipeline`` is not.
        mode: name of the mode.
    """

    name: str
    suite: Suite
    pipeline: Pipeline | WindowedPipeline
    batches: Sequence[Sequence[Any]]
    read: Reader
    folder: RunFolder
    endless: bool = False
    scored: bool = True
    surroundings: Surroundings = field(default_factory=Surroundings)
    counter: CostCounter | None = None
    eager: Pipeline | WindowedPipeline | None = None
    mode: str = "eager"

    def __post_init__(self) -> None:
        done = self.folder.samples
        own = [s for s in done.values() if s.rank == self.folder.rank] if self.endless else self._done()
        self.images = len(own)
        self.seconds = sum(sample.milliseconds["total"] for sample in own) / 1000
        self.failed: str | None = None  # why it was given up
        self.warm: WarmUp | None = None
        self.energy: tuple[float | None, float] = (None, 0.0)
        self._agreed = Agreement(0, 0)
        self._checked = 0
        self._next = 0
        self._told = 0.0  # milliseconds of this turn that some phase has
        self._untold: float | None = None  # those of the turn before that no phase has
        self._base = 0  # bytes on the GPU before a batch
        self._recorded = 0  # bytes that recorded graphs hold there, which no statistics of a batch show
        self._skip()

    @property
    def waiting(self) -> bool:
        """Whether there is more to decode."""
        if self.failed:
            return False
        return bool(self.batches) if self.endless else self._next < len(self.batches)

    @property
    def told(self) -> Mode:
        """What the record says of the mode."""
        own = self.pipeline.network if self.eager is not None else None
        return Mode(
            name=self.mode,
            prepare_ms=getattr(own, "prepare_ms", 0.0),
            prepared=prepared(own),
            checked_images=self._checked,
            checked_tokens=self._agreed.tokens,
            different_tokens=self._agreed.different,
            remarks=list(getattr(own, "remarks", [])),
        )

    def prepare(self, rule: WarmUpRule) -> None:
        """Compile or record, compare with eager mode, warm up, and count energy; no image keeps a time of it."""
        if not self.waiting:
            return
        start, held = time.perf_counter(), memory_held(self.pipeline.device)
        self._compare()
        items = self._items(0)
        times, stable = warm_up(lambda: self._warm(items), rule)
        self.warm = WarmUp(images=len(times) * len(items), seconds=time.perf_counter() - start, stable=stable)
        if self.mode == "graphed":
            self._recorded = max(0, memory_held(self.pipeline.device) - held)
        if self.surroundings.gpu is not None:
            self.energy = self._joules(items, self.surroundings.gpu)

    def advance(self) -> None:
        """Decode the next batch and keep what it gave."""
        samples, repeat = self._batch(0)
        reads = [self._read(sample) for sample in samples]
        calibrated = self.surroundings.calibration() if self.surroundings.calibration else 0.0
        outcomes = self._predict([read.item for read in reads])
        around = self.surroundings.look(self.name) | self._shared(outcomes[0])
        loop, self._untold = self._untold, None
        self._told += calibrated
        for read, outcome in zip(reads, outcomes, strict=True):
            start = time.perf_counter()
            predictions = self._observed(read.item, outcome)
            score = (time.perf_counter() - start) * 1000
            self._told += score + outcome.times.wall["total"]
            kept = self._kept(read, outcome, repeat, {**around, "predictions": predictions})
            around["gpu"] = None  # one look at the GPU belongs to one line
            if kept.key in self.folder.samples:
                continue  # the batch was interrupted between two of its images
            kept.milliseconds["score"] = score
            if loop is not None:
                kept.milliseconds["loop"] = loop / len(reads)
            if calibrated:
                kept.milliseconds["calibration"] = calibrated
            self.folder.append(kept)
            self.images, self.seconds = self.images + 1, self.seconds + kept.milliseconds["total"] / 1000
        self._next += 1
        self._skip()

    def settle(self, milliseconds: float) -> None:
        """End a turn: what no phase has of its time is the harness's, and the next line tells it."""
        self._untold, self._told = max(0.0, milliseconds - self._told), 0.0

    def _read(self, sample: Any) -> Read:
        """An image; another decoder may have read it before, which takes no time of this turn."""
        start = time.perf_counter()
        read = self.read(sample)
        self._told += min(read.milliseconds, (time.perf_counter() - start) * 1000)
        return read

    def _warm(self, items: Sequence[Item]) -> float:
        """Milliseconds of a batch; what is counted once for each shape is counted here."""
        outcome = self._predict(items)[0]
        self._shared(outcome)
        return outcome.times.wall["total"]

    def _batch(self, ahead: int) -> tuple[Sequence[Any], int]:
        """The samples of a batch that is still to come, and how often they were decoded before."""
        repeat, place = divmod(self._next + ahead, len(self.batches))
        return self.batches[place], repeat

    def _items(self, ahead: int) -> list[Item]:
        return [self.read(sample).item for sample in self._batch(ahead)[0]]

    def _skip(self) -> None:
        """Go on to the first batch of which an image is missing."""
        while self.waiting and all(key in self.folder.samples for key in self._keys()):
            self._next += 1

    def _keys(self) -> list[Key]:
        samples, repeat = self._batch(0)
        return [(sample.image_id, repeat) if repeat else sample.image_id for sample in samples]

    def _done(self) -> list[Sample]:
        own = {sample.image_id for batch in self.batches for sample in batch}
        return [sample for key, sample in self.folder.samples.items() if key in own]

    def _predict(self, items: Sequence[Item]) -> list[Outcome]:
        """Outcomes of a batch during which nothing was compiled or recorded."""
        network, outcomes = self.pipeline.network, []
        for _ in range(AGAIN):
            before, start = prepared(network), time.perf_counter()
            self._base = memory_in_use(self.pipeline.device)
            outcomes = self.pipeline.predict(items)
            if prepared(network) == before:
                break
            self._told += (time.perf_counter() - start) * 1000  # ``prepare_ms`` has it
            note_preparation(network, outcomes[0].times.wall["total"] * len(items))
        return outcomes

    def _compare(self) -> None:
        if self.eager is None:
            return
        most = 1 if self.endless and len(self.batches) == 1 else CHECKED
        for ahead in range(min(most, len(self.batches) - (0 if self.endless else self._next))):
            items = self._items(ahead)
            plain, own = ([o.tokens for o in run(items)] for run in (self.eager.predict, self._predict))
            found = agreement(plain, own)
            self._agreed = Agreement(self._agreed.tokens + found.tokens, self._agreed.different + found.different)
            self._checked += len(items)

    def _joules(self, items: Sequence[Item], gpu: GpuWatch) -> tuple[float | None, float]:
        """Joules per image of decoding without a pause, and the seconds that it went on for."""
        before, start, images = gpu.millijoules(), time.perf_counter(), 0
        if before is None:
            return None, 0.0
        while time.perf_counter() - start < ENERGY_SECONDS:
            self.pipeline.predict(items)
            images += len(items)
        spent, after = time.perf_counter() - start, gpu.millijoules()
        return (None if after is None else (after - before) / 1000 / images), spent

    def _shared(self, outcome: Outcome) -> dict[str, Any]:
        """Members of ``Sample`` that the images of a batch have in common."""
        found: dict[str, Any] = {"sitting": self.folder.sitting, "rank": self.folder.rank}
        if self.counter is not None and outcome.calls is not None:
            found["computed"] = self.counter.per_image(outcome.calls)
        before = self._base - self._recorded
        return found | peak_memory(self.pipeline.device, before, self.pipeline.network)

    def _observed(self, item: Item, outcome: Outcome) -> dict[str, Any]:
        """What the metrics need of an image's predictions."""
        metrics = self.suite.metrics if self.scored else {}
        return {
            name: metrics[name].observe(item.image_id, prediction, item.targets)
            for name, prediction in outcome.predictions.items()
            if name in metrics
        }

    def _kept(self, read: Read, outcome: Outcome, repeat: int, around: Mapping[str, Any]) -> Sample:
        return Sample(
            image_id=read.item.image_id,
            file=read.file,
            milliseconds={"read": read.milliseconds} | outcome.times.wall,
            work=outcome.work,
            cut=read.cut,
            process_ms=outcome.times.process,
            passes=outcome.times.passes,
            tokens={task: token_hash(tokens) for task, tokens in outcome.tokens.items()},
            repeat=repeat,
            batch=self._next,
            **around,
        )


def token_hash(tokens: Tensor) -> str:
    """16 hexadecimal letters that name tokens of any shape."""
    digest = hashlib.blake2b(repr(tuple(tokens.shape)).encode(), digest_size=8)
    digest.update(tokens.contiguous().numpy().tobytes())
    return digest.hexdigest()


def memory_in_use(device: torch.device) -> int:
    """Bytes of torch's tensors on a GPU; the highest is counted from here on. 0 for a CPU."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def memory_held(device: torch.device) -> int:
    """Bytes that torch holds on a GPU and cannot give back. 0 for a CPU."""
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(device)


def peak_memory(device: torch.device, before: int, network: Any) -> dict[str, float]:
    """``allocated_mib`` (a network's weights and what a batch added) and ``reserved_mib`` (held by torch) on a GPU."""
    if device.type != "cuda":
        return {}
    weights = 0 if network is None else sum(p.numel() * p.element_size() for p in network.parameters())
    allocated = torch.cuda.max_memory_allocated(device) - before + weights
    return {"allocated_mib": allocated / 2**20, "reserved_mib": torch.cuda.max_memory_reserved(device) / 2**20}
