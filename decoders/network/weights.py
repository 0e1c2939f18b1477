"""Weight files read without running code from them."""

from __future__ import annotations

import os
import pickle
import socket
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


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a safetensors file, or of a pickle that holds only tensors and plain containers.

    Checkpoints that wrap their state dict in ``model``, ``state_dict``, ``module`` or ``weights`` are unwrapped.

    Raises:
        NetworkError: if the file is missing, broken, or would need more than tensors.
    """
    if not path.is_file():
        raise NetworkError(f"{path}: no such weight file; give a .safetensors file or a PyTorch state dict")
    content: Any = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    while isinstance(content, dict) and any(isinstance(content.get(name), dict) for name in WRAPPERS):
        content = next(content[name] for name in WRAPPERS if isinstance(content.get(name), dict))
    if not isinstance(content, dict):
        raise NetworkError(
            f"{path}: holds a {type(content).__name__}, not a state dict; save module.state_dict() instead"
        )
    named = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not named:
        raise NetworkError(f"{path}: holds no tensors; give a state dict")
    return named


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise NetworkError(f"{path}: not a safetensors file ({_line(error)}); download it again") from None


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "eights only" not in str(error) and "weights_only" not in str(error):
            raise NetworkError(f"{path}: not a PyTorch file ({_line(error)}); download it again") from None
        raise NetworkError(
            f"{path}: needs more than tensors to be read, and running code from a file is refused; "
            "save its plain state dict, or convert it to safetensors where you trust it"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise NetworkError(f"{path}: not a PyTorch file ({_line(error)}); download it again") from None


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
    return " ".join(str(error).split())[:120] or type(error).__name__
