"""All installed decoders and tasks, ours and third parties', each task in every layout and format that has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import registry
from bench.builders.suite import make_tasks, task_classes
from bench.checkpoints.codec import CODECS, random_codec
from decoders.network.network import Network, build_network
from decoders.network.options import NetworkOptions
from tasks.base import Task
from tasks.codecs.options import CodecOptions
from tasks.formats import tokenizer as text
from tests.contract.samples import CAPTIONS, SIZES

CASES = [
    *(("plain", name) for name in task_classes(None, "mad")),
    *(("codes", name) for name in CODECS if name in task_classes(None, "mad")),
    *(("ait", name) for name in task_classes(None, "ait")),
]
SHAPES = {
    "masks": CodecOptions(values="unit", side=16, ratio=4, width=4, blocks=1, codes=12, code_width=6),
    "depth": CodecOptions(values="metres", side=48, ratio=16, width=2, blocks=1, codes=10, code_width=6),
}


@dataclass(frozen=True)
class World:
    """All tasks of a layout, dependencies first, and a network for them."""

    tasks: dict[str, Task]
    network: Network


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> text.Tokenizer:
    path: Path = tmp_path_factory.mktemp("words") / "words.model"
    text.train(CAPTIONS * 4, path, size=SIZES.words)
    return text.SentencePieceTokenizer(path)


@pytest.fixture(scope="session")
def worlds(tokenizer: text.Tokenizer) -> dict[str, World]:
    """Tiny networks and codecs with random weights."""
    return {kind: world(kind, tokenizer) for kind in ("plain", "codes", "ait")}


def world(kind: str, tokenizer: text.Tokenizer) -> World:
    """MAD's layout and network with plain tokens or with codes, or AiT's layout and network."""
    layout: Any = "ait" if kind == "ait" else "mad"
    classes = task_classes(None, layout)
    codecs = {} if kind == "plain" else {name: random_codec(SHAPES[of]) for name, of in CODECS.items()}
    vocabulary, made = make_tasks(
        list(classes.values()),
        sizes=replace(SIZES, layout=layout),
        class_names=("person", "ring", "star"),
        tokenizer=tokenizer,
        codecs=codecs,
        canvas=64,
    )
    options = NetworkOptions(
        family=layout,
        backbone="resnet10t",
        width=32,
        heads=2,
        ffn=64,
        encoder_layers=1,
        decoder_layers=2,
        positions=max(task.format.prompt_length + task.format.length for task in made),
        frozen_stem=False,
    )
    torch.manual_seed(0)
    return World({task.name: task for task in made}, build_network(options, vocabulary).eval())


@pytest.fixture(scope="session", params=CASES, ids=lambda case: f"{case[1]}-in-{case[0]}")
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A world and one of its tasks."""
    layout_and_task: tuple[str, str] = request.param
    return layout_and_task


@pytest.fixture(scope="session")
def task_name(case: tuple[str, str]) -> str:
    return case[1]


@pytest.fixture(scope="session")
def task(tasks: dict[str, Task], task_name: str) -> Task:
    return tasks[task_name]


@pytest.fixture(scope="session")
def tasks(worlds: dict[str, World], case: tuple[str, str]) -> dict[str, Task]:
    """All installed tasks of the layout, dependencies first."""
    return worlds[case[0]].tasks


@pytest.fixture(scope="session")
def network(worlds: dict[str, World], case: tuple[str, str]) -> Network:
    return worlds[case[0]].network


@pytest.fixture(scope="session", params=registry.usable(registry.DECODERS))
def decoder(request: pytest.FixtureRequest) -> Any:
    return registry.load(registry.DECODERS, request.param)()
