"""Arrays that are computed once and then read from a file of the cache, memory-mapped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from results.files import open_part


def cached_array(path: Path, write: Callable[[Path], None]) -> npt.NDArray[Any]:
    """Return the memory-mapped array of a file.

    Args:
        path: ``.npy`` file.
        write: writes it to the path that it is given; called if the file is absent or damaged.
    """
    try:
        return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError):
        with open_part(path) as (part, _):
            write(part)
            part.replace(path)
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
