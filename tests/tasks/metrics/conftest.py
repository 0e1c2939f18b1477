"""Fixtures of the caption metrics."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pytest

from tasks.metrics import captions


@pytest.fixture(scope="session")
def meteor_process() -> Iterator[Any]:
    """METEOR's Java program, started where decimals have commas. Its tables take seconds to load, so once a session."""
    with tempfile.TemporaryFile() as errors:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
            process = captions._MeteorProcess(errors, [])
        yield process
        process.close()


@pytest.fixture
def shared_meteor(meteor_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let METEOR be computed by the program that runs already."""

    def running(errors: IO[bytes], counted: Sequence[list[float]]) -> Any:
        meteor_process.counted = counted
        return meteor_process

    monkeypatch.setattr(captions, "_MeteorProcess", running)
    monkeypatch.setattr(meteor_process, "close", lambda: None)
