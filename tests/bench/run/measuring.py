"""What tests of whole runs share beside fixtures."""

from __future__ import annotations

from collections.abc import Callable

from results.record import Record

TASKS = ("--tasks", "segmentation,depth")
Measure = Callable[..., dict[str, Record]]  # folder and further words of a run to its records by folder
