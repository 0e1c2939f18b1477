"""A file of golden arrays: numbers of a model's released classes, and all that is needed to compute them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError

META, AIT = "meta_json", "tr/cfg"  # the configuration in a file of MAD's and of AiT's arrays


class GoldenFile:
    """Arrays by name.

    Attributes:
        path: of the file.
        meta: the configuration in a file of MAD's arrays; empty for AiT's, which has several ``config`` arrays.
        unread: names of arrays that nothing has read yet.

    Raises:
        UserError: if the file is missing, no ``.npz``, or does not describe a model.
    """

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; give an .npz of golden arrays") from None
        except Exception as error:  # a damaged archive raises errors of zip, zlib, NumPy or its parser
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise UserError(f"{path}: not an .npz of plain arrays ({reason}); give a golden file") from None
        if META not in arrays and AIT not in arrays:
            raise UserError(f"{path}: has no {META} or {AIT} array that describes a model; give a golden file")
        self.path, self._arrays = path, arrays
        self.unread = set(arrays)
        self.meta = self.config(META) if META in arrays else {}

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    @property
    def names(self) -> list[str]:
        """Names of all arrays."""
        return list(self._arrays)

    def config(self, name: str) -> dict[str, Any]:
        """Return a JSON array by name.

        Raises:
            KeyError: if the file does not have it.
            UserError: if it is no JSON object.
        """
        self.unread.discard(name)
        try:
            config = json.loads(str(self._arrays[name]))
        except ValueError:
            config = None
        if not isinstance(config, dict):
            raise UserError(f"{self.path}: its {name} is no JSON object; give a golden file")
        return config

    def tensor(self, name: str) -> Tensor:
        """Return an array by name. Raises KeyError if the file does not have it."""
        self.unread.discard(name)
        return torch.from_numpy(np.array(self._arrays[name]))  # 0-d arrays stay arrays

    def beginning(self, prefix: str) -> dict[str, Tensor]:
        """Return arrays whose name begins with ``prefix``, by the rest of their name."""
        return {name.removeprefix(prefix): self.tensor(name) for name in self._arrays if name.startswith(prefix)}
