"""Training batches: packed images with dense labels, cached memory or maps with token targets, images from files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.data.array_cache import cached_array
from bench.data.dataset import Dataset
from bench.data.packed import Packed, as_tensors, mirrored, normalized
from bench.data.transforms import Prepared, mirror_annotations, stack_images
from bench.train.batch_stream import Indices
from decoders.network.memory import Encoding
from decoders.network.network import Network
from tasks.base import Task
from tasks.formats.sequence import TrainingBatch, TrainingExample, collate
from tasks.targets import Targets

Cached = npt.NDArray[np.float16]
MANY = 10_000  # no limit of the sequences of an image
CACHE_BATCH = 32


class DenseBatches:
    """Packed images for encoder pretraining, some of them mirrored.

    Args:
        arrays: the packed data set.
        flip: share of the images that are mirrored.
    """

    def __init__(self, arrays: Packed, *, flip: float) -> None:
        self.arrays = arrays
        self.flip = flip

    def __len__(self) -> int:
        return len(self.arrays)

    def batch(self, indices: Indices, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the arrays of these images."""
        chosen = torch.rand(len(indices), generator=generator) < self.flip
        return mirrored(as_tensors(self.arrays, indices), chosen)


@dataclass(frozen=True)
class TaskBatch:
    """Targets of one task.

    Args:
        rows: (b,) int64, images of the batch that carry the annotation.
        batch: target sequences of those b images.
    """

    rows: Tensor
    batch: TrainingBatch


@dataclass(frozen=True)
class TokenBatch:
    """B images with the token targets of all their tasks, and ``images``, ``states`` or ``maps``.

    Args:
        tasks: task name to its targets; tasks that no image of the batch carries are left out.
        generator: source of the strategy's random choices.
        images: (B, 3, height, width) normalized pixels.
        pad: (B, height, width) bool, True where padded, or None.
        states: (B, S, D) cached memory.
        maps: (B, C, h, w) cached maps of the backbone.
    """

    tasks: Mapping[str, TaskBatch]
    generator: torch.Generator
    images: Tensor | None = None
    pad: Tensor | None = None
    states: Tensor | None = None
    maps: Tensor | None = None


class TokenTargets:
    """Draws the token targets of images.

    Args:
        tasks: tasks that are learned.
        sequences: task name to the most sequences of an image; 0 or absent: all.
    """

    def __init__(self, tasks: Sequence[Task], sequences: Mapping[str, int]) -> None:
        self.tasks = tasks
        self.limits = {task.name: sequences.get(task.name) or MANY for task in tasks}

    def of(self, targets: Sequence[Targets], generator: torch.Generator) -> dict[str, TaskBatch]:
        """Draw targets for every task that at least one image carries."""
        batches = {}
        for task in self.tasks:
            rows = [row for row, annotation in enumerate(targets) if task.annotated(annotation)]
            if rows:
                limit = self.limits[task.name]
                examples = [_cut(task.sample(targets[row], generator, limit=limit), limit) for row in rows]
                batches[task.name] = TaskBatch(torch.tensor(rows), collate(examples, task.format))
        return batches


def _cut(example: TrainingExample, limit: int) -> TrainingExample:
    """Keep at most ``limit`` sequences, for tasks that ignore the limit (captions)."""
    if len(example.tokens) <= limit:
        return example
    tensors = {field.name: getattr(example, field.name) for field in fields(example)}
    return replace(example, **{name: value[:limit] for name, value in tensors.items() if value is not None})


class MemoryBatches:
    """Cached memory of a frozen encoder with token targets.

    Args:
        memory: (N, S, D) float16, from ``cached``.
        dataset: the same N images.
        targets: draws token targets.
    """

    def __init__(self, memory: Cached, dataset: Dataset, targets: TokenTargets) -> None:
        self.memory = memory
        self.dataset = dataset
        self.targets = targets
        self._read: dict[int, Targets] = {}

    def __len__(self) -> int:
        return len(self.memory)

    def batch(self, indices: Indices, generator: torch.Generator) -> TokenBatch:
        """Return memory and targets of these images."""
        annotations = [self._targets(int(index)) for index in indices]
        states = torch.from_numpy(np.ascontiguousarray(self.memory[indices])).float()
        return TokenBatch(self.targets.of(annotations, generator), generator, states=states)

    def _targets(self, index: int) -> Targets:
        if index not in self._read:
            self._read[index] = self.dataset.targets(self.dataset.samples[index])
        return self._read[index]


