"""Options of ``train``: what is learned from which data, and the schedule it is learned by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench import registry
from bench.config.parts import IntervalOptions, LearningOptions, SuiteOptions
from bench.errors import UserError


@dataclass(frozen=True)
class Schedule:
    """How weights are learned. Defaults are MAD-R50's (Table 9 and section 4.1).

    Args:
        steps: optimizer steps.
        batch: images of a step, over all processes.
        rate: peak learning rate.
        kind: ``drops`` (a tenth behind each of ``drops``), ``linear`` (down to a hundredth) or ``one_cycle`` (cosine up
            and down); codecs know two more.
        drops: shares of the steps behind which the rate is cut to a tenth.
        warm_up: share of the steps in which the rate climbs.
        backbone_scale: factor of the backbone's rate.
        layer_decay: factor of a backbone layer's rate to that of the next one (AiT), the last one's to the rest's.
        weight_decay: decay of everything but layer norms and the positions of a ViT backbone.
        undecayed: ``norms``, or ``vectors`` for all vectors, embeddings and positions (AiT).
        betas: of AdamW.
        clip: largest norm of the gradient.
        average: decay of the moving average of the weights; 0 switches it off.
        precision: ``float32``, or matrix products in ``bfloat16`` or ``float16``; ``auto`` measures once and chooses.
    """

    steps: int = 375_000
    batch: int = 16
    rate: float = 1e-4
    kind: Literal["drops", "linear", "one_cycle", "exponential", "cosine"] = "drops"
    drops: tuple[float, ...] = (0.8,)
    warm_up: float = 0.0
    backbone_scale: float = 0.1
    layer_decay: float = 1.0
    weight_decay: float = 1e-4
    undecayed: Literal["norms", "vectors"] = "norms"
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 0.1
    average: float = 0.0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "rate", "clip"):
            if getattr(self, name) <= 0:
                raise UserError(f"schedule: {name} is {getattr(self, name)}; give more than 0")
        for name in ("backbone_scale", "weight_decay"):
            if getattr(self, name) < 0:
                raise UserError(f"schedule: {name} is {getattr(self, name)}; give 0 or more")
        shares = {"warm_up": (self.warm_up,), "average": (self.average,), "drops": self.drops, "betas": self.betas}
        for name, values in shares.items():
            if any(not 0 <= value < 1 for value in values):
                raise UserError(f"schedule: {name} is {getattr(self, name)}; give 0 or more, and less than 1")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"schedule: layer_decay is {self.layer_decay}; give more than 0 and at most 1")
        if self.kind in ("exponential", "cosine") and not isinstance(self, CodecSchedule):
            raise UserError(f"schedule: only codecs learn by kind {self.kind!r}; give drops, linear or one_cycle")


@dataclass(frozen=True)
class CodecSchedule(Schedule):
    """How the weights of a codec are learned (AiT section 4.1; numbers from the release).

    Args:
        kind: also ``exponential`` (``gamma`` at the start of every epoch and every ``every`` steps within it) and
            ``cosine`` (linear from a thousandth during ``warm_up``, then on a cosine to ``lowest``).
        gamma: factor of one fall, for ``exponential``.
        every: steps between two falls.
        epoch: steps of an epoch, in which falls are counted anew.
        lowest: last learning rate, for ``cosine``.
    """

    gamma: float = 0.98
    every: int = 500
    epoch: int = 3028
    lowest: float = 1e-6


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(IntervalOptions):
    """The ``train`` section of a preset. Defaults are the MAD paper's.

    Args:
        decoder: schedule of what the decoders learn, with the encoder unless that is frozen.
        encoder: schedule of encoder pretraining on dense labels; only where ``frozen`` is set.
        frozen: pretrain the encoder, freeze it, and train decoders on its cached memory.
        tune_encoder: with ``frozen``, keep only the backbone frozen: decoders and the layers of the encoder learn
            together, from the backbone's cached maps of images and of mirrored images.
        places: whether pretraining also learns coordinate bins, so that decoders can read absolute coordinates.
        weights: task name to weight of its loss; a task that is not named has weight 1, one of weight 0 is not learned.
        sequences: task name to the most sequences of an image; 0 or not named: all.
        flip: share of the images that are mirrored; with a frozen encoder in its own training alone (decoders see its
            cached memory), unless ``tune_encoder`` is set.
        short: shortest sides that images are scaled to at random, in pixels; none: as the preset's ``image`` says.
        crop: share of the images that are cropped before.
        jitter: least and most scale of a square image that a crop is taken from; None: whole images.
        colour: share of the images whose colors are changed (AiT's depth).
        anywhere: whether windows of training images lie anywhere (AiT), or where a run's windows do.
        accumulate: parts that a process cuts its share of a step into; more than one costs a forward pass more, by
            which the weight of all their targets is found.
    """

    decoder: Schedule = field(default_factory=Schedule)
    encoder: Schedule = field(default_factory=Schedule)
    frozen: bool = False
    tune_encoder: bool = False
    places: bool = False
    weights: dict[str, float] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    flip: float = 0.5
    short: tuple[int, ...] = ()
    crop: float = 0.0
    jitter: tuple[float, float] | None = None
    colour: float = 0.0
    anywhere: bool = True
    accumulate: int = 1

    def __post_init__(self) -> None:
        for option in ("weights", "sequences"):
            registry.check_tasks(f"--train.{option}", getattr(self, option))
            for task, value in getattr(self, option).items():
                if value < 0:
                    raise UserError(f"--train.{option}: {task} is {value}; give 0 or more")
        for option in ("flip", "crop", "colour"):
            if not 0 <= getattr(self, option) <= 1:
                raise UserError(f"--train.{option} {getattr(self, option)}: give a share, 0 to 1")
        for option in ("accumulate", "log_every", "save_every"):
            if getattr(self, option) < 1:
                raise UserError(f"--train.{option} {getattr(self, option)}: give at least 1")
        for option in ("readers", "evaluate_every", "evaluate_images"):
            if getattr(self, option) < 0:
                raise UserError(f"--train.{option} {getattr(self, option)}: give 0 or more")
        if any(side < 1 for side in self.short):
            raise UserError(f"--train.short {list(self.short)}: give at least 1 pixel")
        if self.jitter and not 0 < self.jitter[0] <= self.jitter[1]:
            raise UserError(f"--train.jitter {list(self.jitter)}: give the least scale, above 0, and the most")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(LearningOptions, SuiteOptions):
    """Options of ``train``.

    Args:
        decoder: decoder strategy, or ``encoder`` for encoder pretraining alone.
        caption_tokenizer: tokenizer of the caption metrics, for evaluations; ``python`` needs no Java.
        encoder: encoder weights, where the preset freezes it; default: the published ones.
        start: weights with their card to start from instead of random ones: a finished training's or imported ones;
            an encoder that the preset freezes stays as it is.
        start_parts: parts of these weights that are loaded, separated by commas, e.g. ``backbone,encoder``; default:
            all.
        train: schedules and data of training.
    """

    decoder: str
    caption_tokenizer: Literal["auto", "ptb", "python"] = "python"
    encoder: Path | None = None
    start: Path | None = None
    start_parts: str | None = None
    train: TrainingOptions = field(default_factory=TrainingOptions)

    def __post_init__(self) -> None:
        SuiteOptions.__post_init__(self)
