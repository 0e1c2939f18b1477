"""All installed decoders and tasks, ours and third parties' alike; tasks that can be learned codes in both formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench import registry
from bench.codec_files import random_codec
from bench.suite import make_tasks, task_classes
from decoders.network.network import Network, build_network
from decoders.network.options import NetworkOptions
from tasks import text
from tasks.base import Task
from tasks.codec_options import CodecOptions
from tasks.vocabulary import Vocabulary
from tests.contract.samples import CAPTIONS, SIZES

SHAPES = {
    "segmentation": CodecOptions(values="unit", side=16, ratio=4, width=4, blocks=1, codes=12, code_width=6),
    "depth": CodecOptions(values="metres", side=48, ratio=16, width=2, blocks=1, codes=10, code_width=6),
}


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> text.Tokenizer:
    path: Path = tmp_path_factory.mktemp("words") / "words.model"
    text.train(CAPTIONS * 4, path, size=SIZES.words)
    return text.SentencePieceTokenizer(path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every task with plain tokens, and those that can be codes as codes too."""
    if "task_name" in metafunc.fixturenames:
        plain = [("plain", name) for name in registry.names(registry.TASKS)]
        coded = [("codes", name) for name in SHAPES]
        metafunc.parametrize(("formats", "task_name"), plain + coded, scope="session")
    elif "formats" in metafunc.fixturenames:
        metafunc.parametrize("formats", ["plain"], scope="session")


@pytest.fixture(scope="session")
def suite(tokenizer: text.Tokenizer, formats: str) -> tuple[Vocabulary, dict[str, Task]]:
    codecs = {name: random_codec(shape) for name, shape in SHAPES.items()} if formats == "codes" else {}
    vocabulary, made = make_tasks(
        list(task_classes(None).values()),
        sizes=SIZES,
        class_names=("person", "ring", "star"),
        tokenizer=tokenizer,
        codecs=codecs,
    )
    return vocabulary, {task.name: task for task in made}


@pytest.fixture
def tasks(suite: tuple[Vocabulary, dict[str, Task]]) -> dict[str, Task]:
    """All installed tasks, dependencies first."""
    return suite[1]


@pytest.fixture(scope="session")
def network(suite: tuple[Vocabulary, dict[str, Task]]) -> Network:
    """A tiny network with random weights: what a decoder keeps, it keeps untrained."""
    longest = max(task.format.prompt_length + task.format.length for task in suite[1].values())
    options = NetworkOptions(
        backbone="resnet10t",
        width=32,
        heads=2,
        ffn=64,
        encoder_layers=1,
        decoder_layers=2,
        positions=longest,
        frozen_stem=False,
    )
    torch.manual_seed(0)
    return build_network(options, suite[0]).eval()


@pytest.fixture(params=registry.names(registry.DECODERS))
def decoder(request: pytest.FixtureRequest) -> Any:
    return registry.load(registry.DECODERS, request.param)()
