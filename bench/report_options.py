"""Options of ``report`` and ``ablate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import UserError


@dataclass(frozen=True)
class ReportOptions:
    """Options of ``report``.

    Args:
        runs: run folders, or folders of run folders; default: the newest of ``results/runs``.
        out: folder for the page, its figures and its tables; default: ``report`` beside the runs.
        coco: COCO folder that the runs were made on, if it is not the embedded scenes.
        nyu: NYUv2 folder that the runs were made on.
        nyu_list: NYUv2 list file, if it has an unusual name.
        tokenizer: SentencePiece model that the runs were given.
        gallery: images of each kind in the gallery, best and worst by each metric and most disputed; 0 leaves it out.
        resamples: bootstrap resamples of every interval.
        seed: seed of the resamples.
        readme: also write the figure and the table of this README, between its markers.
    """

    runs: list[Path] = field(default_factory=list)
    out: Path | None = None
    coco: Path | None = None
    nyu: Path | None = None
    nyu_list: Path | None = None
    tokenizer: Path | None = None
    gallery: int = 1
    resamples: int = 1000
    seed: int = 0
    readme: Path | None = None

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise UserError(f"--resamples {self.resamples}: give at least 100, below that an interval means nothing")
        if self.seed < 0 or self.gallery < 0:
            raise UserError(f"--seed {self.seed}, --gallery {self.gallery}: give 0 or more")


@dataclass(frozen=True)
class AblateOptions:
    """Options of ``ablate``.

    Args:
        name: an ablation that ships with the program, or a YAML file; without it they are listed.
        work: folder for trainings and runs, which are continued there.
        out: folder for the outcome; default: ``results/ablations``.
        show: print the commands that the ablation stands for, and do nothing.
    """

    name: str | None = None
    work: Path = Path("results") / "runs" / "ablations"
    out: Path | None = None
    show: bool = False
