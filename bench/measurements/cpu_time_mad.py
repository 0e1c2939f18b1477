"""Process CPU seconds of a paper-size network on one image, with random weights, beside those of the released code.

The load is the released measurement's: 100 instances to segment, 10 persons, four caption passes, batch 1, one thread.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench.builders.placeholders import objects
from bench.builders.random_inputs import PlaceholderTokenizer
from bench.builders.suite import make_tasks, task_classes
from bench.config.run import RunOptions
from bench.paths import PUBLISHED
from bench.seeding import random_stream
from bench.system.environment import describe_environment
from decoders.base import Request
from decoders.masked.mad import MadReleased
from decoders.network.folding import folded
from decoders.network.network import build_network
from reports.tables.table import pipe_table
from results.store import write_atomically
from tasks.base import Task
from tasks.targets import Context

RELEASED = PUBLISHED / "mad_released_cpu.json"
INPUT = (800, 1333)
ORIGINAL = (480, 800)
TASKS = ("detection", "segmentation", "keypoints", "captioning")


def measure_mad_time(options: RunOptions, *, out: Path, repeats: int = 2) -> str:
    """Time every phase, in float32 and bfloat16, and write ``paper_time.md`` and ``paper_time.json`` into ``out``.

    Args:
        options: of the preset (``mad-r50``); data is not needed.
        out: folder of the two files.
        repeats: measurements of each precision; the fastest of each phase counts.

    Returns:
        The Markdown table.
    """
    torch.set_num_threads(1)
    published = json.loads(RELEASED.read_text())
    seconds = {
        name: _fastest([_one_image(options, dtype, published) for _ in range(repeats)])
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    text = _markdown(options.preset, published["seconds"], seconds)
    data = {"preset": options.preset, "seconds": seconds, "released": published, "environment": describe_environment()}
    write_atomically(out / "paper_time.json", (json.dumps(data, indent=2) + "\n").encode())
    write_atomically(out / "paper_time.md", text.encode())
    return text


@torch.no_grad()
def _one_image(options: RunOptions, dtype: torch.dtype, published: Mapping[str, Any]) -> dict[str, float]:
    torch.manual_seed(options.seed)
    names = ["person", *(f"class {number}" for number in range(1, options.sizes.classes))]
    classes = [task_classes(None)[name] for name in TASKS]
    vocabulary, tasks = make_tasks(
        classes, sizes=options.sizes, class_names=names, tokenizer=PlaceholderTokenizer(options.sizes.words)
    )
    random = dataclasses.replace(options.network, weights=None)
    network = folded(build_network(random, vocabulary).eval())
    image = torch.randn(1, 3, *INPUT)
    clock: dict[str, float] = {}
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        with _phase(clock, "backbone"):
            features = network.backbone_features(image, None)
        with _phase(clock, "encoder"):
            memory = network.project_memory(network.encode(features))
        context = Context(ORIGINAL, {"detection": objects(ORIGINAL, published["instances"], published["persons"])})
        for task in tasks:
            with _phase(clock, task.name):
                _decode(task, network, memory, context, options.seed)
    return clock


def _decode(task: Task, network: Any, memory: Any, context: Context, seed: int) -> None:
    prompts = task.prompt(context)
    request = Request(task.format, prompts[None], torch.ones(1, len(prompts), dtype=torch.bool))
    decoded = MadReleased().decode(network, memory, request, [random_stream(seed, 0, task.name)])
    if task.name != "captioning":  # random pieces are no text
        task.interpret(decoded.image(0, len(prompts)), context)


def cpu_seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work gives, and the processor time that it took."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


@contextmanager
def _phase(clock: dict[str, float], name: str) -> Iterator[None]:
    start = time.process_time()
    yield
    clock[name] = time.process_time() - start


def _fastest(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: min(one[name] for one in measured) for name in measured[0]}


def _markdown(preset: str, released: Mapping[str, float], seconds: Mapping[str, Mapping[str, float]]) -> str:
    columns = {"released": released, **seconds}
    lines = [
        f"# Process CPU seconds per image, {preset} size, one thread",
        "",
        f"Random weights, batch 1, {INPUT[0]} × {INPUT[1]}, 100 instances, 10 persons, decoded as the released code",
        "does. Written by `python -m bench measure cpu-time --preset mad-r50`; the released code's figures are kept in",
        "[published/mad_released_cpu.json](published/mad_released_cpu.json).",
        "",
    ]
    rows = [[phase, *(f"{column[phase]:.2f}" for column in columns.values())] for phase in released]
    rows.append(["all", *(f"{sum(column.values()):.2f}" for column in columns.values())])
    return "\n".join([*lines, pipe_table(["phase", *columns], rows)]) + "\n"
