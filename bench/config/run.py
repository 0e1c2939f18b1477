"""Options of a run: one typed configuration, filled from preset, YAML file and command line, later ones winning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.config.parts import SuiteOptions
from bench.errors import UserError
from bench.registry import DECODERS, usable

MODES = ("eager", "compiled", "graphed")


@dataclass(frozen=True, kw_only=True)
class TimingOptions:
    """How decoders are executed and timed.

    Args:
        batch: images decoded together; default: 1, or the largest that fits with ``--scenario throughput``.
        scenario: ``latency`` (images one by one), ``throughput`` (one large batch) or ``stream`` (1, 4, 8 and 32);
            default: ``latency``, or ``throughput`` where a batch is given.
        mode: how the network is executed: ``eager``, ``compiled`` (torch.compile) or ``graphed`` (CUDA graphs), several
            separated by commas.
        device: where the network computes; ``auto`` takes a GPU if there is one.
        precision: of the network's matrix products while decoding.
        speed_only: measure times, score nothing; images are decoded until there is enough.
        accuracy_only: score, and leave out warm-up, peak rates and all that is only there for times.
        random_weights: take random weights, and without data random images, for times of networks not trained yet.
        instances: objects that random weights are prompted with; default: every object slot.
        persons: how many of them are persons.
        calibrate: measure a fixed piece of work before each batch, so that the gate can compare times across machines.
        budget: most time for decoding, e.g. ``60s`` or ``5m``; images not reached by then are left out.
        min_seconds: least measured time of each decoder with ``--speed-only``.
        min_images: fewest measured images of each decoder with ``--speed-only``.
        phases: print the phases of time, the harness's share, and what each task costs and takes alone.
    """

    batch: int | None = None
    scenario: Literal["latency", "throughput", "stream"] | None = None
    mode: str = "eager"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    speed_only: bool = False
    accuracy_only: bool = False
    random_weights: bool = False
    instances: int | None = None
    persons: int = 10
    calibrate: bool = False
    budget: str | None = None
    min_seconds: float = 10.0
    min_images: int = 50
    phases: bool = False

    def __post_init__(self) -> None:
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
        if self.min_images < 0:
            raise UserError(f"--min-images {self.min_images}: give 0 or more")


@dataclass(frozen=True, kw_only=True)
class RunOptions(SuiteOptions, TimingOptions):
    """Options of ``run``.

    Args:
        decoder: decoder strategies, separated by commas; ``all`` for every one that has weights; ``list`` shows them.
        score_unseen: whether a pose without a visible joint keeps its detection's score, as MAD's release does.
        prompts: what prompts masks and poses: objects as the decoder ``detected`` them, or ``annotated`` ones.
        report: end by writing the report of these runs.
    """

    decoder: str
    score_unseen: bool = False
    prompts: Literal["detected", "annotated"] = "detected"
    report: bool = False

    def __post_init__(self) -> None:
        SuiteOptions.__post_init__(self)
        TimingOptions.__post_init__(self)

    def decoders(self) -> list[str]:
        """Names given with ``--decoder``; all that can be loaded for ``all``."""
        if self.decoder == "all":
            return list(usable(DECODERS))
        chosen = [name.strip() for name in self.decoder.split(",") if name.strip()]
        if not chosen:
            raise UserError("--decoder names no decoder; `list` shows them")
        if len(chosen) != len(set(chosen)):
            raise UserError(f"--decoder {self.decoder}: a decoder is named twice")
        return chosen
