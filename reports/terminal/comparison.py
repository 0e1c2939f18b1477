"""A comparison of runs: one sentence a pair, tables in the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.metrics import HEADLINE, ShownMetric
from reports.tables.table import pipe_table
from reports.terminal.console_table import console_table
from results.comparison import Change, Comparison, RunPair, Speed

if TYPE_CHECKING:
    from rich.console import Console

SHORT = {"detection": "box", "segmentation": "mask", "keypoints": "kpt", "captioning": "caption"}
IN_METERS = {"rmse", "sq_rel"}
LEVEL = 0.05
HEADINGS = ("", "first", "second", "difference", "95 % interval", "p", "p (Holm)", "detectable")


def sentence(pair: RunPair) -> str:
    """The pair in one sentence: the faster run is the subject; one metric of each task."""
    total = next((speed for speed in pair.times if speed.phase == "total"), None)
    swapped = total is not None and total.ratio > 1  # the second takes longer: the first is the subject
    subject, other = (pair.first, pair.second) if swapped else (pair.second, pair.first)
    accuracy = ", ".join(_difference(change, -1 if swapped else 1) for change in _first_of_each_task(pair.metrics))
    if total is None:
        return f"{subject} has {accuracy} compared with {other}" if accuracy else f"{subject} and {other}"
    if total.low is None or total.high is None:
        speed = f"{subject} and {other} were timed on too few images to compare"
    elif total.low <= 1 <= total.high or _is_open(total):
        speed = f"{subject} and {other} do not differ significantly in time ({_interval(total, swapped)})"
        accuracy = accuracy and f"{subject} is at {accuracy}"
        return f"{speed}; {accuracy}" if accuracy else speed
    elif pair.doubtful:
        value = total.ratio if swapped else 1 / total.ratio
        speed = f"{subject} seems {_digits(value)} times faster than {other}, but times are doubtful"
    else:
        speed = f"{subject} is {_times(total, swapped)} times faster than {other}"
    return f"{speed} at {accuracy}" if accuracy else speed


def _first_of_each_task(changes: Sequence[Change]) -> list[Change]:
    chosen: dict[str, Change] = {}
    for change in changes:
        if change.difference is not None:
            chosen.setdefault(change.task, change)
    return list(chosen.values())


def _difference(change: Change, sign: int) -> str:
    metric = shown(change)
    text = f"{metric.signed(sign * (change.difference or 0.0))} {metric.heading}"
    if change.low is None or change.high is None:
        return f"{text} (no interval)"
    low, high = sorted((sign * change.low, sign * change.high))
    return f"{text} ({metric.signed(low)} … {metric.signed(high)}{', not significant' if _is_open(change) else ''})"


def _is_open(item: Change | Speed) -> bool:
    """Whether the corrected p leaves open that there is no difference."""
    p = item.p if item.adjusted is None else item.adjusted
    return p is not None and p >= LEVEL


def _times(speed: Speed, swapped: bool) -> str:
    value = speed.ratio if swapped else 1 / speed.ratio
    return f"{_digits(value)} ({_interval(speed, swapped)})"


def _interval(speed: Speed, swapped: bool) -> str:
    if speed.low is None or speed.high is None:
        return "no interval"
    ends = (speed.low, speed.high) if swapped else (1 / speed.high, 1 / speed.low)
    return "–".join(_digits(end) for end in ends)


def _digits(value: float) -> str:
    return f"{value:.2f}" if value < 3 else f"{value:.1f}"


def shown(change: Change) -> ShownMetric:
    """How a metric is shown; all but the headline metrics are × 100 or in meters."""
    for metric in HEADLINE:
        if (metric.task, metric.name) == (change.task, change.metric):
            return metric
    factor, digits = (1, 3) if change.metric in IN_METERS else (100, 1)
    heading = f"{SHORT.get(change.task, change.task)} {change.metric}"
    return ShownMetric(change.task, change.metric, heading, factor, digits, None)


def p_value(p: float | None) -> str:
    """A p value with three decimals."""
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def rows(pair: RunPair) -> list[tuple[str, ...]]:
    """Cells of a pair's table, in the order of ``HEADINGS``."""
    cells: list[tuple[str, ...]] = []
    for change in pair.metrics:
        metric = shown(change)
        front = (metric.heading, metric.text(change.first), metric.text(change.second))
        difference = "–" if change.difference is None else metric.signed(change.difference)
        if change.low is None or change.high is None:
            cells.append((*front, difference, change.note or "–", "–", "–", "–"))
            continue
        interval = f"{metric.signed(change.low)} … {metric.signed(change.high)}"
        least = metric.text(change.detectable)
        cells.append((*front, difference, interval, p_value(change.p), p_value(change.adjusted), f"±{least}"))
    for speed in pair.times:
        interval = "–" if speed.low is None or speed.high is None else f"×{speed.low:.3f} … ×{speed.high:.3f}"
        least = "–" if speed.detectable is None else f"±{100 * speed.detectable:.1f} %"
        name = {"total": "ms/image", "decode": "ms decoding"}.get(speed.phase, f"ms {speed.phase}")
        times = (name, f"{speed.first_ms:.1f}", f"{speed.second_ms:.1f}", f"×{speed.ratio:.3f}")
        cells.append((*times, interval, p_value(speed.p), p_value(speed.adjusted), least))
    return cells


def about(comparison: Comparison) -> str:
    """Data, number of images and statistical method, in one line."""
    return (
        f"{comparison.images} images, data {comparison.data}; paired bootstrap, {comparison.resamples:,} resamples; "
        f"paired permutation for time, seed {comparison.seed}; detectable: found with probability 0.8 "
        "(metrics × 100, depth in meters)"
    )


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print a table, a sentence and the remarks of each pair."""
    from rich.text import Text

    console.print(about(comparison), style="bold", highlight=False, markup=False, soft_wrap=True)
    for pair in comparison.pairs:
        table = console_table(_headings(pair), wrap=(4,))  # the interval
        for row in rows(pair):
            table.add_row(*map(Text, row))
        console.print(table)
        console.print(f"{pair.sentence}.", highlight=False, markup=False, soft_wrap=True)
        for remark in pair.remarks:
            console.print(f"note: {remark}", highlight=False, markup=False, soft_wrap=True)


def _headings(pair: RunPair) -> tuple[str, ...]:
    return ("", pair.first, pair.second, *HEADINGS[3:])


def markdown(comparison: Comparison) -> str:
    """The comparison as a Markdown document."""
    lines = ["# Comparison", "", about(comparison), ""]
    for pair in comparison.pairs:
        lines += [pipe_table(_headings(pair), rows(pair)), "", f"{pair.sentence}."]
        lines += [f"- {remark}" for remark in pair.remarks]
        lines.append("")
    return "\n".join(lines)
