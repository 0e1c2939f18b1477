"""Process CPU seconds of AiT at paper size on one image, with random weights, beside those of the released code.

The load is the released measurement's: a 480 x 480 window to 225 depth codes, 640 x 640 pixels to 100 objects of 21
tokens, batch 1, one thread.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.builders.suite import make_tasks, task_classes
from bench.checkpoints.codec import CODECS, random_codec
from bench.config.codecs import Codecs
from bench.config.run import RunOptions
from bench.measurements.cpu_time_mad import cpu_seconds
from bench.paths import PUBLISHED
from bench.seeding import random_stream
from bench.system.environment import describe_environment
from decoders.base import Request
from decoders.causal.ait import Ait, AitOptions
from decoders.causal.ait_parallel import AitParallel
from decoders.network.folding import folded
from decoders.network.memory import Features
from decoders.network.network import build_network
from reports.tables.table import pipe_table
from results.store import write_atomically
from tasks.base import Task
from tasks.formats.sequence import Decoded
from tasks.targets import Context

RELEASED = PUBLISHED / "ait_released_cpu.json"
WINDOW, CANVAS = 480, 640
ROWS = {  # phase to what it is called in the table
    "backbone": "backbone, 480 × 480",
    "depth hard": "depth: encoder and 225 tokens, hard",
    "depth soft": "depth: encoder and 225 tokens, soft",
    "depth parallel": "depth: encoder and 225 tokens, parallel",
    "depth map": "depth map from codes",
    "instances hard": "instances: 100 × 21 tokens, hard",
    "instances soft": "instances: 100 × 21 tokens, soft",
    "instances parallel": "instances: 100 × 21 tokens, codes parallel",
    "masks": "100 masks from codes",
}
STRATEGIES: dict[str, Any] = {
    "hard": Ait(AitOptions(soft_input=False, soft_output=False)),
    "soft": Ait(),
    "parallel": AitParallel(),
}


def measure_ait_time(options: RunOptions, *, out: Path, repeats: int = 3) -> str:
    """Time every phase in float32 and write ``paper_time_ait.md`` and ``paper_time_ait.json`` into ``out``.

    Args:
        options: of the preset (``ait-swinv2b-depth``); data is not needed.
        out: folder of the two files.
        repeats: measurements; the fastest of each phase counts.

    Returns:
        The Markdown table.
    """
    torch.set_num_threads(1)
    published = json.loads(RELEASED.read_text())
    seconds, passes = _measured(options, repeats)
    text = _markdown(options.preset, published["seconds"], seconds, passes)
    data = {
        "preset": options.preset,
        "seconds": seconds,
        "passes": passes,
        "released": published,
        "environment": describe_environment(),
    }
    write_atomically(out / "paper_time_ait.json", (json.dumps(data, indent=2) + "\n").encode())
    write_atomically(out / "paper_time_ait.md", text.encode())
    return text


@torch.no_grad()
def _measured(options: RunOptions, repeats: int) -> tuple[dict[str, float], dict[str, int]]:
    """Phase to seconds, and to passes of the decoder."""
    torch.manual_seed(options.seed)
    network, depth, instances = _parts(options)
    seconds: dict[str, float] = {}
    passes: dict[str, int] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        best = float("inf")
        for _ in range(repeats):
            result, passed = cpu_seconds(work)
            best = min(best, passed)
        seconds[name] = best
        return result

    features: Features = timed("backbone", lambda: network.backbone_features(torch.rand(1, 3, WINDOW, WINDOW)))
    wide = Features(torch.randn(1, features.map.shape[1], CANVAS // 32, CANVAS // 32))
    memory = network.project_memory(network.encode(wide))

    def decoded(task: Task, strategy: str, seen: Callable[[], Any]) -> Decoded:
        name = f"{task.name} {strategy}"
        found: Decoded = timed(name, lambda: _decode(STRATEGIES[strategy], network, seen(), task, options.seed))
        passes[name] = found.evaluations
        return found

    for strategy in STRATEGIES:
        own = decoded(depth, strategy, lambda: network.project_memory(network.encode(features)))
    timed("depth map", lambda: depth.interpret(own.image(0, 1), Context((WINDOW, WINDOW))))
    for strategy in STRATEGIES:
        own = decoded(instances, strategy, lambda: memory)
    timed("masks", lambda: instances.sequence.read(own.image(0, 1), Context((CANVAS, CANVAS))))
    return seconds, passes


def _parts(options: RunOptions) -> tuple[Any, Any, Any]:
    """Network, depth and instances of the preset's sizes, with random weights and codecs of the paper's shapes."""
    shapes = {"depth": Codecs().depth.shape, "masks": Codecs().masks.shape}
    classes = task_classes("depth,instances", options.sizes.layout)
    vocabulary, (depth, instances) = make_tasks(
        list(classes.values()),
        sizes=options.sizes,
        class_names=[f"class {number}" for number in range(options.sizes.classes)],
        tokenizer=None,
        codecs={task: random_codec(shapes[kind]) for task, kind in CODECS.items() if task in classes},
        canvas=CANVAS,
    )
    random = dataclasses.replace(options.network, weights=None)
    return folded(build_network(random, vocabulary).eval()), depth, instances


def _decode(strategy: Any, network: Any, memory: Any, task: Task, seed: int) -> Decoded:
    prompts = task.prompt(Context((CANVAS, CANVAS)))
    request = Request(task.format, prompts[None], torch.ones(1, len(prompts), dtype=torch.bool))
    found: Decoded = strategy.decode(network, memory, request, [random_stream(seed, 0, task.name)])
    return found


def _markdown(preset: str, released: dict[str, float], seconds: dict[str, float], passes: dict[str, int]) -> str:
    lines = [
        f"# Process CPU seconds per image, {preset} size, one thread",
        "",
        "Random weights, batch 1, float32, best of three. Written by `python -m bench measure cpu-time --preset",
        f"{preset}`; the released code's figures are kept in",
        "[published/ait_released_cpu.json](published/ait_released_cpu.json).",
        "",
    ]
    rows = []
    for name, title in ROWS.items():
        before = f"{released[name]:.3g}" if name in released else "–"
        rows.append([title, before, f"{seconds[name]:.2g}", str(passes.get(name, "–"))])
    return "\n".join([*lines, pipe_table(["phase", "released", "ours", "passes of the decoder"], rows)]) + "\n"
