"""The parts of a run's decoders, made from its options: strategy, network, transform, pipeline."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from bench import registry
from bench.builders.placeholders import placeholder_load, random_network
from bench.config.parts import ImageOptions
from bench.config.run import RunOptions
from bench.config.strategy import strategy_options
from bench.data.transforms import IMAGENET, Letterbox, ShortestSide, Square, Windows
from bench.errors import UserError
from bench.inference.pipeline import Pipeline
from bench.inference.windowed_pipeline import WindowedPipeline, window_pixels
from bench.registry import DecoderEntry
from decoders.network.network import Network
from decoders.oracle import Oracle
from tasks.base import Task
from tasks.formats.vocabulary import Vocabulary

UNSIGNED = (
    "out", "fresh", "decoder", "budget", "calibrate", "caption_tokenizer", "min_seconds", "min_images", "phases",
)  # fmt: skip
"""Options that decide no prediction."""


def build_decoder(name: str, strategy: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return a strategy with its own options from ``--strategy``.

    Raises:
        UserError: if it cannot be loaded or an option cannot be used.
    """
    options = strategy_options(registry.decoder(name), strategy)
    cls = registry.load(registry.DECODERS, name)
    return cls() if options is None else cls(options)


def options_of(decoder: Any) -> dict[str, Any]:
    """All options of a strategy, those that were not given too; none of one that has none."""
    return {} if registry.entry_of(DecoderEntry, decoder).Options is None else dataclasses.asdict(decoder.options)


def build_network(
    decoder: Any, vocabulary: Vocabulary, options: RunOptions, device: torch.device, *, tokenizer: str | None = None
) -> Network | None:
    """The network that a decoder runs on, with its weights or random ones; None if it needs none."""
    if not decoder.needs_network:
        return None
    from bench.checkpoints.checkpoint import load_network
    from decoders.network.folding import folded

    if options.random_weights:
        return folded(random_network(options.network, vocabulary, seed=options.seed)).to(device)
    network = load_network(registry.entry_of(DecoderEntry, decoder).weights, options, vocabulary, tokenizer=tokenizer)
    return folded(network).to(device)


def build_pipeline(
    decoder: Any,
    tasks: Sequence[Task],
    vocabulary: Vocabulary,
    *,
    network: Any,
    options: RunOptions,
    device: torch.device,
) -> Pipeline | WindowedPipeline:
    """One decoder on one network, or what stands in for it; windows of an image are decoded one by one."""
    instances = options.sizes.slots if options.instances is None else options.instances
    return windowed(
        image_transform(options.image),
        decoder=decoder,
        tasks=tasks,
        fill=vocabulary.id("mask"),
        seed=options.seed,
        network=network,
        prompter=Oracle() if options.prompts == "annotated" else None,
        device=device,
        precision=options.precision,
        placeholder_predictions=placeholder_load(instances, min(options.persons, instances))
        if options.random_weights
        else None,
    )


def windowed(transform: Any, **parts: Any) -> Pipeline | WindowedPipeline:
    """A pipeline from the arguments of ``Pipeline``; windows are decoded one by one."""
    if not isinstance(transform, Windows):
        return Pipeline(transform=transform, **parts)
    return WindowedPipeline(pipeline=Pipeline(transform=window_pixels, **parts), windows=transform)


def image_transform(image: ImageOptions) -> Any:
    """The transform that a preset names."""
    normalise = IMAGENET if image.normalise else None
    match image.transform:
        case "shortest_side":
            return ShortestSide(short=image.short, longest=image.longest, normalise=normalise)
        case "letterbox":
            return Letterbox(side=image.side, normalise=normalise)
        case "square":
            return Square(side=image.side, normalise=normalise)
        case "windows":
            return Windows(side=image.side, normalise=normalise, mirrored=image.mirrored)


def plain_options(options: RunOptions) -> dict[str, Any]:
    """Options as JSON data; of paths only the last part, so that a record tells nothing of a machine's folders."""
    left_out = ("out", "fresh", "report", "decoder")
    plain: Mapping[str, Any] = {k: v for k, v in dataclasses.asdict(options).items() if k not in left_out}
    named: dict[str, Any] = _named(plain)
    return named


def _named(value: Any) -> Any:
    """The same with paths reduced to their last part, in nested options too."""
    if isinstance(value, Mapping):
        return {name: _named(part) for name, part in value.items()}
    return value.name if isinstance(value, Path) else value


def choose_device(name: Literal["auto", "cpu", "cuda"], *, local: int = 0) -> torch.device:
    """Where networks compute; the GPU of this number, if there are several.

    Raises:
        UserError: if a GPU is asked for and there is none.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU; use --device cpu")
    device = torch.device("cuda", local % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device
