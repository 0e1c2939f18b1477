"""Tensors computed from parameters at inference, kept while the parameters do not change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

MOST_KEPT = 16  # values


class Derived:
    """Values computed from parameters.

    In training nothing is kept: fused optimizers change a parameter without raising its version.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[object, ...], tuple[object, Any]] = {}
        self._version: tuple[object, ...] = ()

    def get(self, parameters: Iterable[Tensor], key: tuple[object, ...], compute: Callable[[], Any]) -> Any:
        """Return ``compute()``, or its earlier value for the same key and unchanged parameters.

        Args:
            parameters: what the value depends on, the same for every key.
            key: tensors in it count by their ``id``; they are held, so that the id is not reused.
            compute: computes the value without gradients.
        """
        version = tuple((p.data_ptr(), p.dtype, p.device, p._version) for p in parameters)
        if version != self._version or len(self._values) > MOST_KEPT:
            self._values, self._version = {}, version
        name = tuple(id(part) if isinstance(part, Tensor) else part for part in key)
        if name not in self._values:
            self._values[name] = (key, compute())
        return self._values[name][1]

    def clear(self) -> None:
        """Forget all values."""
        self._values = {}


def may_keep(module: torch.nn.Module) -> bool:
    """Whether tensors derived from a module's parameters may be kept: at inference, outside ``torch.compile``."""
    return not (module.training or torch.is_grad_enabled() or torch.compiler.is_compiling())
