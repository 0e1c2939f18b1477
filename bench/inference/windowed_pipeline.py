"""Decode images window by window and merge the predicted maps, as in AiT's test. Only depth is a map."""

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

NEAREST = 1e-3  # meters: AiT's lower limit of merged depths
TASK = "depth"


class WindowedPipeline:
    """Runs one decoder on the windows of images.

    Args:
        pipeline: of the windows; its transform must be ``window_pixels``.
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

    def predict(self, inputs: Sequence[PipelineInput]) -> list[PipelineOutput]:
        """Return the outputs of a batch, as ``Pipeline.predict``; times and work are sums over an image's windows."""
        clock = Clock(stopwatch(self.pipeline.device), share=len(inputs))
        with clock.phase("preprocess"):
            cut = [self._cut(image) for image in inputs]
        decoded = self.pipeline.predict([window for windows in cut for window in windows])
        outputs, start = [], 0
        for image, windows in zip(inputs, cut, strict=True):
            parts, start = decoded[start : start + len(windows)], start + len(windows)
            with clock.phase(f"interpret.{TASK}"):
                predictions = self._merged(image.targets.size, parts)
            tokens = {name: torch.cat([part.tokens[name] for part in parts]) for name in parts[0].tokens}
            calls = parts[0].calls and replace(parts[0].calls, share=len(inputs))
            outputs.append(PipelineOutput(predictions, tokens, calls=calls, work=_total(parts)))
        times = _sum_times(clock.times(), decoded[0].times, windows=len(decoded) / len(inputs))
        for output in outputs:
            output.times = times
        return outputs

    def _cut(self, image: PipelineInput) -> list[PipelineInput]:
        """Return an image's windows; they share its id, and with it its random choices."""
        targets = Targets(size=image.targets.size, depth=image.targets.depth)
        return [
            PipelineInput(image.image_id, WindowImage(window.pixels), window.targets or targets)
            for window in self.windows(image.image, targets)
        ]

    def _merged(self, size: tuple[int, int], parts: Sequence[PipelineOutput]) -> dict[str, Any]:
        """Return the depth of the whole image, in its original size."""
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
    """A window of an image that has the network's size already.

    Args:
        pixels: (3, side, side) float32.
    """

    pixels: Tensor


def window_pixels(image: WindowImage) -> Prepared:
    """Return the pixels of a window: the transform for windows."""
    return Prepared(image.pixels, (image.pixels.shape[1], image.pixels.shape[2]))


def _sum_times(whole: Times, window: Times, *, windows: float) -> Times:
    """Return the times of an image: cutting and merging it, and decoding its windows; the total includes both."""
    wall, process = (
        {name: before.get(name, 0.0) + windows * each.get(name, 0.0) for name in before | each}
        | {"total": before["total"]}
        for before, each in ((whole.wall, window.wall), (whole.process, window.process))
    )
    return Times(wall, process, {name: (count, windows * passed) for name, (count, passed) in window.passes.items()})


def _total(parts: Sequence[PipelineOutput]) -> dict[str, tuple[int, int, int]]:
    """Return evaluations (windows of a batch share theirs), positions and sequences of all windows."""
    work = {}
    for name in parts[0].work:
        evaluations, positions, sequences = zip(*(part.work[name] for part in parts), strict=True)
        work[name] = (max(evaluations), sum(positions), sum(sequences))
    return work
