"""Everything a report shows, as plain data: runs, statistics, curves, ablations, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.record import disturbances

TIME = "time.total"  # key of milliseconds per image beside ``task.metric``
AVERAGE = "average"  # key of the mean over the metrics of ``reports.metrics.averaged``


@dataclass(frozen=True, kw_only=True)
class ReportRun:
    """One decoder's run.

    Args:
        label: name in this report, unique among its runs.
        record: the record as plain data.
        folder: name of its folder, never an absolute path.
        phases: phase to milliseconds per image (B,), for the images that have it; empty without samples.
        work: task to (evaluations, positions, sequences) per image (B, 3); empty without samples.
        objects: annotated objects of each image (B,), None if unknown.
    """

    label: str
    record: Mapping[str, Any]
    folder: str = ""
    phases: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    work: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    objects: NDArray[np.float64] | None = None

    @property
    def decoder(self) -> str:
        """Name of the strategy."""
        return str(self.record["decoder"])

    @property
    def encodes(self) -> bool:
        """Whether a network encoded the images; the oracle uses none, so its time is not compared."""
        return "backbone" in self.record["latency"]["phases"]

    @property
    def timed(self) -> bool:
        """Whether its time can be compared: it encodes images and was not run for accuracy alone."""
        latency = self.record["latency"]
        return self.encodes and latency.get("scenario") != "untimed" and self.milliseconds > 0

    @property
    def disturbed(self) -> bool:
        """Whether its record says that the machine was disturbed while it was timed."""
        return bool(disturbances(self.record.get("warnings", ()))) or bool(
            (self.record.get("machine") or {}).get("busy")
        )

    @property
    def machine(self) -> str:
        """The CPU or GPU that it was measured on."""
        environment = self.record["environment"]
        device = self.record["options"].get("device")
        return str((environment.get("gpu") if device != "cpu" else None) or environment.get("cpu") or "unknown machine")

    @property
    def hardware(self) -> str:
        """The machine with its hardware fingerprint, if known; times compare only where this is equal."""
        fingerprint = (self.record.get("machine") or {}).get("fingerprint")
        return f"{self.machine} ({fingerprint})" if fingerprint else self.machine

    @property
    def sequences(self) -> dict[str, float]:
        """Task to mean sequences per image."""
        return {task: float(cost["sequences"]) for task, cost in self.record.get("cost", {}).items()}

    @property
    def milliseconds(self) -> float:
        """Mean milliseconds per image."""
        return float(self.record["latency"]["total"]["mean_ms"])


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of its value."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class MetricDifference:
    """How ``second`` differs from ``first`` on the same images.

    Args:
        first: label of a run.
        second: label of another.
        key: ``task.metric``, ``average`` or ``time.total``.
        value: second minus first; for time the ratio first / second, above 1 if second is faster.
        interval: of the value.
        p: p value, corrected for multiple comparisons where stated; None without a test.
    """

    first: str
    second: str
    key: str
    value: float
    interval: Interval
    p: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the interval excludes "no difference" and p, if known, is below 0.05."""
        no_difference = 1.0 if self.key == TIME else 0.0
        return not self.interval.low <= no_difference <= self.interval.high and (self.p is None or self.p < 0.05)

    def swapped(self) -> MetricDifference:
        """The same difference with ``first`` and ``second`` exchanged."""
        if self.key == TIME:
            interval = Interval(1 / self.interval.high, 1 / self.interval.low)
            value = 1 / self.value
        else:
            interval, value = Interval(-self.interval.high, -self.interval.low), -self.value
        return MetricDifference(
            first=self.second, second=self.first, key=self.key, value=value, interval=interval, p=self.p
        )


@dataclass(frozen=True)
class Statistics:
    """Intervals and comparisons of the runs of a report.

    Args:
        method: how they were computed, in a sentence.
        intervals: label to key to interval.
        comparisons: of every pair of runs, each once.
    """

    method: str = ""
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    comparisons: Sequence[MetricDifference] = ()

    def interval(self, label: str, key: str) -> Interval | None:
        """Interval of a value, None if there is none."""
        return self.intervals.get(label, {}).get(key)

    def between(self, first: str, second: str, key: str) -> MetricDifference | None:
        """``second`` against ``first``, None if they were not compared."""
        for difference in self.comparisons:
            if difference.key == key and {difference.first, difference.second} == {first, second}:
                return difference if difference.first == first else difference.swapped()
        return None


@dataclass(frozen=True)
class Curve:
    """Learning curve of one strategy.

    Args:
        label: strategy.
        steps: training steps of the points.
        scores: ``task metric`` to the values at ``steps``, None where a point has none.
        loss: steps and loss.
        card: what the checkpoint's card says of its training.
    """

    label: str
    steps: Sequence[int]
    scores: Mapping[str, Sequence[float | None]]
    loss: Sequence[tuple[int, float]] = ()
    card: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GalleryRow:
    """Ground truth or one strategy's predictions on an image; what is None is not drawn.

    Args:
        label: name of the strategy.
        boxes: (N, 4) x0 y0 x1 y1 in pixels.
        classes: (N,) class indices.
        names: (N,) class names.
        masks: N arrays (height, width) of booleans.
        joints: (M, K, 3) x, y and visibility; below 0.5 a joint is not drawn.
        caption: the caption.
        depth: (rows, columns) meters, 0 where unknown.
        scores: its scores on this image, in words.
    """

    label: str
    boxes: NDArray[np.float64] | None = None
    classes: Sequence[int] = ()
    names: Sequence[str] = ()
    masks: Sequence[NDArray[np.bool_]] | None = None
    joints: NDArray[np.float64] | None = None
    caption: str | None = None
    depth: NDArray[np.float64] | None = None
    scores: str = ""


@dataclass(frozen=True, kw_only=True)
class GalleryImage:
    """One image of the gallery.

    Args:
        name: its file name.
        why: why it was chosen, in a sentence.
        image: (height, width, 3) bytes.
        truth: its annotations; ``caption`` is the first reference.
        shown: every strategy's predictions.
        references: reference captions.
        limbs: pairs of joints, counted from 0.
    """

    name: str
    why: str
    image: NDArray[np.uint8]
    truth: GalleryRow
    shown: Sequence[GalleryRow]
    references: Sequence[str] = ()
    limbs: Sequence[tuple[int, int]] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything that a report shows; ``missing`` gives the reason for each part that is absent.

    Args:
        runs: runs that are compared, all on the same data.
        statistics: of these runs.
        variants: further runs of the same strategies on the same data, with other options.
        curves: learning curves.
        outcomes: of ablations by name (``results.study``), for ablations and claims.
        pictures: images of the gallery.
        missing: section of the page to the reason why it is absent.
        commands: commands that repeat these runs.
        about: state of the source tree when the report was written.
    """

    runs: Sequence[ReportRun]
    statistics: Statistics = field(default_factory=Statistics)
    variants: Sequence[ReportRun] = ()
    curves: Sequence[Curve] = ()
    outcomes: Mapping[str, Any] = field(default_factory=dict)
    pictures: Sequence[GalleryImage] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


def one_machine(runs: Sequence[ReportRun]) -> bool:
    """Whether times of these runs may be compared."""
    return len({run.hardware for run in runs}) < 2
