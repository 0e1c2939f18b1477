"""Options of the commands that judge finished runs: compare, report, gate, history, planted-faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.config.parts import DataFolders, PresetOptions
from bench.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ResamplingOptions:
    """How intervals are drawn.

    Args:
        resamples: bootstrap resamples of every interval.
        seed: seed of the resamples.
    """

    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise UserError(f"--resamples {self.resamples}: give at least 100, below that an interval means nothing")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: give 0 or more")


@dataclass(frozen=True, kw_only=True)
class FinishedRunOptions(DataFolders, ResamplingOptions):
    """The data of finished runs, of which a record keeps only the names.

    Args:
        coco: COCO folder that the runs were made on, if it is not the embedded scenes.
        nyu: NYUv2 folder that the runs were made on.
        nyu_list: NYUv2 list file, if it has an unusual name.
        tokenizer: SentencePiece model that the runs were given.
        out: folder for what is written.
    """

    nyu_list: Path | None = None
    tokenizer: Path | None = None
    out: Path | None = None


@dataclass(frozen=True, kw_only=True)
class CompareOptions(FinishedRunOptions):
    """Options of ``compare``.

    Args:
        runs: run folders, record files, or folders of run folders; two runs or more.
        every: compare all metrics and phases, not the headline metrics, the total and decoding alone.
        out: folder for ``comparison.json`` and ``comparison.md``.
    """

    runs: list[Path]
    every: bool = False


@dataclass(frozen=True, kw_only=True)
class GateRunOptions(PresetOptions):
    """How the gate runs decoders and what it tolerates.

    Args:
        settings: YAML file with further options of the runs, as ``run --config`` takes it.
        thresholds: what is tolerated; default: ``thresholds.yaml`` beside the baselines, else the one that is shipped.
    """

    settings: Path | None = None
    thresholds: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ReportOptions(FinishedRunOptions):
    """Options of ``report``.

    Args:
        runs: run folders, or folders of run folders; default: the newest of ``results/runs``.
        out: folder for the page, its figures and its tables; default: ``report`` beside the runs.
        gallery: images of each kind in the gallery, best and worst by each metric and most disputed; 0 leaves it out.
        readme: also write the figure and the table of this README, between its markers.
    """

    runs: list[Path] = field(default_factory=list)
    gallery: int = 1
    readme: Path | None = None

    def __post_init__(self) -> None:
        ResamplingOptions.__post_init__(self)
        if self.gallery < 0:
            raise UserError(f"--gallery {self.gallery}: give 0 or more")


@dataclass(frozen=True, kw_only=True)
class GateOptions(GateRunOptions, DataFolders):
    """Options of ``gate``.

    Args:
        runs: finished runs to judge (of one command); without any, the decoders are run first.
        decoder: decoders to judge, separated by commas; default: all that have a baseline, or all of ``runs``.
        limit: first N images of each data set.
        tasks: tasks to run, separated by commas.
        kind: judge only accuracy or only speed.
        baselines: folder of the baselines; default: those that are shipped.
        update_baseline: make the runs the new baselines, after showing what differs; refused on a busy machine.
        force: update baselines even though the machine was busy.
        history: file to append a line a decoder to; ``null`` appends nowhere.
        out: folder for the runs and for ``gate.json``, ``gate.md`` and ``gate.xml``; default: ``results/runs/gate``.
    """

    runs: list[Path] = field(default_factory=list)
    decoder: str | None = None
    limit: int | None = None
    tasks: str | None = None
    kind: Literal["all", "accuracy", "speed"] = "all"
    baselines: Path | None = None
    update_baseline: bool = False
    force: bool = False
    history: Path | None = Path("results/history.jsonl")
    out: Path | None = None

    def names(self) -> list[str]:
        """Decoders given with ``--decoder``."""
        return [name.strip() for name in (self.decoder or "").split(",") if name.strip()]


@dataclass(frozen=True)
class HistoryOptions:
    """Options of ``history``.

    Args:
        metric: what to plot, e.g. ``detection.AP``, ``total/parallel`` or ``ms``; without one, what there is.
        file: history file.
        decoder: only these decoders, separated by commas.
        preset: only this preset.
        machine: only this machine (its fingerprint); times of several machines are plotted apart in any case.
        segment: fewest runs between two change points.
        add: run folders whose lines are appended first.
    """

    metric: str | None = None
    file: Path = Path("results/history.jsonl")
    decoder: str | None = None
    preset: str | None = None
    machine: str | None = None
    segment: int = 3
    add: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.segment < 2:
            raise UserError(f"--segment {self.segment}: give at least 2; a single run is no level")


@dataclass(frozen=True, kw_only=True)
class PlantedOptions(GateRunOptions):
    """Options of ``planted-faults``.

    Args:
        decoder: decoder whose ``decode`` is slowed and garbled.
        images: first N images.
        tasks: tasks to run; captions are left out because METEOR's Java program takes longer than the rest.
        repeats: runs of the same (A/A).
        fresh: start over instead of continuing.
        out: folder for runs, baselines, ``planted.json`` and ``planted.md``.
    """

    decoder: str = "mad"
    images: int = 100
    tasks: str = "detection,segmentation,keypoints,depth"
    repeats: int = 20
    fresh: bool = False
    out: Path = Path("results/runs/planted")

    def __post_init__(self) -> None:
        if self.images < 12 or self.repeats < 1:
            raise UserError(f"--images {self.images} --repeats {self.repeats}: give at least 12 images and 1 repeat")
