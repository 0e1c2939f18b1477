"""How metrics are shown: heading, factor, digits, and which direction is better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ShownMetric:
    """One metric of one task as it is shown.

    Args:
        task: task name.
        name: name in the record.
        heading: short heading of a column.
        factor: fractions are shown times 100; meters and ratios as they are.
        digits: decimals shown.
        higher: whether more is better; None if unknown, then no run is called best.
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
        """A value as tables print it, a dash for None."""
        return "–" if value is None else f"{value * self.factor:.{self.digits}f}"

    def signed(self, value: float) -> str:
        """A difference, with its sign."""
        return f"{value * self.factor:+.{self.digits}f}".replace("-", "−")

    def value(self, record: Mapping[str, Any]) -> float | None:
        """The metric in a record, None if the task did not run or the metric is not defined."""
        value = record["metrics"].get(self.task, {}).get(self.name)
        return None if value is None else float(value)


# MAD's and AiT's tables print these.
HEADLINE = (
    ShownMetric("detection", "AP", "box AP", 100, 1, True),
    ShownMetric("segmentation", "AP", "mask AP", 100, 1, True),
    ShownMetric("keypoints", "AP", "kpt AP", 100, 1, True),
    ShownMetric("captioning", "BLEU-4", "BLEU-4", 100, 1, True),
    ShownMetric("captioning", "CIDEr", "CIDEr", 100, 1, True),
    ShownMetric("depth", "rmse", "RMSE m", 1, 3, False),
    ShownMetric("depth", "delta1", "δ1", 100, 1, True),
)
SEMANTIC = ShownMetric("semantic", "mIoU", "mIoU", 100, 1, True)  # published only
AVERAGED = HEADLINE[:4]  # the four that MAD averages (Figure 1)
_LOWER = {"abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "distance"}
_METERS = {"rmse": "RMSE m", "sq_rel": "SqRel m"}
_HEADINGS = {"delta1": "δ1", "delta2": "δ2", "delta3": "δ3", "abs_rel": "AbsRel", "rmse_log": "RMSE log"}
_HEADINGS |= {"distance": "L2 distance"}
_KNOWN = ("detection", "segmentation", "keypoints", "captioning", "depth")


def metric(task: str, name: str) -> ShownMetric:
    """How a metric is shown; those of other packages' tasks unscaled, with unknown direction."""
    for shown in (*HEADLINE, SEMANTIC):
        if (shown.task, shown.name) == (task, name):
            return shown
    if task not in _KNOWN:
        return ShownMetric(task, name, name, 1, 3, None)
    if name in _LOWER:
        return ShownMetric(task, name, _METERS.get(name, _HEADINGS.get(name, name)), 1, 3, False)
    return ShownMetric(task, name, _HEADINGS.get(name, name), 100, 1, True)


def in_task_order(tasks: Iterable[str]) -> list[str]:
    """Distinct tasks in the papers' order, those of other packages last."""
    unique = list(dict.fromkeys(tasks))
    return sorted(unique, key=lambda task: _KNOWN.index(task) if task in _KNOWN else len(_KNOWN))


def headline(records: Sequence[Mapping[str, Any]]) -> list[ShownMetric]:
    """Columns of a comparison: headline metrics of our tasks, all metrics of others, for the tasks that ran."""
    tasks = list(dict.fromkeys(task for record in records for task in record["metrics"]))
    columns = [shown for shown in HEADLINE if shown.task in tasks]
    for task in tasks:
        if task not in _KNOWN:
            names = dict.fromkeys(name for record in records for name in record["metrics"].get(task, {}))
            columns += [metric(task, name) for name in names]
    return columns


def averaged(records: Sequence[Mapping[str, Any]]) -> list[ShownMetric]:
    """Metrics to average: those of MAD's four that every record has, else depth's δ1."""
    present = [shown for shown in AVERAGED if all(shown.value(record) is not None for record in records)]
    return present or [shown for shown in HEADLINE[6:] if all(shown.value(record) is not None for record in records)]


def average(record: Mapping[str, Any], metrics: Sequence[ShownMetric]) -> float | None:
    """Mean of the metrics of a record, None if one is missing or there are none."""
    values = [value for shown in metrics if (value := shown.value(record)) is not None]
    return sum(values) / len(values) if metrics and len(values) == len(metrics) else None
