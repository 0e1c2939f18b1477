"""Options of studies and measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bench.config.parts import DataFolders, Split
from bench.errors import UserError


@dataclass(frozen=True, kw_only=True)
class StudyOptions(DataFolders):
    """Options of ``study``.

    Args:
        name: a study that ships with the program, or a YAML file; without it they are listed.
        jobs: worker processes, one core each.
        work: folder for trainings and runs, which are continued there.
        out: folder for the page and its data; default: ``results/studies``.
        only: arms to train and run; default: all.
        show: list the trainings and runs with their options and the time they take, and do nothing.
    """

    name: str | None = None
    jobs: int = 1
    work: Path = Path("results/runs/studies")
    out: Path | None = None
    only: list[str] = field(default_factory=list)
    show: bool = False

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise UserError(f"--jobs {self.jobs}: give at least 1")


@dataclass(frozen=True, kw_only=True)
class MeasureOptions(DataFolders):
    """Options of ``measure``.

    Args:
        name: of a measurement; without it they are listed.
        split: COCO split (``ceilings``).
        preset: sizes and network, of MAD or AiT (``cpu-time``), or MAD (``paper-speed``).
        images: first validation scenes (``caption-ceilings``).
        draws: sets of five sentences that the choosing speaker imagines of a scene (``caption-ceilings``).
        imagined: sets of five sentences that the one who speaks word by word knows of it (``caption-ceilings``).
        studies: that are simulated of each kind (``coverage``).
        seed: of random sentences, weights and studies.
        out: folder for the table and its data.
    """

    name: str | None = None
    split: Split = "val2017"
    preset: str = "mad-r50"
    images: int = 300
    draws: int = 40
    imagined: int = 3000
    studies: int = 2000
    seed: int = 0
    out: Path = Path("results")

    def __post_init__(self) -> None:
        for name in ("images", "draws", "imagined", "studies"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: give 1 or more")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: give 0 or more")
