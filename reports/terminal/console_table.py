"""The one look of tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import OverflowMethod
    from rich.table import Table


def console_table(
    headings: Sequence[str],
    *,
    left: Sequence[int] = (0,),
    wrap: Sequence[int] = (),
    overflow: OverflowMethod = "ellipsis",
) -> Table:
    """A rich table with a rule below its headings and no rows yet.

    Args:
        headings: of all columns.
        left: positions of columns aligned left; the others are aligned right.
        wrap: positions of columns whose cells may take several lines.
        overflow: what happens to text that is too long for its column.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for place, heading in enumerate(headings):
        side = "left" if place in left else "right"
        table.add_column(Text(heading), justify=side, no_wrap=place not in wrap, overflow=overflow)  # type: ignore[arg-type]
    return table
