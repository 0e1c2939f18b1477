"""What a report is made from: runs, statistics, curves, ablations and pictures, all as data. ``bench`` gathers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIME = "time.total"  # key of milliseconds per image beside ``task.metric``
AVERAGE = "average"  # key of the mean over the metrics of ``reports.metrics.averaged``


class ReportError(Exception):
    """What was given cannot be shown together; the message says what differs and what to do."""


@dataclass(frozen=True, kw_only=True)
class ReportRun:
    """One decoder's run.

    Args:
        label: name in this report, unlike that of every other run.
        record: the record as plain data.
        folder: name of its folder, for people; never an absolute path.
        phases: phase to milliseconds per image (B,), for the images that have it; empty without samples.
        work: task to (evaluations, positions, sequences) per image (B, 3); empty without samples.
        objects: objects in each image (B,) by the annotations, not by what was decoded; None where it is not known.
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
        """Whether an image went through a network; the oracle's does not, so it has no time worth comparing."""
        return "backbone" in self.record["latency"]["phases"]

    @property
    def timed(self) -> bool:
        """Whether its time means anything: it encodes images, and was not run for its accuracy alone."""
        latency = self.record["latency"]
        return self.encodes and latency.get("scenario") != "untimed" and self.milliseconds > 0

    @property
    def machine(self) -> str:
        """The processor or graphics card that it was measured on."""
        environment = self.record["environment"]
        device = self.record["options"].get("device")
        return str((environment.get("gpu") if device != "cpu" else None) or environment.get("cpu") or "unknown machine")

    @property
    def hardware(self) -> str:
        """The same with the hash of all that decides speed, where that is known: equal where times compare."""
        found = (self.record.get("machine") or {}).get("fingerprint")
        return f"{self.machine} ({found})" if found else self.machine

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
        value: second minus first; for time the ratio first / second, so more than 1 says that second is faster.
        interval: of the value.
        p: probability of such a difference by chance, corrected for the number of comparisons where that was done.
    """

    first: str
    second: str
    key: str
    value: float
    interval: Interval
    p: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out "no difference"."""
        nothing = 1.0 if self.key == TIME else 0.0
        return not self.interval.low <= nothing <= self.interval.high and (self.p is None or self.p < 0.05)

    def turned(self) -> MetricDifference:
        """The same, seen from the other run."""
        if self.key == TIME:
            turned = Interval(1 / self.interval.high, 1 / self.interval.low)
            value = 1 / self.value
        else:
            turned, value = Interval(-self.interval.high, -self.interval.low), -self.value
        return MetricDifference(
            first=self.second, second=self.first, key=self.key, value=value, interval=turned, p=self.p
        )


@dataclass(frozen=True)
class Statistics:
    """Intervals and comparisons of the runs of a report.

    Args:
        method: how they were computed, a sentence.
        intervals: label to key to interval.
        comparisons: of every pair of runs, each once.
    """

    method: str = ""
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    comparisons: Sequence[MetricDifference] = ()

    def interval(self, label: str, key: str) -> Interval | None:
        """Interval of a value, None where there is none."""
        return self.intervals.get(label, {}).get(key)

    def between(self, first: str, second: str, key: str) -> MetricDifference | None:
        """``second`` against ``first``, None where they were not compared."""
        for found in self.comparisons:
            if found.key == key and {found.first, found.second} == {first, second}:
                return found if found.first == first else found.turned()
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
    """What one strategy, or the truth, says of an image. A part that is None is left out of the picture.

    Args:
        label: name of the strategy.
        boxes: (N, 4) x0 y0 x1 y1 in pixels.
        classes: (N,) class indices.
        names: (N,) class names.
        masks: N arrays (height, width) of booleans.
        joints: (M, K, 3) x, y and visibility; below 0.5 a joint is not drawn.
        caption: the caption.
        depth: (rows, columns) meters, 0 where unknown.
        scores: what it scores on this image, in words.
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
        why: why it was chosen, a sentence.
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
    """Everything that a report shows. What is missing is left out of the page with the reason in ``missing``.

    Args:
        runs: runs that are compared, all on the same data.
        statistics: of these runs.
        variants: further runs on the same data whose strategy options differ: points of a knob.
        curves: learning curves.
        outcomes: of ablations by name (``results.ablation``), for ablations and claims.
        pictures: images of the gallery.
        missing: part of the page to the reason why it is not there.
        commands: how to make these runs again.
        about: program versions and state at the time of writing.
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
