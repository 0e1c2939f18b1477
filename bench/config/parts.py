"""Parts of options that several commands share: what a job is called, its data, its tasks, its network, its times.

A command's options are parts put together (``bench/config/run.py``, ``bench/config/training.py``); a function takes the
part that it reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.data.scenes.worlds import WorldName
from bench.errors import UserError, unknown
from decoders.network.options import NetworkOptions
from tasks.formats.vocabulary import Sizes

Split = Literal["val2017", "train2017", "test2017"]
CODECS = ("masks", "depth")


@dataclass(frozen=True, kw_only=True)
class DataFolders:
    """Folders of real data.

    Args:
        coco: COCO 2017 folder (``annotations/``, ``val2017/``); no data option means the embedded scenes.
        nyu: NYUv2 folder (list file, images, 16-bit depth) or labeled ``.mat`` file.
    """

    coco: Path | None = None
    nyu: Path | None = None


@dataclass(frozen=True, kw_only=True)
class DataReading(DataFolders):
    """How files of real data are read.

    Args:
        exif: images with an EXIF orientation lie as ``stored`` (COCO), ``turned`` (as viewers show them), or as the
            ``annotated`` width and height say; an image of which both are right is then refused.
        nyu_depths: which depth of a labeled file: ``rawDepths``, as the sensor saw it, with the black image border of
            BTS's PNG pairs; or ``depths``, with holes filled in.
        nyu_scale: stored value of one meter in depth files.
    """

    exif: Literal["annotated", "stored", "turned"] = "annotated"
    nyu_depths: Literal["rawDepths", "depths"] = "rawDepths"
    nyu_scale: float = 1000.0

    def __post_init__(self) -> None:
        if not 0 < self.nyu_scale < float("inf"):
            raise UserError(f"--nyu-scale {self.nyu_scale:g}: give the stored value of one meter, e.g. 1000")


@dataclass(frozen=True, kw_only=True)
class DataOptions(DataReading):
    """Which images are read, and how large their sequences are.

    Args:
        nyu_list: list file, if it has an unusual name.
        split: COCO split; NYUv2 uses its train list with ``train2017`` and its test list otherwise.
        scenes: world of the embedded scenes: ``rooms``, or ``simple``, which is learned in minutes.
        limit: first N images of each data set; the embedded scenes are rendered all, once.
        sizes: sizes of the token sequences.
    """

    nyu_list: Path | None = None
    split: Split = "val2017"
    scenes: WorldName = "rooms"
    limit: int | None = None
    sizes: Sizes = field(default_factory=Sizes)

    def __post_init__(self) -> None:
        DataReading.__post_init__(self)
        if self.limit is not None and self.limit < 1:
            raise UserError(
                f"--limit {self.limit}: nothing to evaluate; give at least 1, or leave it out for all images"
            )
        if self.nyu_list is not None and self.nyu is None:
            raise UserError(f"--nyu-list {self.nyu_list}: is a list of which folder? Give --nyu DIR too")


@dataclass(frozen=True, kw_only=True)
class PresetOptions:
    """What options start from, and how much of the processor they may take.

    Args:
        preset: named starting point of all options; default: ``embedded`` without data, ``paper`` with.
        threads: CPU threads of a process; 0 leaves the choice to torch.
    """

    preset: str = "embedded"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UserError(f"--threads {self.threads}: give 0 (torch's choice) or more")


@dataclass(frozen=True, kw_only=True)
class JobOptions(PresetOptions):
    """Where a run or training starts from and what it leaves.

    Args:
        out: folder for the results; default: one in ``results/runs`` that is named after preset or data.
        seed: seed of every random choice.
        fresh: discard an unfinished job of the same folder instead of continuing it.
    """

    out: Path | None = None
    seed: int = 0
    fresh: bool = False

    def __post_init__(self) -> None:
        PresetOptions.__post_init__(self)
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: give 0 or more")


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Which tasks are decoded, and how their tokens are read.

    Args:
        tasks: tasks, separated by commas; default: all that the data allows.
        formats: task to format: segmentation as ``bits`` or ``codes``, depth as ``bins`` or ``codes``; default: what
            the decoder asks for or was trained with.
        reading: where in its bin a coordinate is read: ``centre``, or ``edge`` as MAD's release.
        temperatures: codec (``masks``, ``depth``) to temperature of the softmax by which mixtures of its codes are
            read; default: 1 and .8, as in AiT's release.
        tokenizer: SentencePiece ``.model`` for captions; default: the preset's, else trained on the folder's captions.
        caption_tokenizer: tokenizer of the caption metrics; ``auto`` takes ``ptb`` if Java is there.
    """

    tasks: str | None = None
    formats: dict[str, str] = field(default_factory=dict)
    reading: Literal["centre", "edge"] = "centre"
    temperatures: dict[str, float] = field(default_factory=dict)
    tokenizer: Path | None = None
    caption_tokenizer: Literal["auto", "ptb", "python"] = "auto"

    def __post_init__(self) -> None:
        for codec, temperature in self.temperatures.items():
            if codec not in CODECS:
                raise UserError(f"--temperatures: {unknown('codec', codec, list(CODECS))}")
            if temperature <= 0:
                raise UserError(f"--temperatures.{codec} {temperature}: give a number above 0")


