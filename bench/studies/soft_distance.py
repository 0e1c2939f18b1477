"""How near soft tokens are to the embeddings of the true tokens, and what they do for depth (AiT Table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.builders.decoder import build_decoder, build_network, build_pipeline
from bench.builders.open_suite import build_suite
from bench.builders.suite import Suite, with_formats
from bench.builders.task_formats import formats_to_run
from bench.config.loading import load_run
from bench.console import progress
from bench.inference.pipeline import PipelineInput
from bench.paths import REPOSITORY
from bench.stats.bootstrap import RESAMPLES, scores
from bench.studies.analysis import Scores, differences, point
from bench.studies.contrasts import contrasts
from bench.studies.definition import Contrast
from bench.studies.output import write_study
from bench.system.environment import git_state
from decoders.base import Request
from decoders.causal.ait import Ait
from results.study import Outcome
from tasks.formats.sequence import Decoded
from tasks.metrics.tables import MeanTable

NAME = "ait-soft-distance"
BATCH = 25
CONTRASTS = {
    "soft tokens against hard ones": Contrast(
        arms={"soft": 1, "hard": -1}, metrics={"depth.distance": -0.26, "depth.rmse": -0.0102}
    )
}


class _Recorder:
    """A strategy that keeps what it decoded last."""

    def __init__(self, decoder: Ait) -> None:
        self.decoder = decoder
        self.needs_truth = decoder.needs_truth
        self.decoded: Decoded | None = None

    def decode(self, network: Any, memory: Any, request: Request, generators: Sequence[torch.Generator]) -> Decoded:
        """Return and keep the decoded tokens."""
        self.decoded = self.decoder.decode(network, memory, request, generators)
        return self.decoded


def measure_soft_distance(*, preset: str, out: Path) -> str:
    """Decode depth with hard and with soft tokens, and write the distances as the study ``ait-soft-distance``.

    The distance of an image is the mean over its codes of the Euclidean distance between the embedding that a code was
    fed on as, and that of the true code. Shipped weights.

    Args:
        preset: whose weights and validation images are used.
        out: folder of the study's page and data.

    Returns:
        The page.
    """
    tables, data = {}, dict[str, Any]()
    for arm, soft in (("hard", False), ("soft", True)):
        strategy = {"ait": {"soft_input": soft, "soft_output": soft, "top_p": {}}}
        tables[arm], data = _distances({"preset": preset, "decoder": "ait", "tasks": "depth", "strategy": strategy})
    arms = {arm: [_scores(table)] for arm, table in tables.items()}
    images = len(tables["soft"].images)
    outcome = Outcome(
        name=NAME,
        command="python -m bench measure soft-distance",
        title="distance of soft and hard tokens to the true ones",
        decoder="ait",
        data={"images": images, "hash": data["hash"]},
        environment=git_state(REPOSITORY),
        points={arm: point(seeds) for arm, seeds in arms.items()},
        differences=differences(arms),
        contrasts=contrasts(CONTRASTS, arms),
        method=f"paired bootstrap over {images} images, {RESAMPLES} resamples, for these weights",
    )
    return write_study(out, outcome).read_text()


def _distances(given: dict[str, Any]) -> tuple[MeanTable, dict[str, Any]]:
    """Per-image distances and depth errors of one setting, and what a record says of the data."""
    options = load_run(given)
    recorder = _Recorder(build_decoder(Ait.name, options.strategy))
    plain = build_suite(options)
    suite = with_formats(plain, formats_to_run(options, recorder.decoder, plain.names), options)
    network = build_network(recorder.decoder, suite.vocabulary, options, torch.device("cpu"))
    pipeline = build_pipeline(
        recorder, suite.tasks, suite.vocabulary, network=network, options=options, device=torch.device("cpu")
    )
    rows: dict[int, tuple[float, float]] = {}
    with progress("decoding") as report:
        for start in range(0, len(suite.dataset.samples), BATCH):
            rows |= _batch(suite, pipeline, recorder, network, start)
            report(len(rows), len(suite.dataset.samples))
    distances, errors = zip(*rows.values(), strict=True)
    columns = {"distance": distances, "rmse": errors}
    return MeanTable(list(rows), columns, lower=frozenset(columns)), suite.data


@torch.no_grad()
def _batch(
    suite: Suite, pipeline: Any, recorder: _Recorder, network: Any, start: int
) -> dict[int, tuple[float, float]]:
    """Image id to its distance and its root mean squared error of depth."""
    (task,), metric = suite.tasks, suite.metrics["depth"]
    inputs = [
        PipelineInput(sample.image_id, suite.dataset.image(sample), suite.dataset.targets(sample))
        for sample in suite.dataset.samples[start : start + BATCH]
    ]
    outputs = pipeline.predict(inputs)
    assert recorder.decoded is not None  # noqa: S101  # predict has called decode
    rows = {}
    for row, (image, output) in enumerate(zip(inputs, outputs, strict=True)):
        true, decoded = task.encode(image.targets).tokens[0], recorder.decoded
        fed = {"tokens": decoded.tokens[row, 0]}
        if recorder.decoder.options.soft_input:
            fed = {"mixtures": decoded.probabilities[row, 0], "ids": task.format.ids}
        record: Any = metric.observe(image.image_id, output.predictions["depth"], image.targets)
        error = np.nan if record["rmse"] is None else record["rmse"]
        rows[image.image_id] = (fed_distance(network, true, **fed), error)
    return rows


@torch.no_grad()
def fed_distance(
    network: Any, true: Tensor, *, tokens: Tensor | None = None, mixtures: Tensor | None = None, ids: Any = None
) -> float:
    """Return the mean Euclidean distance between the embeddings that are fed and those of the true tokens.

    Args:
        network: with ``embed`` and ``soft_embedding``.
        true: (L,) ids.
        tokens: (L,) ids that are fed, of hard tokens.
        mixtures: (L, V) probabilities of ``ids`` whose mean embeddings are fed, of soft tokens.
        ids: V ids.
    """
    fed = network.embed(tokens) if mixtures is None else network.soft_embedding(mixtures, ids)
    return float((fed - network.embed(true)).norm(dim=-1).mean())


def _scores(table: Any) -> Scores:
    draws = {f"depth.{name}": column for name, column in scores(table, resamples=RESAMPLES, seed=0).items()}
    return Scores({key: float(column[0]) for key, column in draws.items()}, draws, images=len(table.images))
