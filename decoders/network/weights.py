"""Weight files read without running code from them."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from huggingface_hub import constants
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from decoders.network.errors import NetworkError

WRAPPERS = ("model", "state_dict", "module", "weights")
ZIP, PICKLE = b"PK", b"\x80"  # first bytes of torch's files


@dataclass(frozen=True)
class StateDict:
    """Named tensors of a file.

    Args:
        tensors: name to tensor.
        entry: where in the file they stand, e.g. ``model`` or ``ema.module``; empty for the top.
        left: names beside that entry, on every level above it.
    """

    tensors: dict[str, Tensor]
    entry: str = ""
    left: list[str] = field(default_factory=list)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a file, as ``read_state_dict`` finds them.

    Raises:
        NetworkError: as ``read_state_dict``, or if a tensor holds NaN or infinity.
    """
    tensors = read_state_dict(path).tensors
    check_finite(tensors, path)
    return tensors


def read_state_dict(path: Path, entry: str | None = None) -> StateDict:
    """Return the state dict of a safetensors file, or of a pickle that holds only tensors and plain containers.

    Args:
        path: the file.
        entry: the state dict's name in the file, dots between levels; default: the top, or what stands in ``model``,
            ``state_dict``, ``module`` or ``weights``.

    Raises:
        NetworkError: if the file is missing, broken, or would need more than tensors, or has no such entry.
    """
    if not path.is_file():
        raise NetworkError(f"{path}: no such weight file; give a .safetensors file or a PyTorch state dict")
    content = _read(path)
    if not isinstance(content, dict):
        raise NetworkError(
            f"{path}: holds a {type(content).__name__}, not a state dict; save module.state_dict() instead"
        )
    places: list[str] = []
    left: list[str] = []
    wanted = entry.split(".") if entry else []
    while (name := wanted.pop(0) if wanted else _wrapper(content)) is not None:
        if not isinstance(content.get(name), dict):
            raise NetworkError(f"{path}: has no entry {entry!r}; give one of {', '.join(_entries(content)) or 'none'}")
        left += [str(other) for other in content if other != name]
        places.append(name)
        content = content[name]
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        inside = _entries(content)
        hint = f"name one of its entries with --entry: {', '.join(inside)}" if inside else "give a state dict"
        raise NetworkError(f"{path}: holds no tensors; {hint}")
    return StateDict(tensors, ".".join(places), left)


def check_finite(tensors: Mapping[str, Tensor], source: Path) -> None:
    """Refuse tensors that hold NaN or infinity. Raises NetworkError with the name of the first."""
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise NetworkError(
                f"{source}: {name} holds NaN or infinite numbers; take an earlier checkpoint of that training"
            )


def _wrapper(content: Mapping[str, Any]) -> str | None:
    return next((name for name in WRAPPERS if isinstance(content.get(name), dict)), None)


def _entries(content: Mapping[str, Any]) -> list[str]:
    """Return the names of the members that are dicts."""
    return [str(name) for name, value in content.items() if isinstance(value, dict)]


def _read(path: Path) -> Any:
    """Read a file by its content; names of checkpoints say little."""
    with path.open("rb") as stream:
        first = stream.read(9)
    if first.startswith((ZIP, PICKLE)):
        return _read_pickle(path)
    if first[8:] == b"{":
        return _read_safetensors(path)
    kind = "safetensors" if path.suffix == ".safetensors" else "PyTorch"
    raise NetworkError(f"{path}: not a {kind} file (its first bytes are {first[:8]!r}); download it again")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise NetworkError(f"{path}: a broken safetensors file ({_line(error)}); download it again") from None


def _read_pickle(path: Path) -> Any:
    try:
        with path.open("rb") as stream:  # of a path, torch looks at the suffix
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "eights only" not in str(error) and "weights_only" not in str(error):
            raise NetworkError(f"{path}: not a PyTorch file ({_line(error)}); download it again") from None
        raise NetworkError(
            f"{path}: needs more than tensors to be read, and running code from a file is refused; "
            "save its plain state dict, or convert it to safetensors where you trust it"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise NetworkError(f"{path}: a broken PyTorch file ({_line(error)}); download it again") from None


def skip_retries_offline() -> None:
    """Use only the Hugging Face cache if its host cannot be reached; the hub's own retries take a minute."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return
    host = urlparse(constants.ENDPOINT)
    try:
        socket.create_connection((host.hostname or "", host.port or 443), timeout=5).close()
    except OSError:
        constants.HF_HUB_OFFLINE = True


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
