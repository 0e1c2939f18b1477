"""The load of MAD's released measurement: one image of the paper's size, 100 instances to segment, 10 persons."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from bench.builders.placeholders import objects
from bench.builders.random_inputs import PlaceholderTokenizer
from bench.builders.suite import make_tasks, task_classes
from bench.config.run import RunOptions
from bench.paths import PUBLISHED
from bench.seeding import random_stream
from decoders.base import Request
from decoders.network.folding import folded
from decoders.network.network import build_network
from tasks.base import Task
from tasks.targets import Context

RELEASED = PUBLISHED / "mad_released_cpu.json"
RELEASED_PRESET = "mad-r50"  # whose figures those are
INPUT = (800, 1333)
ORIGINAL = (480, 800)
TASKS = ("detection", "segmentation", "keypoints", "captioning")


def file_name(measurement: str, preset: str) -> str:
    """Return the name of a measurement's files: that of the released preset, or one with the preset's name."""
    return measurement if preset == RELEASED_PRESET else f"{measurement}_{preset}"


@dataclass(frozen=True)
class PaperLoad:
    """Network, tasks and prompts, the same for every strategy.

    Args:
        network: of the preset's sizes, with random weights.
        tasks: in order.
        image: (1, 3, height, width).
        memory: its encoding.
        context: prompts of the tasks behind detection.
        seed: of the strategies' random choices.
    """

    network: Any
    tasks: list[Task]
    image: torch.Tensor
    memory: Any
    context: Context
    seed: int

    def sequences(self) -> dict[str, tuple[int, int]]:
        """Return task to the number of its sequences and their tokens."""
        return {task.name: (len(task.prompt(self.context)), task.format.length) for task in self.tasks}

    def encoding(self) -> dict[str, Callable[[], Any]]:
        """Return the phases that all strategies share."""
        features = self.network.backbone_features(self.image, None)
        return {
            "backbone": lambda: self.network.backbone_features(self.image, None),
            "encoder": lambda: self.network.project_memory(self.network.encode(features)),
        }

    def decoding(self, strategy: Any) -> dict[str, Callable[[], None]]:
        """Return a strategy's phase of each task."""
        return {task.name: partial(self._decode, strategy, task) for task in self.tasks}

    def _decode(self, strategy: Any, task: Task) -> None:
        prompts = task.prompt(self.context)
        request = Request(task.format, prompts[None], torch.ones(1, len(prompts), dtype=torch.bool))
        generators = [random_stream(self.seed, 0, task.name)]
        decoded = strategy.decode(self.network, self.memory, request, generators)
        if task.name != "captioning":  # random pieces are no text
            task.interpret(decoded.image(0, len(prompts)), self.context)


@torch.no_grad()
def paper_load(
    options: RunOptions, *, size: tuple[int, int] = INPUT, instances: int | None = None, persons: int | None = None
) -> PaperLoad:
    """Return the load of a preset, by default the released measurement's.

    Args:
        options: preset and seed; data is not needed.
        size: height and width of the image.
        instances: to segment.
        persons: among them.
    """
    published = json.loads(RELEASED.read_text())
    torch.manual_seed(options.seed)
    names = ["person", *(f"class {number}" for number in range(1, options.sizes.classes))]
    vocabulary, tasks = make_tasks(
        [task_classes(None)[name] for name in TASKS],
        sizes=options.sizes,
        class_names=names,
        tokenizer=PlaceholderTokenizer(options.sizes.words),
    )
    network = folded(build_network(dataclasses.replace(options.network, weights=None), vocabulary).eval())
    image = torch.randn(1, 3, *size)
    memory = network.project_memory(network.encode(network.backbone_features(image, None)))
    boxes = objects(ORIGINAL, instances or published["instances"], persons or published["persons"])
    return PaperLoad(network, list(tasks), image, memory, Context(ORIGINAL, {"detection": boxes}), options.seed)
