"""A finished figure: its files for papers, and its SVG for the page, where the page's own colours take over."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.style import FAINT, GROUND, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
_ON_THE_PAGE = {INK: "currentColor", FAINT: "var(--faint)", GROUND: "var(--ground)"}
_POINTS = 72


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure that is ready to be written.

    Args:
        name: name of its files and its place on the page.
        title: the finding that it shows, a sentence; not drawn into the figure, papers have captions.
        alt: what a reader who cannot see it must know.
        files: suffix to content.
        width: inches.
    """

    name: str
    title: str
    alt: str
    files: dict[str, bytes]
    width: float

    @property
    def inline(self) -> str:
        """The SVG as the page contains it: without file header, in the page's colours, ids its own."""
        text = self.files["svg"].decode()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", text, flags=re.S)
        text = re.sub(r"\n\s*", "\n", text)
        for stand_in, colour in _ON_THE_PAGE.items():
            text = text.replace(stand_in, colour)
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        text = re.sub(r'(href="#|url\(#)', rf"\g<1>{self.name}-", text)
        size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', text)
        head = f'<svg role="img" aria-label="{_quoted(self.alt)}" class="drawn"'
        text = re.sub(r'^<svg (xmlns:xlink="[^"]*" )?width="[^"]*" height="[^"]*"', head, text)
        return text if size is None else text.replace(' version="1.1"', "", 1)


def finished(figure: Figure, *, name: str, title: str, alt: str) -> Drawn:
    """Write a figure into all formats and close it. The same figure gives the same bytes on the same versions."""
    import matplotlib.pyplot as plt

    stable: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    files = {}
    for suffix in FORMATS:
        stream = io.BytesIO()
        colour = "none" if suffix == "svg" else "white"
        figure.savefig(stream, format=suffix, metadata=stable[suffix], facecolor=colour)
        files[suffix] = stream.getvalue()
    width = float(figure.get_size_inches()[0])
    plt.close(figure)
    return Drawn(name=name, title=title, alt=alt, files=files, width=width)


def log_ticks(low: float, high: float) -> list[float]:
    """A few round numbers between two ends of a log scale: three to six of them."""
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0)):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [_round(step * 10.0**decade) for decade in decades for step in steps]
        found = [value for value in found if low <= value <= high]
        if len(found) >= 3:
            return found[:: math.ceil(len(found) / 6)]
    size = 10.0 ** math.ceil(math.log10(high - low))
    for share in (1.0, 0.5, 0.2, 0.1, 0.05):  # the ends are close: even steps
        step = size * share
        found = [_round(step * number) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(found) >= 3:
            break
    return found


def _round(value: float) -> float:
    """Without the last digits that binary fractions leave."""
    return float(f"{value:.6g}")


def log_axis(axis: Any) -> None:
    """Round numbers as the ticks of a log scale, once its limits are set; no others."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(FixedLocator(log_ticks(float(low), float(high))))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


Box = tuple[float, float, float, float]


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float, str]],
    *,
    size: float = 7,
    avoid: Sequence[Box] = (),
    crowded: bool = True,
) -> bool:
    """Write a name beside each point where it covers no other point, name, line or edge of the axes.

    Args:
        axes: with limits, scales and layout set.
        points: x, y and name.
        size: of the letters, points.
        avoid: straight lines to keep clear of: x0, y0, x1, y1 in data units.
        crowded: whether to write the names even where some cannot stand clear beside their points.

    Returns:
        Whether the names were written.
    """
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    scale = axes.figure.dpi / _POINTS
    x0, y0, x1, y1 = axes.get_window_extent(renderer).extents
    frame = (float(x0), float(y0), float(x1), float(y1))
    places = [tuple(axes.transData.transform((x, y))) for x, y, _ in points]
    taken: list[Box] = [(x - 3 * scale, y - 3 * scale, x + 3 * scale, y + 3 * scale) for x, y in places]
    for x0, y0, x1, y1 in avoid:
        (left, low), (right, high) = axes.transData.transform([(x0, y0), (x1, y1)])
        lower, upper = (min(left, right) - scale, min(low, high) - scale), (max(left, right), max(low, high))
        taken.append((*lower, upper[0] + scale, upper[1] + scale))
    texts, covered = [], 0.0
    for (x, y, name), place in zip(points, places, strict=True):
        text = axes.annotate(name, (x, y), (0, 0), textcoords="offset points", fontsize=size, color=INK)
        text.set_in_layout(False)
        extent = text.get_window_extent(renderer)
        boxes = [_box(place, spot, (extent.width, extent.height), scale) for spot in _SPOTS]
        cost = [sum(_overlap(box, other) for other in taken) + 20 * scale * _outside(box, frame) for box in boxes]
        chosen = min(range(len(boxes)), key=lambda number: (round(cost[number], 3), number))
        text.set(position=_SPOTS[chosen], ha=_anchor(_SPOTS[chosen][0]), va="center")
        taken.append(boxes[chosen])
        texts.append(text)
        covered = max(covered, cost[chosen])
    if covered and not crowded:
        for text in texts:
            text.remove()
    return crowded or not covered


# Points to the right and up; near places first.
_SPOTS = tuple(
    (dx * reach, dy * reach)
    for reach in (1.0, 1.5)
    for dx, dy in ((6.0, 0.0), (6.0, 5.0), (6.0, -5.0), (0.0, 8.0), (0.0, -8.0), (-6.0, 0.0), (-6.0, 5.0), (-6.0, -5.0))
)


def _anchor(dx: float) -> str:
    return "left" if dx > 0 else "right" if dx < 0 else "center"


def _box(place: Sequence[float], spot: tuple[float, float], size: tuple[float, float], scale: float) -> Box:
    """Pixels that a text of ``size`` covers when it stands at ``spot`` points from ``place`` pixels."""
    (width, height), x, y = size, place[0] + spot[0] * scale, place[1] + spot[1] * scale
    left = x - {"left": 0.0, "right": width, "center": width / 2}[_anchor(spot[0])]
    return left, y - height / 2, left + width, y + height / 2


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def _outside(box: Box, frame: Box) -> float:
    return sum(max(a, 0.0) for a in (frame[0] - box[0], box[2] - frame[2], frame[1] - box[1], box[3] - frame[3]))


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
