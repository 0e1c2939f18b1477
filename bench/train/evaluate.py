"""Scores during training, from the pipeline of a run over a few held-out images."""

from __future__ import annotations

from typing import Any

from bench.builders.decoder import image_transform, windowed
from bench.builders.suite import Suite
from bench.checkpoints.checkpoint import device_of
from bench.config.training import TrainOptions
from bench.inference.pipeline import PipelineInput
from decoders.network.network import Network


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
    for sample in suite.dataset.samples:
        image, targets = suite.dataset.image(sample), suite.dataset.targets(sample)
        (outcome,) = pipeline.predict([PipelineInput(image_id=sample.image_id, image=image, targets=targets)])
        for name in outcome.predictions.keys() & suite.metrics.keys():
            metric = suite.metrics[name]
            records[name][sample.image_id] = metric.observe(sample.image_id, outcome.predictions[name], targets)
    scores = {}
    for task in (task for task in suite.tasks if task.name in suite.metrics):
        values = suite.metrics[task.name].summarize(records[task.name])
        for name in task.headline:
            if (value := values.get(name)) is not None:
                scores[f"{task.name} {name}"] = float(value)
    return scores
