"""Per-image tables of any kind, unpacked from their stored form."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from tasks.errors import TaskError
from tasks.metrics.tables import MeanTable, ScoreTable


def unpack(packed: Mapping[str, Any]) -> ScoreTable:
    """A table from what its ``pack`` gave.

    Raises:
        TaskError: if it is of no known kind or broken.
    """
    from tasks.metrics.caption_table import CaptionTable
    from tasks.metrics.matches import MatchTable

    kinds: dict[str, Any] = {"means": MeanTable, "matches": MatchTable, "captions": CaptionTable}
    try:
        table: ScoreTable = kinds[packed["kind"]].unpack(packed)
    except (KeyError, TypeError, ValueError, IndexError, zlib.error) as error:
        raise TaskError(f"a per-image table is broken ({type(error).__name__}: {error}); write it again") from None
    return table
