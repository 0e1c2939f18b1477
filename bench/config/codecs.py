"""Options of ``train --codec``: which codec is learned from which data, and the schedule it is learned by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bench.config.parts import DataOptions, IntervalOptions, JobOptions, LearningOptions, Split
from bench.config.training import CodecSchedule
from bench.errors import UserError
from tasks.codecs.options import CodecOptions

NO_CLIP = 1e6  # a norm that no gradient reaches: the release does not clip


@dataclass(frozen=True, kw_only=True)
class CodecTraining(IntervalOptions):
    """How one codec is learned; a preset's ``codecs`` section has one for each.

    Args:
        shape: the network and the codebook.
        schedule: optimizer and learning rate.
        flip: share of the maps that are mirrored.
        hidden: share of the patches of a depth map that the encoder does not see (AiT section 3.2).
        patch: pixels of such a patch along each side.
        revive: codes that fewer vectors of a step take (moving average) start anew; 0 leaves dead codes dead, as the
            release does.
        evaluate_images: images of an evaluation; default: all of the NYUv2 test list.
    """

    shape: CodecOptions = field(default_factory=CodecOptions)
    schedule: CodecSchedule = field(default_factory=CodecSchedule)
    flip: float = 0.0
    hidden: float = 0.0
    patch: int = 16
    revive: float = 0.0
    evaluate_images: int = 654

    def __post_init__(self) -> None:
        if not 0 <= self.hidden < 1:
            raise UserError(f"codecs: hidden is {self.hidden}; give a share of the patches below 1")
        if self.hidden and (self.patch < 1 or self.shape.side % self.patch):
            raise UserError(f"codecs: patches of {self.patch} pixels do not fill {self.shape.side}; give a divisor")


def paper_depth() -> CodecTraining:
    """AiT's depth codec: 20 epochs of 3,028 batches of 8 (section 4.1; release)."""
    schedule = CodecSchedule(steps=60_560, batch=8, rate=3e-4, kind="exponential", weight_decay=0.0, clip=NO_CLIP)
    return CodecTraining(schedule=schedule, flip=0.5, hidden=0.5)


def paper_masks() -> CodecTraining:
    """AiT's mask codec: 20 epochs of COCO's objects, about 850,000, in batches of 512 (section 4.1; release)."""
    steps = 33_200
    schedule = CodecSchedule(
        steps=steps, batch=512, rate=3e-4, kind="cosine", warm_up=500 / steps, weight_decay=0.0, clip=NO_CLIP
    )
    shape = CodecOptions(values="unit", side=64, ratio=16)
    return CodecTraining(shape=shape, schedule=schedule, evaluate_images=5000)


@dataclass(frozen=True)
class Codecs:
    """The ``codecs`` section of a preset. Defaults are the AiT paper's.

    Args:
        depth: the codec of depth maps.
        masks: the codec of instance masks.
    """

    depth: CodecTraining = field(default_factory=paper_depth)
    masks: CodecTraining = field(default_factory=paper_masks)

    def __post_init__(self) -> None:
        if self.depth.shape.values == "unit":
            raise UserError("codecs.depth: values 'unit' are of masks; give metres or log")
        if self.masks.shape.values != "unit":
            raise UserError(f"codecs.masks: values {self.masks.shape.values!r} are of depths; give unit")
        if self.masks.hidden:
            raise UserError(f"codecs.masks: hidden is {self.masks.hidden}; only depth maps are hidden in parts, give 0")


@dataclass(frozen=True, kw_only=True)
class CodecTrainOptions(LearningOptions, JobOptions):
    """Options of ``train --codec``.

    Args:
        codec: what is encoded.
        codecs: shapes, schedules and data of both codecs.
    """

    codec: Literal["depth", "masks"]
    codecs: Codecs = field(default_factory=Codecs)

    def __post_init__(self) -> None:
        JobOptions.__post_init__(self)
        LearningOptions.__post_init__(self)

    @property
    def chosen(self) -> CodecTraining:
        """The training of ``codec``."""
        return self.codecs.depth if self.codec == "depth" else self.codecs.masks

    def data(self, split: Split, *, limit: int | None = None) -> DataOptions:
        """Return the options of the one data set that the codec learns from: NYUv2 for depth, COCO for masks.

        Args:
            split: COCO split.
            limit: first N images; default: ``self.limit``.

        Raises:
            UserError: if data are given, but not those.
        """
        given, option = (self.nyu, "--nyu") if self.codec == "depth" else (self.coco, "--coco")
        if given is None and (self.coco or self.nyu):
            raise UserError(f"--codec {self.codec}: give {option} DIR, or no data for the embedded scenes")
        return DataOptions(
            coco=None if self.codec == "depth" else self.coco,
            nyu=self.nyu if self.codec == "depth" else None,
            nyu_list=self.nyu_list if self.codec == "depth" else None,
            split=split,
            scenes=self.scenes,
            limit=self.limit if limit is None else limit,
            sizes=self.sizes,
        )
