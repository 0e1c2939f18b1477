"""Options of the studies that have their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class CeilingsOptions:
    """Options of ``ceilings``.

    Args:
        coco: COCO 2017 folder.
        nyu: NYUv2 folder.
        out: folder for ``ceilings.md`` and ``ceilings.json``.
        split: COCO split.
    """

    coco: Path | None = None
    nyu: Path | None = None
    out: Path = Path("results")
    split: Literal["val2017", "train2017"] = "val2017"


@dataclass(frozen=True)
class SpeakersOptions:
    """Options of ``speakers``.

    Args:
        out: folder for ``speakers.md`` and ``speakers.json``.
        images: first validation scenes.
        draws: sets of five sentences that the choosing speaker imagines of a scene.
        imagined: sets of five sentences that the one who speaks word by word knows of a scene.
        seed: of the sentences; the references' own is the scenes'.
    """

    out: Path = Path("results")
    images: int = 300
    draws: int = 40
    imagined: int = 3000
    seed: int = 0


@dataclass(frozen=True)
class SeedsOptions:
    """Options of ``seeds``.

    Args:
        decoder: strategies that are trained again, separated by commas; each has published weights of its own.
        seeds: trainings of each, the published one among them.
        preset: whose weights these are.
        images: held-out images that are scored; default: all.
        out: folder for ``seeds.md`` and ``seeds.json``.
        runs: folder of the trainings and runs; trainings that lie there are continued.
        threads: CPU threads; 0 leaves the choice to torch.
    """

    decoder: str = "mad,parallel"
    seeds: int = 3
    preset: str = "embedded"
    images: int | None = None
    out: Path = Path("results")
    runs: Path = Path("results/runs/seeds")
    threads: int = 1

    def names(self) -> list[str]:
        """The strategies."""
        return [name.strip() for name in self.decoder.split(",") if name.strip()]


@dataclass(frozen=True)
class OverfitOptions:
    """Options of ``overfit``.

    Args:
        coco: COCO 2017 folder.
        images: first training images that are learned.
        preset: sizes, network and schedule.
        steps: decoder to steps, where it gets others than the preset's.
        out: folder for ``overfit.md`` and ``overfit.json``.
        runs: folder of the trainings; those that lie there are continued.
        seed: seed of every random choice.
        threads: CPU threads; 0 leaves the choice to torch.
    """

    coco: Path
    images: int = 8
    preset: str = "overfit"
    steps: dict[str, int] = field(default_factory=dict)
    out: Path = Path("results")
    runs: Path = Path("results/runs/overfit")
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class CodecStudyOptions:
    """Options of ``codecs``.

    Args:
        nyu: NYUv2 folder with a few pairs in its test list: train on them and give each back, instead of the table.
        out: folder for the tables.
        runs: folder of the trainings; those that lie there are continued.
        depth_steps: steps of a codec of depth.
        mask_steps: steps of a codec of masks.
        pair_steps: steps on the pairs of ``nyu``.
        seed: seed of every random choice.
        threads: CPU threads; 0 leaves the choice to torch.
    """

    nyu: Path | None = None
    out: Path = Path("results")
    runs: Path = Path("results/runs/codecs")
    depth_steps: int = 600
    mask_steps: int = 1500
    pair_steps: int = 600
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class PairsOptions:
    """Options of ``depth-pairs``.

    Args:
        nyu: NYUv2 folder with a few pairs in its test list.
        decoder: strategy that is trained and run. ``ait`` learns a few depth maps by heart from their first code on
            and looks at the image for that one alone, which 1 of 225 losses teaches it; ``ait-parallel`` has to look.
        preset: sizes, network, schedules and codec.
        out: folder for the tables.
        runs: folder of the trainings; those that lie there are continued.
        seed: seed of every random choice.
        threads: CPU threads; 0 leaves the choice to torch.
    """

    nyu: Path
    decoder: str = "ait-parallel"
    preset: str = "ait-small-depth"
    out: Path = Path("results")
    runs: Path = Path("results/runs/depth-pairs")
    seed: int = 0
    threads: int = 1
