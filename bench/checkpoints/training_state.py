"""The state of an unfinished training on disk, from which it continues exactly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench.errors import UserError
from results.files import open_part, write_error

KEYS = {
    "signature",
    "step",
    "precision",
    "seconds",
    "cpu_seconds",
    "sums",
    "objective",
    "optimizer",
    "average",
    "scaler",
}


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a training; the file appears whole.

    Raises:
        StoreError: if it cannot be written.
    """
    try:
        with open_part(path) as (part, stream):
            torch.save(state, stream)
            part.replace(path)
    except (OSError, RuntimeError) as error:  # torch raises its own while it handles the disk's
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise write_error(path, cause) from None


def read_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Return what ``write_state`` wrote.

    Raises:
        UserError: if the file is damaged or written by another version.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        missing = sorted(KEYS - state.keys()) if isinstance(state, dict) else ["every key"]
        problem = f"not a training's state of this version: it lacks {', '.join(missing)}" if missing else ""
    except (torch.OutOfMemoryError, MemoryError, OSError):
        raise  # not the file's fault
    except Exception as error:  # torch raises whatever its reader comes upon
        problem = " ".join(str(error).split())[:100] or type(error).__name__
    if problem:
        raise UserError(f"{path}: broken ({problem}); discard it with --fresh, or choose another --out")
    return dict(state)
