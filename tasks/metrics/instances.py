"""COCO's numbers of boxes and of masks that were decoded together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.base import Json, MetricParts
from tasks.metrics.coco import CocoMetric
from tasks.targets import InstancePrediction, Targets


class InstancesMetric:
    """The twelve numbers of COCO detection as ``box AP`` and so on, those of segmentation as ``mask AP`` and so on.

    Args:
        parts: as for ``CocoMetric``.

    Raises:
        TaskError: if the ground truth is missing.
    """

    def __init__(self, *, parts: MetricParts) -> None:
        self._metrics = {"box": CocoMetric(kind="bbox", parts=parts), "mask": CocoMetric(kind="segm", parts=parts)}

    def observe(self, image_id: int, prediction: InstancePrediction, targets: Targets) -> dict[str, Json]:
        """COCO results of one image, of its boxes and of its masks."""
        parts: dict[str, Any] = {"box": prediction.detections, "mask": prediction.masks}
        return {name: metric.observe(image_id, parts[name], targets) for name, metric in self._metrics.items()}

    def summarize(self, records: Mapping[int, dict[str, Json]]) -> dict[str, float | None]:
        """COCO's numbers over exactly the images in ``records``."""
        scores: dict[str, float | None] = {}
        for name, metric in self._metrics.items():
            values = metric.summarize({image_id: record[name] for image_id, record in records.items()})
            scores |= {f"{name} {number}": value for number, value in values.items()}
        return scores

    def notes(self) -> dict[str, str]:
        """Always empty: the values are pycocotools'."""
        return {}
