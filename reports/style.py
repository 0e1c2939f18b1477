"""The style of all figures: one palette, fixed per strategy and safe for color-blind readers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.report_data import ReportRun


@dataclass(frozen=True)
class Look:
    """Color (hex) and marker (matplotlib's name) of one strategy."""

    color: str
    marker: str


# Each has a contrast of at least 3 against white and against the page's dark ground; where two come close for a
# reader who lacks one kind of cone, their markers differ. A test computes both.
STRATEGIES = {
    "autoregressive": Look("#DA4F1D", "s"),
    "parallel": Look("#0B6FAF", "o"),
    "mad-one-pass": Look("#3C82F6", "v"),
    "mad": Look("#12A56C", "D"),
    "mad-released": Look("#845E39", "^"),
    "ait": Look("#B93BB0", "P"),
    "ait-parallel": Look("#C4870E", "X"),
    "oracle": Look("#7F8489", "_"),
}
# For strategies of other packages, taken in this order.
FURTHER = (
    Look("#8F5BD6", "h"),
    Look("#0A8F93", "<"),
    Look("#6E6A12", ">"),
    Look("#5F7D1E", "p"),
    Look("#C2447A", "d"),
    Look("#56708F", "8"),
)
# Phases of an image's time. None is a strategy's color; the same test checks their distances.
PHASES = {
    "preprocess": "#BDD2D1",
    "backbone": "#424160",
    "encoder": "#9B88A3",
    "decode.detection": "#68B8D9",
    "decode.segmentation": "#14665B",
    "decode.keypoints": "#E1D594",
    "decode.captioning": "#D28789",
    "decode.depth": "#3F3CD3",
    "interpret": "#BB4D7A",
}
FURTHER_PHASES = ("#8A9099", "#845E39", "#6E6A12")
PUBLISHED = "#7F8489"

# Placeholders that the page turns into its own colors, so that one figure serves light and dark; files keep them dark
# on white. Near-black, mid-gray and white, each a value that nothing else uses.
INK, FAINT, GROUND = "#0b0c0d", "#b9bcc0", "#fefefe"
COLUMN = 3.35  # inches: a column of a two-column paper, 8.5 cm
WIDE = 6.9

_RC: dict[Any, Any] = {
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.35,
    "grid.alpha": 0.6,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "decoder-bench",
    "pdf.fonttype": 42,
    "axes.unicode_minus": True,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply the project's style and the Agg backend."""
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context(_RC):
        yield


def looks(decoders: list[str]) -> dict[str, Look]:
    """A look for each strategy; unknown ones get a free look that depends on their names only."""
    chosen = {name: STRATEGIES[name] for name in decoders if name in STRATEGIES}
    free = list(FURTHER)
    for name in sorted(set(decoders) - chosen.keys()):
        chosen[name] = free.pop(zlib.crc32(name.encode()) % len(free)) if free else Look(PUBLISHED, "*")
    return chosen


def phase_colors(names: Sequence[str]) -> dict[str, str]:
    """A color for each phase; those of other packages take the further ones in turn."""
    chosen = {name: PHASES[name] for name in names if name in PHASES}
    unknown = sorted(set(names) - chosen.keys())
    return chosen | {name: FURTHER_PHASES[place % len(FURTHER_PHASES)] for place, name in enumerate(unknown)}


def in_order(runs: Sequence[ReportRun]) -> list[ReportRun]:
    """Runs in the order of the palette, other strategies after them, the oracle last."""
    return sorted(runs, key=lambda run: (not run.encodes, strategy_rank(run.decoder), run.label))


def strategy_rank(decoder: str) -> int:
    """Position of a strategy in the palette; those of other packages come last."""
    return list(STRATEGIES).index(decoder) if decoder in STRATEGIES else len(STRATEGIES)
