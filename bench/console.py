"""Progress of long work on a terminal, silence elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, int], None]
EVERY = 0.5  # seconds between two drawings of the bar


@contextmanager
def progress(description: str) -> Iterator[Report]:
    """Yield ``report(done, total)``. The bar appears on standard error, and only if that is a terminal.

    It is drawn by ``report`` and not by a thread, which would draw while something is timed.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True, auto_refresh=False)
    with bar:
        task, drawn = bar.add_task(description, total=None), -EVERY

        def report(done: int, total: int) -> None:
            nonlocal drawn
            bar.update(task, completed=done, total=total)
            if time.monotonic() - drawn >= EVERY or done == total:
                bar.refresh()
                drawn = time.monotonic()

        yield report


@contextmanager
def loading() -> Iterator[None]:
    """Show that the program is loading, on a terminal's standard error, until the context ends."""
    shown = sys.stderr.isatty()
    if shown:
        print("loading …", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def terminal_width(beside: int) -> int | None:
    """Columns of what is printed: the terminal's, or those given where it goes to a file."""
    return None if sys.stdout.isatty() else beside
