"""Images that are decoded window by window: each window is an image of its own, and their maps are merged (AiT's test).

Only predictions that are maps can be merged, so that this is for depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bench.data.transforms import Prepared, Windows
from bench.inference.clock import Clock, Times, stopwatch
from bench.inference.pipeline import Pipeline, PipelineInput, PipelineOutput
from tasks.targets import Targets

NEAREST = 1e-3  # meters, which AiT cuts merged depths to
TASK = "depth"


class WindowedPipeline:
    """Runs one decoder on the windows of images.

    Args:
        pipeline: runs it on windows; its transform must be ``window_pixels``.
        windows: cuts images and merges maps.
    """

    def __init__(self, *, pipeline: Pipeline, windows: Windows) -> None:
        self.pipeline = pipeline
        self.windows = windows

    @property
    def network(self) -> Any:
        """The network that decodes windows, or None."""
        return self.pipeline.network

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.pipeline.device

    def predict(self, items: Sequence[PipelineInput]) -> list[PipelineOutput]:
        """Outcomes of a batch, as ``Pipeline.predict`` gives them; times and work are those of all windows together."""
        clock = Clock(stopwatch(self.pipeline.device), share=len(items))
        with clock.phase("preprocess"):
            cut = [self._cut(item) for item in items]
        found = self.pipeline.predict([window for own in cut for window in own])
        outcomes, start = [], 0
        for item, own in zip(items, cut, strict=True):
            parts, start = found[start : start + len(own)], start + len(own)
            with clock.phase(f"interpret.{TASK}"):
                predictions = self._merged(item.targets.size, parts)
            tokens = {name: torch.cat([part.tokens[name] for part in parts]) for name in parts[0].tokens}
            calls = parts[0].calls and replace(parts[0].calls, share=len(items))
            outcomes.append(PipelineOutput(predictions, tokens, calls=calls, work=_total(parts)))
        times = _together(clock.times(), found[0].times, windows=len(found) / len(items))
        for outcome in outcomes:
            outcome.times = times
        return outcomes

    def _cut(self, item: PipelineInput) -> list[PipelineInput]:
        """The windows as items; they share the image's id, and with it its random choices."""
        targets = Targets(size=item.targets.size, depth=item.targets.depth)
        return [
            PipelineInput(item.image_id, WindowImage(one.pixels), one.targets or targets)
            for one in self.windows(item.image, targets)
        ]

    def _merged(self, size: tuple[int, int], parts: Sequence[PipelineOutput]) -> dict[str, Any]:
        """The depth of the whole image at its own size."""
        if not all(TASK in part.predictions for part in parts):
            return {}
        merged = self.windows.merge([part.predictions[TASK] for part in parts], size).clamp(min=NEAREST)
        if tuple(merged.shape) != size:
            merged = torch.nn.functional.interpolate(
                merged[None, None], size=size, mode="bilinear", align_corners=False
            )[0, 0]
        return {TASK: merged}


@dataclass(frozen=True)
class WindowImage:
    """A window of an image that is fitted already.

    Args:
        pixels: (3, side, side) float32.
    """

    pixels: Tensor


def window_pixels(image: WindowImage) -> Prepared:
    """The transform of windows: nothing is left to do."""
    return Prepared(image.pixels, (image.pixels.shape[1], image.pixels.shape[2]))


def _together(own: Times, window: Times, *, windows: float) -> Times:
    """Times of an image: of cutting and merging it, and of each of its windows."""
    wall, process = (
        {name: before.get(name, 0.0) + windows * each.get(name, 0.0) for name in before | each}
        for before, each in ((own.wall, window.wall), (own.process, window.process))
    )
    return Times(wall, process, {name: (count, windows * passed) for name, (count, passed) in window.passes.items()})


def _total(parts: Sequence[PipelineOutput]) -> dict[str, tuple[int, int, int]]:
    """Evaluations, positions and sequences of all windows; those of a batch are one evaluation."""
    work = {}
    for name in parts[0].work:
        evaluations, positions, sequences = zip(*(part.work[name] for part in parts), strict=True)
        work[name] = (max(evaluations), sum(positions), sum(sequences))
    return work
