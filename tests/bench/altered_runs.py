"""Finished runs for tests that judge runs: the oracle on a dozen scenes, and copies of it that were changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.compare.score_tables import DataPaths, metrics_of
from bench.config.loading import load_run
from bench.run.runner import run
from bench.run.summary import timing
from results.record import Sample
from results.run_files import checksum, read_run
from results.store import RECORD, SAMPLES

TASKS = "segmentation,depth"  # and detection, which segmentation needs


def data(scenes: Path) -> DataPaths:
    """Return the paths of the runs' data."""
    return DataPaths(coco=scenes, nyu=scenes)


@cache
def _metrics(folder: Path, scenes: Path) -> dict[str, Any]:
    return metrics_of(read_run(folder).record, data(scenes))


def oracle(scenes: Path, out: Path) -> Path:
    """The folder of a finished run of the oracle, its times replaced by 40 ms of which 20 are decoding."""
    words = ["--decoder", "oracle", "--preset", "embedded", "--coco", str(scenes), "--nyu", str(scenes)]
    (folder,) = run(load_run([*words, "--tasks", TASKS, "--out", str(out)]))
    return altered(folder, out / "even", scenes, decoder="oracle", times=even)


def even(number: int) -> dict[str, float]:
    """The same time for every image."""
    del number
    return {"preprocess": 20.0, "decode.detection": 15.0, "decode.depth": 5.0, "total": 40.0}


def noisy(seed: int, factor: float = 1.0, spread: float = 0.02) -> Callable[[int], dict[str, float]]:
    """Times that scatter by ``spread`` around ``factor`` times those of ``even``."""
    noise = np.random.default_rng(seed).normal(0, spread, 1000)

    def times(number: int) -> dict[str, float]:
        return {name: value * factor * float(np.exp(noise[number])) for name, value in even(number).items()}

    return times


def worse(sample: Sample, generator: np.random.Generator) -> Sample:
    """Boxes off by some pixels, masks lost, depth errors grown."""
    predictions: dict[str, Any] = copy.deepcopy(sample.predictions)
    for box in predictions["detection"]:
        box["bbox"][0] += float(generator.normal(0, 3))
    predictions["segmentation"] = predictions["segmentation"][::2]
    predictions["depth"] = {
        name: value * 1.1 if name == "rmse" else value for name, value in predictions["depth"].items()
    }
    return msgspec.structs.replace(sample, predictions=predictions)


def altered(
    folder: Path,
    out: Path,
    scenes: Path,
    *,
    decoder: str,
    change: Callable[[Sample, np.random.Generator], Sample] | None = None,
    times: Callable[[int], dict[str, float]] = even,
    **fields: Any,
) -> Path:
    """A copy of a run under another decoder's name, with its predictions and times changed."""
    source = read_run(folder)
    generator = np.random.default_rng(0)
    samples = [sample if change is None else change(sample, generator) for sample in source.samples]
    samples = [msgspec.structs.replace(s, milliseconds=times(number)) for number, s in enumerate(samples)]
    metrics = _metrics(folder, scenes)
    values = {
        task: metrics[task].summarize({s.image_id: s.predictions[task] for s in samples})
        for task in source.record.metrics
    }
    record = msgspec.structs.replace(
        source.record,
        decoder=decoder,
        metrics=values,
        checksum=checksum(samples),
        latency=msgspec.structs.replace(
            source.record.latency,
            total=timing([sample.milliseconds["total"] for sample in samples]),
            phases={name: timing([sample.milliseconds[name] for sample in samples]) for name in times(0)},
        ),
        **{"warnings": [], **fields},  # those of the real times
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / SAMPLES).write_bytes(b"".join(msgspec.json.encode(sample) + b"\n" for sample in samples))
    (out / RECORD).write_bytes(msgspec.json.encode(record))
    return out
