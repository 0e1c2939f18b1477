"""What metrics mean to a reader: heading, unit, which direction is better; one place for tables, figures and titles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """One metric of one task as it is shown.

    Args:
        task: task name.
        name: name in the record.
        heading: short heading of a column.
        factor: fractions are shown times 100; meters and ratios as they are.
        digits: decimals shown.
        higher: whether more is better; None where that is not known, then nothing is ever called best.
    """

    task: str
    name: str
    heading: str
    factor: float
    digits: int
    higher: bool | None

    @property
    def key(self) -> str:
        """``task.metric``."""
        return f"{self.task}.{self.name}"

    def text(self, value: float | None) -> str:
        """A value as tables print it; a dash where the metric is not defined."""
        return "–" if value is None else f"{value * self.factor:.{self.digits}f}"

    def signed(self, value: float) -> str:
        """A difference, with its sign."""
        return f"{value * self.factor:+.{self.digits}f}".replace("-", "−")

    def value(self, record: Mapping[str, Any]) -> float | None:
        """The metric in a record; None where the task did not run or the metric is not defined."""
        found = record["metrics"].get(self.task, {}).get(self.name)
        return None if found is None else float(found)


# MAD's and AiT's tables print these.
HEADLINE = (
    Metric("detection", "AP", "box AP", 100, 1, True),
    Metric("segmentation", "AP", "mask AP", 100, 1, True),
    Metric("keypoints", "AP", "kpt AP", 100, 1, True),
    Metric("captioning", "BLEU-4", "BLEU-4", 100, 1, True),
    Metric("captioning", "CIDEr", "CIDEr", 100, 1, True),
    Metric("depth", "rmse", "RMSE m", 1, 3, False),
    Metric("depth", "delta1", "δ1", 100, 1, True),
)
AVERAGED = HEADLINE[:4]  # the four that MAD averages (Figure 1)
_LOWER = {"abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog"}
_METERS = {"rmse": "RMSE m", "sq_rel": "SqRel m"}
_HEADINGS = {"delta1": "δ1", "delta2": "δ2", "delta3": "δ3", "abs_rel": "AbsRel", "rmse_log": "RMSE log"}
_KNOWN = ("detection", "segmentation", "keypoints", "captioning", "depth")


def metric(task: str, name: str) -> Metric:
    """How a metric is shown. One of a task that is not ours is a fraction as it is, and neither direction is better."""
    for known in HEADLINE:
        if (known.task, known.name) == (task, name):
            return known
    if task not in _KNOWN:
        return Metric(task, name, name, 1, 3, None)
    if name in _LOWER:
        return Metric(task, name, _METERS.get(name, _HEADINGS.get(name, name)), 1, 3, False)
    return Metric(task, name, _HEADINGS.get(name, name), 100, 1, True)


def in_task_order(tasks: Iterable[str]) -> list[str]:
    """Tasks as the papers list them, each once; those of other packages behind."""
    known = list(dict.fromkeys(tasks))
    return sorted(known, key=lambda task: _KNOWN.index(task) if task in _KNOWN else len(_KNOWN))


def headline(records: Sequence[Mapping[str, Any]]) -> list[Metric]:
    """Columns of a comparison: the papers' for our tasks, all metrics of other tasks; only tasks that ran."""
    tasks = list(dict.fromkeys(task for record in records for task in record["metrics"]))
    columns = [known for known in HEADLINE if known.task in tasks]
    for task in tasks:
        if task not in _KNOWN:
            names = dict.fromkeys(name for record in records for name in record["metrics"].get(task, {}))
            columns += [metric(task, name) for name in names]
    return columns


def averaged(records: Sequence[Mapping[str, Any]]) -> list[Metric]:
    """The metrics whose mean stands for a run: those of MAD's four that every record has, else depth's δ1."""
    present = [known for known in AVERAGED if all(known.value(record) is not None for record in records)]
    return present or [known for known in HEADLINE[6:] if all(known.value(record) is not None for record in records)]


def average(record: Mapping[str, Any], metrics: Sequence[Metric]) -> float | None:
    """Mean of the given metrics of a record, None without metrics."""
    values = [found for known in metrics if (found := known.value(record)) is not None]
    return sum(values) / len(values) if metrics and len(values) == len(metrics) else None
