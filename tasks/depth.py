"""Depth: a coarse grid of depth tokens, spread to the size of the image.

How the map is written as tokens is a ``DepthFormat``: here one log-spaced bin per cell of the grid (bins of equal ratio
as in DORN, Fu et al. 2018, section 3.2); learned codes (AiT section 3.2) implement the same protocol.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from tasks.base import Metric, MetricParts, OneSequence, TaskError, TaskParts
from tasks.formats.binning import LogBins, overlaps
from tasks.formats.sequence import Decoded, Encoded, SequenceFormat, Slot, TrainingExample, with_dense_loss
from tasks.formats.shipped import depth_format, depth_map_format
from tasks.formats.vocabulary import Sizes, Vocabulary
from tasks.targets import Context, Targets


class DepthFormat(Protocol):
    """How a depth map is written as tokens.

    A format may also have ``dense_loss(logits, originals, format)``, the loss of soft predictions (R, L, V) read as
    maps, and then ``original(depth)``, the map at the format's own size that it is held against.

    Attributes:
        slots: positions of one group.
        groups: groups in a sequence.
    """

    slots: tuple[Slot, ...]
    groups: int

    def encode(self, depth: Tensor) -> tuple[Tensor, Tensor]:
        """(height, width) float meters, 0 where nothing was measured, to (L,) int64 tokens and (L,) float weights."""
        ...

    def decode(self, decoded: Decoded, format: SequenceFormat) -> Tensor:
        """(rows, columns) float meters, at the format's own size.

        Args:
            decoded: tokens (1, L) and, for formats that read more than the most probable token, probabilities.
            format: the task's format; ``format.column`` finds the columns of a range.
        """
        ...


class DepthBins:
    """The plain format: the mean depth of every cell of a grid as one of a row of bins of equal ratio, row by row.

    It reads tokens with every strategy, also where ``Decoded.soft`` offers mixtures, so that bins stay the plain
    comparison: soft reading is a property of learned codes here (AiT section 3.3).
    """

    def __init__(self, vocabulary: Vocabulary, sizes: Sizes, *, reading: str = "centre") -> None:
        rows, columns = sizes.depth_grid
        self._range = vocabulary["depth_bin"]
        self._bins = LogBins(sizes.depth_bins, sizes.min_depth, sizes.max_depth, reading)
        self._columns = columns
        self.groups = rows
        self.slots = (Slot((self._range,), dense=True),) * columns

    def encode(self, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (L,) of the mean valid depth of each cell, weights (L,).

        A cell without a valid pixel weighs nothing and takes the token of the nearest cell that has one.
        """
        total, valid = self._cell_sums(depth)  # (rows, columns) each
        measured = (valid > 0).flatten()
        mean = (total / valid.clamp(min=torch.finfo(valid.dtype).tiny)).flatten()
        index = self._bins.index(mean.float())
        if bool(measured.any()):
            index = index[self._nearest(measured)]
        return self._range.start + index, measured.float()

    def decode(self, decoded: Decoded, format: SequenceFormat) -> Tensor:
        """(rows, columns) float meters of the tokens (1, L)."""
        return self._bins.meters(decoded.tokens[0] - self._range.start).reshape(self.groups, self._columns)

    def _cell_sums(self, depth: Tensor) -> tuple[Tensor, Tensor]:
        height, width = depth.shape
        exact = depth.double()
        rows = overlaps(exact.new_zeros(1), exact.new_tensor([height]), self.groups, height)[0]  # (rows, height)
        columns = overlaps(exact.new_zeros(1), exact.new_tensor([width]), self._columns, width)[0]
        valid = (exact > 0).double()
        return rows @ (exact * valid) @ columns.T, rows @ valid @ columns.T

    def _nearest(self, measured: Tensor) -> Tensor:
        """(L,) int64: for every cell the nearest measured cell on the grid."""
        cell = torch.arange(len(measured), device=measured.device)
        place = torch.stack([cell // self._columns, cell % self._columns], dim=1).float()  # (L, 2)
        candidates = measured.nonzero()[:, 0]
        return candidates[torch.cdist(place, place[candidates]).argmin(dim=1)]


class Depth(OneSequence):
    """One sequence per image.

    Args:
        parts: what every task is built from.
        depths: how a map is written as tokens; the preset's grid of bins by default.

    Raises:
        TaskError: if ``parts.reading`` is unknown.
    """

    name: ClassVar[str] = "depth"
    summary: ClassVar[str] = "distance of every pixel, a coarse grid of tokens per image"
    kind: ClassVar[str] = "depth"
    after: ClassVar[tuple[str, ...]] = ()
    headline: ClassVar[tuple[str, ...]] = ("rmse", "delta1")
    layouts: ClassVar[tuple[str, ...]] = ("mad", "ait")
    sequence_format = staticmethod(depth_format)

    def __init__(self, parts: TaskParts, *, depths: DepthFormat | None = None) -> None:
        prompted = parts.sizes.layout == "mad"  # layout ``ait`` has a start token instead
        self._prompt = torch.tensor([[parts.vocabulary.id("depth_prompt")] if prompted else []], dtype=torch.int64)
        if depths is None:
            depths = DepthBins(parts.vocabulary, parts.sizes, reading=parts.reading)
        self._depths: DepthFormat = depths
        form = depth_map_format(parts.vocabulary, self._depths.slots, self._depths.groups)
        self.format = with_dense_loss(form, self._depths)

    def annotated(self, targets: Targets) -> bool:
        """Whether there is a depth map."""
        return targets.depth is not None

    def encode(self, targets: Targets, generator: torch.Generator | None = None) -> Encoded:
        """One target sequence: tokens and weights (1, L), prompts (1, P). ``generator`` is unused.

        Raises:
            TaskError: if there is no depth map (``annotated`` is False).
        """
        if targets.depth is None:
            raise TaskError("depth was asked to encode an image without a depth map; ask annotated() first")
        tokens, weights = self._depths.encode(targets.depth)
        return Encoded(tokens[None], weights[None], self._prompt)

    def sample(self, targets: Targets, generator: torch.Generator, *, limit: int) -> TrainingExample:
        """The only sequence; nothing is drawn."""
        example = TrainingExample.of(self.encode(targets, generator))
        original = getattr(self._depths, "original", None)
        if self.format.dense_loss is None or original is None:
            return example
        return replace(example, originals=original(targets.depth)[None])

    def interpret(self, decoded: Decoded, context: Context) -> Tensor:
        """(height, width) float32 meters at original size from tokens (1, L) and probabilities (1, L, V)."""
        coarse = self._depths.decode(decoded, self.format)
        whole = torch.nn.functional.interpolate(
            coarse[None, None], size=context.size, mode="bilinear", align_corners=False
        )
        return whole[0, 0]

    def metric(self, parts: MetricParts) -> Metric:
        """Depth errors in meters and shares of pixels within a ratio."""
        from tasks.metrics.depth import DepthMetric

        return DepthMetric(parts=parts)