@dataclass(frozen=True)
class ImageOptions:
    """How an image becomes the network's input.

    Args:
        transform: ``shortest_side`` (short, longest), ``letterbox`` (padded) or ``square`` (side), or ``windows``
            (side): squares side by side, decoded one by one and merged, for depth alone (AiT).
        short: pixels of the shortest side after ``shortest_side``.
        longest: most pixels of the longest side after ``shortest_side``.
        side: pixels of the side for the other transforms.
        normalise: whether pixels get ImageNet's mean and deviation, or keep their values from 0 to 1 (AiT's depth).
        mirrored: whether every window is decoded a second time mirrored, and the maps averaged (``windows`` only).
    """

    transform: Literal["shortest_side", "letterbox", "square", "windows"] = "shortest_side"
    short: int = 800
    longest: int = 1333
    side: int = 1024
    normalise: bool = True
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.mirrored and self.transform != "windows":
            raise UserError(f"--image.mirrored: is of windows, not of {self.transform}; give --image.transform windows")
        for name in ("short", "longest", "side"):
            if getattr(self, name) < 1:
                raise UserError(f"--image.{name} {getattr(self, name)}: give at least 1 pixel")


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The decoders' options and the network that they share.

    Args:
        checkpoints: folder with weights, ``<preset>/<decoder>.safetensors``; default: those that are shipped.
        strategy: options of the decoders, e.g. ``{mad: {remask: lowest}}``; ``describe DECODER`` lists them.
        image: how an image becomes the network's input.
        network: the shared network; its weights must fit.
    """

    checkpoints: Path | None = None
    strategy: dict[str, dict[str, Any]] = field(default_factory=dict)
    image: ImageOptions = field(default_factory=ImageOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)


@dataclass(frozen=True, kw_only=True)
class SuiteOptions(JobOptions, DataOptions, TaskOptions, ModelOptions):
    """Everything that data set, tasks and network are built from."""

    def __post_init__(self) -> None:
        JobOptions.__post_init__(self)
        DataOptions.__post_init__(self)
        TaskOptions.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class LearningOptions(DataOptions):
    """Data of a training.

    Args:
        split: COCO split that is learned; NYUv2's train list goes with ``train2017``.
        evaluate_on: COCO split that evaluations use.
        publish: copy the finished weights to the checkpoints that ``run`` uses.
    """

    split: Split = "train2017"
    evaluate_on: Split = "val2017"
    publish: bool = False


@dataclass(frozen=True, kw_only=True)
class IntervalOptions:
    """What a training does every so many steps, and the threads that read ahead for it.

    Args:
        readers: threads of a process that read ahead; 0 reads each batch when it is needed.
        log_every: steps between two points of the learning curve.
        evaluate_every: steps between two evaluations; 0 evaluates at the end only.
        evaluate_images: images of an evaluation; 0 evaluates nothing.
        save_every: steps between two checkpoints.
    """

    readers: int = 0
    log_every: int = 50
    evaluate_every: int = 5000
    evaluate_images: int = 100
    save_every: int = 1000
