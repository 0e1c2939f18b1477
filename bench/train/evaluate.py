"""Scores during training, from the pipeline of a run over a few held-out images."""

from __future__ import annotations

from typing import Any

from bench.builders.decoder import image_transform, windowed
from bench.builders.suite import Suite
from bench.checkpoints.checkpoint import device_of
from bench.config.training import TrainOptions
from bench.inference.image_batches import annotation_kinds, make_batches
from bench.inference.pipeline import PipelineInput
from decoders.network.network import Network

BATCH = 25  # images decoded at once


def pipeline_scores(decoder: Any, network: Network, suite: Suite, *, options: TrainOptions) -> dict[str, float]:
    """Return the headline metrics of every task, named ``task metric``; metrics without a value are left out.

    Args:
        decoder: the strategy.
        network: in evaluation mode.
        suite: held-out images with tasks and metrics.
        options: how images are fitted, and the seed of the strategy's random choices.
    """
    pipeline = windowed(
        image_transform(options.image),
        decoder=decoder,
        tasks=suite.tasks,
        fill=suite.vocabulary.id("mask"),
        seed=options.seed,
        network=network,
        device=device_of(network),
    )
    records: dict[str, dict[int, Any]] = {name: {} for name in suite.metrics}
    kinds = annotation_kinds(suite.dataset, suite.tasks)
    for samples in make_batches(suite.dataset.samples, BATCH, kinds):
        images = [
            PipelineInput(image_id=s.image_id, image=suite.dataset.image(s), targets=suite.dataset.targets(s))
            for s in samples
        ]
        for image, outcome in zip(images, pipeline.predict(images), strict=True):
            for name in outcome.predictions.keys() & suite.metrics.keys():
                metric, prediction = suite.metrics[name], outcome.predictions[name]
                records[name][image.image_id] = metric.observe(image.image_id, prediction, image.targets)
    scores = {}
    for task in (task for task in suite.tasks if task.name in suite.metrics):
        values = suite.metrics[task.name].summarize(records[task.name])
        for name in task.headline:
            if (value := values.get(name)) is not None:
                scores[f"{task.name} {name}"] = float(value)
    return scores
