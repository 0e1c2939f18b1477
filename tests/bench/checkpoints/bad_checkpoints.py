"""Files that are no checkpoint, and what importing them has to say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from bench.checkpoints.convert import import_checkpoint
from bench.errors import UserError


class Trap:
    """Would print when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled",)


def check_refused(kind: str, contents: Mapping[str, object], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Import each of the contents, which is refused with its message in one line; nothing is run or written."""
    path, out = folder / "bad.pth", folder / "out.safetensors"
    for message, content in contents.items():
        torch.save(content, path)
        with pytest.raises(UserError, match=message) as caught:
            import_checkpoint(kind, path, out)
        assert "\n" not in str(caught.value)
    assert "unpickled" not in capsys.readouterr().out
    assert not out.exists()
