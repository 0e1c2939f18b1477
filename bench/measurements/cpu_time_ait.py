"""Process CPU seconds of AiT at paper size on one image, with random weights, beside those of the released code.

The load is the released measurement's: a 480 x 480 window to 225 depth codes, 640 x 640 pixels to 100 objects of 21
tokens, batch 1, one thread.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.builders.suite import make_tasks, task_classes
from bench.checkpoints.codec import CODECS, random_codec
from bench.config.codecs import Codecs
from bench.config.run import RunOptions
from bench.measurements.matrix_work import MachineRates
from bench.measurements.phase_table import (
    HEADINGS,
    Phase,
    cells,
    decoder_bytes,
    machine_line,
    measure_phases,
    plain,
    rates_of,
)
from bench.paths import PUBLISHED
from bench.seeding import random_stream
from bench.system.environment import describe_environment
from decoders.base import Request
from decoders.causal.ait import Ait
from decoders.causal.ait_parallel import AitParallel
from decoders.causal.options import AitOptions
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
    "backbone timm": "the same by timm's own blocks",
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
    torch.manual_seed(options.seed)
    plain_network, depth, instances = _parts(options)
    network = folded(plain_network)
    works, passes = _works(network, depth, instances, options.seed)
    works["backbone timm"] = partial(plain_network.backbone_features, torch.rand(1, 3, WINDOW, WINDOW))
    phases = measure_phases(works, repeats)
    rates = rates_of(phases, decoder_bytes(network))
    text = _markdown(options.preset, published["seconds"], phases, passes, rates)
    data = {
        "preset": options.preset,
        "seconds": {name: phase.seconds for name, phase in phases.items()},
        "passes": passes,
        "released": published,
        "environment": describe_environment(),
        **plain(phases, rates),
    }
    write_atomically(out / "paper_time_ait.json", (json.dumps(data, indent=2) + "\n").encode())
    write_atomically(out / "paper_time_ait.md", text.encode())
    return text


@torch.no_grad()
def _works(network: Any, depth: Any, instances: Any, seed: int) -> tuple[dict[str, Callable[[], Any]], dict[str, int]]:
    """Return phase to work; the second part is filled with the decoder's passes when the work is done."""
    image = torch.rand(1, 3, WINDOW, WINDOW)
    features: Features = network.backbone_features(image)
    wide = Features(torch.randn(1, features.map.shape[1], CANVAS // 32, CANVAS // 32))
    memory = network.project_memory(network.encode(wide))
    passes: dict[str, int] = {}
    decoded: dict[str, Decoded] = {}

    def decode(task: Task, strategy: str, read: Callable[[], Any]) -> None:
        result = _decode(STRATEGIES[strategy], network, read(), task, seed)
        passes[f"{task.name} {strategy}"], decoded[task.name] = result.evaluations, result

    works: dict[str, Callable[[], Any]] = {"backbone": lambda: network.backbone_features(image)}
    for strategy in STRATEGIES:
        works[f"depth {strategy}"] = partial(
            decode, depth, strategy, lambda: network.project_memory(network.encode(features))
        )
    works["depth map"] = lambda: depth.interpret(decoded["depth"].image(0, 1), Context((WINDOW, WINDOW)))
    for strategy in STRATEGIES:
        works[f"instances {strategy}"] = partial(decode, instances, strategy, lambda: memory)
    works["masks"] = lambda: instances.sequence.read(decoded["instances"].image(0, 1), Context((CANVAS, CANVAS)))
    return works, passes


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
    return build_network(random, vocabulary).eval(), depth, instances


def _decode(strategy: Any, network: Any, memory: Any, task: Task, seed: int) -> Decoded:
    prompts = task.prompt(Context((CANVAS, CANVAS)))
    request = Request(task.format, prompts[None], torch.ones(1, len(prompts), dtype=torch.bool))
    decoded: Decoded = strategy.decode(network, memory, request, [random_stream(seed, 0, task.name)])
    return decoded


def _markdown(
    preset: str, released: dict[str, float], phases: dict[str, Phase], passes: dict[str, int], rates: MachineRates
) -> str:
    lines = [
        f"# Process CPU seconds per image, {preset} size, one thread",
        "",
        "Random weights, batch 1, float32, best of three. Written by `python -m bench measure cpu-time --preset",
        f"{preset}`; the released code's figures are kept in",
        "[published/ait_released_cpu.json](published/ait_released_cpu.json).",
        "",
        machine_line(rates),
        "",
    ]
    rows = []
    for name, title in ROWS.items():
        before = f"{released[name]:.3g}" if name in released else "–"
        rows.append([title, before, *cells(phases[name], rates), str(passes.get(name, "–"))])
    return "\n".join([*lines, pipe_table(["phase", "released", *HEADINGS, "passes"], rows)]) + "\n"
