"""Finished figures as SVG, PDF and PNG, their inline SVG in the page's colors, and log axes."""

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
    """A figure in all file formats.

    Args:
        name: of its files and its anchor on the page.
        title: its finding, in a sentence; not drawn, as papers have captions.
        alt: alternative text.
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
        """The SVG for the page: no file header, the page's colors, unique ids."""
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


def save_figure(figure: Figure, *, name: str, title: str, alt: str) -> DrawnFigure:
    """Save a figure in all formats and close it; equal figures give equal bytes on equal versions."""
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
    """Three to six round numbers between two ends of a log scale."""
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0)):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [_round(step * 10.0**decade) for decade in decades for step in steps]
        ticks = [value for value in ticks if low <= value <= high]
        if len(ticks) >= 3:
            return ticks[:: math.ceil(len(ticks) / 6)]
    size = 10.0 ** math.ceil(math.log10(high - low))
    for share in (1.0, 0.5, 0.2, 0.1, 0.05):  # the ends are close: even steps
        step = size * share
        ticks = [_round(step * number) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(ticks) >= 3:
            break
    return ticks


def _round(value: float) -> float:
    """Round away binary fractions."""
    return float(f"{value:.6g}")


def log_axis(axis: Any) -> None:
    """Set round numbers as the only ticks of a log scale whose limits are final."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(FixedLocator(log_ticks(float(low), float(high))))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
