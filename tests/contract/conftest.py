"""All installed decoders and tasks, ours and third parties' alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.suite import make_tasks, task_classes
from tasks import text
from tasks.base import Task
from tests.contract.samples import CAPTIONS, SIZES


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> text.Tokenizer:
    path: Path = tmp_path_factory.mktemp("words") / "words.model"
    text.train(CAPTIONS * 4, path, size=SIZES.words)
    return text.SentencePieceTokenizer(path)


@pytest.fixture
def tasks(tokenizer: text.Tokenizer) -> dict[str, Task]:
    """All installed tasks, dependencies first."""
    _, made = make_tasks(
        list(task_classes(None).values()), sizes=SIZES, class_names=("person", "ring", "star"), tokenizer=tokenizer
    )
    return {task.name: task for task in made}


@pytest.fixture(params=registry.names(registry.DECODERS))
def decoder(request: pytest.FixtureRequest) -> Any:
    return registry.load(registry.DECODERS, request.param)()


@pytest.fixture(params=registry.names(registry.TASKS))
def task_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
