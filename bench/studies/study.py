"""What AiT's studies share: short trainings that continue where they stopped, and scored runs of their weights.

Masks and depth only, prompted by the annotated objects, so that no detector has to be learned and none decides what is
compared. Every training and every run has a folder of its own; what is finished is taken as it is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.builders.suite import build_suite
from bench.checkpoints import checkpoint
from bench.config.run import RunOptions
from bench.config.training import TrainOptions
from bench.run.runner import plain_options, run
from bench.stats.seed_means import Interval, ScoreTable, paired_difference, table, value
from bench.studies.output import card
from bench.train.network import train
from results.record import Record
from results.store import PARTIAL, RECORD, read_record, read_samples
from tasks.base import Metric

TASKS = ("depth", "segmentation")
METRICS = {"depth": "rmse", "segmentation": "AP"}
HEADINGS = {"depth": "depth RMSE, m", "segmentation": "mask AP"}

RESOLVED = ("mode", "scenario", "batch")  # options that a run fills in itself


@dataclass(frozen=True)
class Measured:
    """One decoder's run.

    Args:
        record: of the run.
        tables: task to what is kept of each image.
    """

    record: Record
    tables: dict[str, ScoreTable]


class Study:
    """Trainings and runs under one folder.

    Args:
        options: data, network and schedule; its decoder, tasks and strategy are replaced.
        folder: of all trainings, weights and runs.
    """

    def __init__(self, options: TrainOptions, folder: Path) -> None:
        chosen = replace(options.train, weights=options.train.weights | {"detection": 0.0}, evaluate_images=0)
        self.options = replace(options, tasks=",".join(TASKS), train=chosen)
        self.folder = folder
        self.images = options.train.evaluate_images or None
        self._metrics: Mapping[str, Metric] | None = None

    def train(self, name: str, decoder: str, *, seed: int, strategy: Mapping[str, Any]) -> Path:
        """Weights of a decoder, trained with these options of its own; their card lies beside them."""
        own = {decoder: dict(strategy)} if strategy else {}
        folder = self.folder / "train" / f"{name}-{seed}"
        return train(replace(self.options, decoder=decoder, seed=seed, strategy=own, out=folder))[0]

    def run(
        self, name: str, weights: Mapping[str, Path], *, seed: int, strategy: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Measured]:
        """Decoders that were trained, in one run on held-out images.

        Args:
            name: of the run's folder; another seed, or other weights, get another one.
            weights: decoder to its weights.
            seed: of the run.
            strategy: decoder to its options.
        """
        hashes = [str(card(path)["hash"])[:8] for path in weights.values()]
        options = replace(
            self.options.run_options(self.options.evaluate_on, limit=self.images),
            decoder=",".join(weights),
            seed=seed,
            prompts="annotated",
            strategy={decoder: dict(own) for decoder, own in strategy.items()},
            checkpoints=self._checkpoints("-".join(hashes), weights),
            out=self.folder / "runs" / "-".join([name, str(seed), *hashes]),
            fresh=self.options.fresh,
        )
        folders = [Path(str(options.out)) / decoder for decoder in weights]
        if self.options.fresh or not all(_is_done(folder, options) for folder in folders):
            run(options)
        return {decoder: self._measured(folder, options) for decoder, folder in zip(weights, folders, strict=True)}

    def _measured(self, folder: Path, options: RunOptions) -> Measured:
        if self._metrics is None:
            self._metrics = build_suite(options).metrics
        samples = read_samples(folder)
        tables = {
            task: table(
                self._metrics[task], {s.image_id: s.predictions[task] for s in samples if task in s.predictions}
            )
            for task in TASKS
        }
        return Measured(read_record(folder), tables)

    def _checkpoints(self, name: str, weights: Mapping[str, Path]) -> Path:
        """A folder as ``run`` wants it: the weights, with the encoder and the codecs that they were trained on."""
        root = self.folder / "weights" / name
        target = root / self.options.preset
        target.mkdir(parents=True, exist_ok=True)
        shared = checkpoint.checkpoint_path(self.options.preset, checkpoint.ENCODER)
        found = {path.stem: path for path in shared.parent.glob("codec-*.safetensors")}
        found |= {checkpoint.ENCODER: self.options.encoder or shared, **weights}
        for stem, path in found.items():
            for suffix in (".safetensors", ".json"):
                if path.with_suffix(suffix).exists():
                    shutil.copyfile(path.with_suffix(suffix), target / f"{stem}{suffix}")
        return root


def accuracy(
    task: str, own: Sequence[Measured], reference: Sequence[Measured] | None, paper: Sequence[float | None]
) -> dict[str, Any]:
    """A row's accuracy in one task as JSON data: values of all seeds, their mean, and what they are compared with.

    Args:
        task: name of the task.
        own: the row, one run a seed.
        reference: the row that it is compared with, or None for that row itself.
        paper: the paper's values of the row and of the reference; None where it prints none.
    """
    name = METRICS[task]
    tables = [one.tables[task] for one in own]
    difference = None
    if reference is not None:
        difference = paired_difference(tables, [one.tables[task] for one in reference], name)
    return {
        "metric": name,
        "values": [value([one], name) for one in tables],
        "mean": value(tables, name),
        "difference": None if difference is None else asdict(difference),
        "paper": paper[0],
        "verdict": verdict(difference, *paper),
    }


def verdict(found: Interval | None, paper: float | None, reference: float | None) -> str:
    """Whether a difference goes the paper's way: ``agrees``, ``disagrees``, ``cannot tell``; ``–``: nothing to compare.

    Args:
        found: our difference to the reference row.
        paper: the paper's value of the row.
        reference: the paper's value of the reference row.
    """
    if found is None or paper is None or reference is None:
        return "–"
    if not found.sure:
        return "cannot tell"
    return "agrees" if (found.value > 0) == (paper > reference) else "disagrees"


def cells(found: Mapping[str, Any], task: str) -> list[str]:
    """``accuracy`` as cells of a table: mean, difference with its interval, the paper's value, verdict."""
    times, digits = (100, 1) if METRICS[task] == "AP" else (1, 4)  # papers print AP times 100, errors in meters
    difference, printed = "", "–" if found["paper"] is None else f"{found['paper']:.{digits}f}"
    if found["difference"] is not None:
        ends = {name: f"{number * times:+.{digits}f}" for name, number in found["difference"].items()}
        difference = f"{ends['value']} ({ends['low']} … {ends['high']})"
    return [f"{found['mean'] * times:.{digits}f}", difference, printed, found["verdict"]]


def trained_as(weights: Sequence[Path]) -> str:
    """How weights came about, for the head of a table."""
    told = card(weights[0])
    formats = ", ".join(f"{task} {name}" for task, name in sorted(told.get("formats", {}).items()))
    return f"{told['steps']} steps of {told['schedule']['batch']} images" + (f", formats {formats}" if formats else "")


def _is_done(folder: Path, options: RunOptions) -> bool:
    """Whether a finished run of these options lies there."""
    if not (folder / RECORD).exists() or (folder / PARTIAL).exists():
        return False
    wanted, found = json.loads(json.dumps(plain_options(options), default=str)), read_record(folder).options
    return all(found.get(name) == value for name, value in wanted.items() if name not in RESOLVED)
