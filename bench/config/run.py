"""Options of a run: one typed configuration, filled from preset, YAML file and command line, later ones winning."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.errors import UserError
from bench.registry import DECODERS, names, unknown
from decoders.network.options import NetworkOptions
from tasks.formats.vocabulary import Sizes


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


@dataclass(frozen=True)
class RunOptions:
    """Options of ``run``.

    Args:
        decoder: decoder strategies, separated by commas; ``all`` for every one that has weights; ``list`` shows them.
        preset: named starting point of all options; default: ``embedded`` without data, ``paper`` with.
        coco: COCO 2017 folder (``annotations/``, ``val2017/``); no data option means the embedded scenes.
        nyu: NYUv2 folder (list file, images, 16-bit depth) or labeled ``.mat`` file.
        nyu_list: list file, if it has an unusual name.
        split: COCO split; NYUv2 uses its test list with ``val2017`` and its train list with ``train2017``.
        tasks: tasks to run, separated by commas; default: all that the data allows.
        limit: first N images of each data set.
        out: folder for the results; default: ``results/runs/<data>-<split>``.
        seed: seed of every random choice.
        batch: images decoded together; default: 1, or the largest that fits with ``--scenario throughput``.
        scenario: ``latency`` (images one by one), ``throughput`` (one large batch) or ``stream`` (1, 4, 8 and 32);
            default: ``latency``, or ``throughput`` where a batch is given.
        mode: how the network is executed: ``eager``, ``compiled`` (torch.compile) or ``graphed`` (CUDA graphs), several
            separated by commas.
        speed_only: measure times, score nothing; images are decoded until there is enough.
        accuracy_only: score, and leave out warm-up, machine rates and all that is only there for times.
        random_weights: take random weights, and without data random images, for times of networks not trained yet.
        instances: objects that random weights are prompted with; default: every object slot.
        persons: how many of them are persons.
        calibrate: measure a fixed piece of work before each batch, so that the gate can compare times across machines.
        budget: most time for decoding, e.g. ``60s`` or ``5m``; images not reached by then are left out.
        min_seconds: least measured time of each decoder with ``--speed-only``.
        min_images: fewest measured images of each decoder with ``--speed-only``.
        reading: where in its bin a coordinate is read: ``centre``, or ``edge`` as MAD's release.
        score_unseen: whether a pose without a visible joint keeps its detection's score, as MAD's release does.
        prompts: what prompts masks and poses: objects as the decoder ``detected`` them, or ``annotated`` ones.
        tokenizer: SentencePiece ``.model`` for captions; default: the preset's, else trained on the folder's captions.
        temperatures: codec (``masks``, ``depth``) to temperature of the softmax by which mixtures of its codes are
            read; default: 1 and .8, as in AiT's release.
        caption_tokenizer: tokenizer of the caption metrics; ``auto`` takes ``ptb`` if Java is there.
        threads: CPU threads of the network; 0 leaves the choice to torch.
        device: where the network computes; ``auto`` takes a GPU if there is one.
        precision: of the network's matrix products while decoding.
        checkpoints: folder with trained weights, ``<preset>/<decoder>.safetensors``; default: those that are shipped.
        formats: task to format: segmentation as ``bits`` or ``codes``, depth as ``bins`` or ``codes``; default: what a
            decoder was trained with.
        strategy: options of the decoders, e.g. ``{mad: {remask: lowest}}``; ``describe DECODER`` lists them.
        fresh: discard an unfinished run instead of continuing it.
        report: end by writing the report of these runs.
        phases: print the phases of time, the harness's share, and what each task costs and takes alone.
        sizes: sizes of the token sequences.
        image: how an image becomes the network's input.
        network: the shared network; its weights must fit.
    """

    decoder: str
    preset: str | None = None
    coco: Path | None = None
    nyu: Path | None = None
    nyu_list: Path | None = None
    split: Literal["val2017", "train2017"] = "val2017"
    tasks: str | None = None
    limit: int | None = None
    out: Path | None = None
    seed: int = 0
    batch: int | None = None
    scenario: Literal["latency", "throughput", "stream"] | None = None
    mode: str = "eager"
    speed_only: bool = False
    accuracy_only: bool = False
    random_weights: bool = False
    instances: int | None = None
    persons: int = 10
    calibrate: bool = False
    budget: str | None = None
    min_seconds: float = 10.0
    min_images: int = 50
    reading: Literal["centre", "edge"] = "centre"
    score_unseen: bool = False
    prompts: Literal["detected", "annotated"] = "detected"
    tokenizer: Path | None = None
    temperatures: dict[str, float] = field(default_factory=dict)
    caption_tokenizer: Literal["auto", "ptb", "python"] = "auto"
    threads: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpoints: Path | None = None
    formats: dict[str, str] = field(default_factory=dict)
    strategy: dict[str, dict[str, Any]] = field(default_factory=dict)
    fresh: bool = False
    report: bool = False
    phases: bool = False
    sizes: Sizes = field(default_factory=Sizes)
    image: ImageOptions = field(default_factory=ImageOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(
                f"--limit {self.limit}: nothing to evaluate; give at least 1, or leave it out for all images"
            )
        if self.batch is not None and self.batch < 1:
            raise UserError(f"--batch {self.batch}: give at least 1")
        if self.speed_only and self.accuracy_only:
            raise UserError(
                "--speed-only and --accuracy-only: nothing is left to do; give one of them, or none for both"
            )
        if self.random_weights and not self.speed_only:
            raise UserError("--random-weights: what they predict is worth no score; give --speed-only too")
        if self.persons < 0 or (self.instances is not None and self.instances < 1):
            raise UserError(f"--instances {self.instances}, --persons {self.persons}: give at least 1 and at least 0")
        codecs = ["masks", "depth"]
        for name, value in self.temperatures.items():
            if name not in codecs:
                raise UserError(f"--temperatures: {unknown('codec', name, codecs)}")
            if value <= 0:
                raise UserError(f"--temperatures.{name} {value}: give a number above 0")
        if self.min_images < 0:
            raise UserError(f"--min-images {self.min_images}: give 0 or more")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: give 0 or more")
        if self.nyu_list is not None and self.nyu is None:
            raise UserError(f"--nyu-list {self.nyu_list}: is a list of which folder? Give --nyu DIR too")
        if self.threads < 0:
            raise UserError(f"--threads {self.threads}: give 0 (torch's choice) or more")

    def decoders(self) -> list[str]:
        """Names given with ``--decoder``; all that are installed for ``all``."""
        if self.decoder == "all":
            return names(DECODERS)
        found = [name.strip() for name in self.decoder.split(",") if name.strip()]
        if not found:
            raise UserError("--decoder names no decoder; `list` shows them")
        if len(found) != len(set(found)):
            raise UserError(f"--decoder {self.decoder}: a decoder is named twice")
        return found