class MapBatches:
    """Cached maps of a frozen backbone with token targets; some images are mirrored.

    Args:
        maps: (N, C, h, w) float16 of the images, from ``cached``.
        mirrored: the same of the mirrored images.
        dataset: the N images.
        targets: draws token targets.
        flip: share of the images that are mirrored.
    """

    def __init__(self, maps: Cached, mirrored: Cached, dataset: Dataset, targets: TokenTargets, *, flip: float) -> None:
        self.maps = (maps, mirrored)
        self.dataset = dataset
        self.targets = targets
        self.flip = flip
        self._read: dict[tuple[int, bool], Targets] = {}

    def __len__(self) -> int:
        return len(self.maps[0])

    def batch(self, indices: Indices, generator: torch.Generator) -> TokenBatch:
        """Return maps and targets of these images."""
        flips = (torch.rand(len(indices), generator=generator) < self.flip).tolist()
        maps = np.stack([self.maps[flip][index] for index, flip in zip(indices, flips, strict=True)])
        annotations = [self._targets(int(index), flip) for index, flip in zip(indices, flips, strict=True)]
        return TokenBatch(self.targets.of(annotations, generator), generator, maps=torch.from_numpy(maps).float())

    def _targets(self, index: int, flip: bool) -> Targets:
        if (index, flip) not in self._read:
            targets = self.dataset.targets(self.dataset.samples[index])
            self._read[index, flip] = mirror_annotations(targets) if flip else targets
        return self._read[index, flip]


class ImageBatches:
    """Images from their files, augmented.

    Args:
        dataset: the images.
        targets: draws token targets.
        transform: maps image, targets and generator to the network's input with transformed targets.
    """

    def __init__(
        self,
        dataset: Dataset,
        targets: TokenTargets,
        transform: Callable[[Any, Targets, torch.Generator], Prepared],
    ) -> None:
        self.dataset = dataset
        self.targets = targets
        self.transform = transform

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, indices: Indices, generator: torch.Generator) -> TokenBatch:
        """Return pixels and targets of these images."""
        prepared = []
        for index in indices:
            sample = self.dataset.samples[int(index)]
            prepared.append(self.transform(self.dataset.image(sample), self.dataset.targets(sample), generator))
        images, pad = stack_images(prepared)
        annotations = [image.targets for image in prepared if image.targets is not None]
        return TokenBatch(self.targets.of(annotations, generator), generator, images=images, pad=pad)


@torch.no_grad()
def cached(
    path: Path, compute: Callable[[Tensor], Tensor], arrays: Packed, *, progress: Callable[[int, int], None]
) -> Cached:
    """Return what a frozen network computes of all packed images, (N, ...) float16, memory-mapped.

    Args:
        path: where it is kept; its name holds the hashes of network and data. It is computed if it is absent.
        compute: maps pixels (B, 3, S, S) to (B, ...), e.g. the memory: 64 kB an image at 256 positions and width 128.
        arrays: the packed data set.
        progress: called with images done and images in all.
    """

    def write(part: Path) -> None:
        memory: np.memmap[Any, np.dtype[np.float16]] | None = None
        for start in range(0, len(arrays), CACHE_BATCH):
            pixels = np.array(arrays.images[start : start + CACHE_BATCH])
            states = compute(normalized(torch.from_numpy(pixels)))
            if memory is None:
                shape = (len(arrays), *states.shape[1:])
                memory = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
                _take_room(part)
            memory[start : start + len(states)] = states.half().numpy()
            progress(start + len(states), len(arrays))
        if memory is not None:
            memory.flush()

    return cached_array(path, write)


def _take_room(path: Path) -> None:
    """Have the disk hold room for a whole file; else writing to its map on a full disk ends the process (SIGBUS)."""
    with path.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)


def encoding_of(network: Network, states: Tensor) -> Encoding:
    """Return the encoding of images without padding from their cached memory (B, S, D)."""
    side = round(states.shape[1] ** 0.5)
    grid = torch.zeros(1, side, side, dtype=torch.bool, device=states.device)
    rows = network.positions(grid).flatten(2).transpose(1, 2).to(states.dtype)  # (1, S, D)
    return Encoding(states, rows.expand_as(states), None, (side, side))
