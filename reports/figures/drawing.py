"""A finished figure: its files for papers, and its SVG for the page, where the page's own colors take over."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.style import FAINT, GROUND, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
_ON_THE_PAGE = {INK: "currentColor", FAINT: "var(--faint)", GROUND: "var(--ground)"}


@dataclass(frozen=True, kw_only=True)
class DrawnFigure:
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
        """The SVG as the page contains it: without file header, in the page's colors, ids its own."""
        text = self.files["svg"].decode()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", text, flags=re.S)
        text = re.sub(r"\n\s*", "\n", text)
        for stand_in, color in _ON_THE_PAGE.items():
            text = text.replace(stand_in, color)
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        text = re.sub(r'(href="#|url\(#)', rf"\g<1>{self.name}-", text)
        size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', text)
        head = f'<svg role="img" aria-label="{_quoted(self.alt)}" class="drawn"'
        text = re.sub(r'^<svg (xmlns:xlink="[^"]*" )?width="[^"]*" height="[^"]*"', head, text)
        return text if size is None else text.replace(' version="1.1"', "", 1)


def finished(figure: Figure, *, name: str, title: str, alt: str) -> DrawnFigure:
    """Write a figure into all formats and close it. The same figure gives the same bytes on the same versions."""
    import matplotlib.pyplot as plt

    stable: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    files = {}
    for suffix in FORMATS:
        stream = io.BytesIO()
        color = "none" if suffix == "svg" else "white"
        figure.savefig(stream, format=suffix, metadata=stable[suffix], facecolor=color)
        files[suffix] = stream.getvalue()
    width = float(figure.get_size_inches()[0])
    plt.close(figure)
    return DrawnFigure(name=name, title=title, alt=alt, files=files, width=width)


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


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
