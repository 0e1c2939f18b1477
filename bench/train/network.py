"""Train a network: pretrain the encoder, train a decoder on its frozen memory, or train all of it end to end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench import registry
from bench.builders.decoder import build_decoder, image_transform, options_of
from bench.builders.open_suite import build_suite
from bench.builders.suite import Suite, with_formats
from bench.builders.task_formats import Formats, formats_to_train
from bench.checkpoints import checkpoint
from bench.checkpoints.checkpoint import ENCODER
from bench.config.training import TrainOptions
from bench.console import progress
from bench.data.augment import Augment
from bench.data.packed import Packed, as_tensors, packed
from bench.distributed import ProcessGroup, join
from bench.errors import UserError, unknown
from bench.paths import CHECKPOINTS, cache_folder
from bench.train import warm_start
from bench.train.batch_stream import Batches
from bench.train.batches import Cached, DenseBatches, ImageBatches, MapBatches, MemoryBatches, TokenTargets, cached
from bench.train.encoder_pretraining import DenseHeads, PretrainingLoss, dense_scores
from bench.train.evaluate import pipeline_scores
from bench.train.multitask_loss import MultitaskLoss
from bench.train.publish import finish
from bench.train.trainer import INTERVALS, Trainer, prepare
from decoders.network.network import Network, build_network
from tasks.base import Task
from tasks.targets import Targets

EVALUATION_BATCH = 25


def train(options: TrainOptions) -> list[Path]:
    """Train what ``options.decoder`` names.

    Returns:
        The files that were written: weights and learning curve, and the published copies.

    Raises:
        UserError: if data, options or their combination cannot be used.
    """
    folder = prepare(options, options.decoder)
    _check(options)
    with join(on_gpus=True) as group:
        with group.main_first():
            suite = build_suite(options)
        work = _encoder_work if options.decoder == ENCODER else _decoder_work
        trainer, tensors, card = work(options, suite, folder, group)
        trainer.run()
        if not group.is_main:
            return []
        with trainer.averaged():
            preset = options.preset if options.publish else None
            return finish(trainer, options.decoder, tensors(), card, publish=preset, start=options.start)


def _check(options: TrainOptions) -> None:
    """Refuse what can be refused before data are read.

    Raises:
        UserError: if the options contradict each other, or the weights to start from cannot be used.
    """
    if options.start is not None:
        warm_start.read(options.start, parts=_words(options.start_parts))
    elif options.start_parts:
        raise UserError(
            f"--start_parts {options.start_parts}: names parts of --start, which is missing; give --start FILE"
        )
    if options.decoder != ENCODER:
        if not hasattr(_decoder(options), "training_views"):
            raise UserError(f"decoder {options.decoder!r} cannot be trained; choose one that can")
    elif options.image.transform != "square":
        raise UserError(
            f"encoder pretraining needs images of one size: image.transform is {options.image.transform}, give square"
        )


Work = tuple[Trainer, Callable[[], dict[str, torch.Tensor]], dict[str, Any]]
"""A trainer, the tensors to keep at its end, and the card of the checkpoint."""


def _encoder_work(options: TrainOptions, suite: Suite, folder: Path, group: ProcessGroup) -> Work:
    """Pretrain the encoder: encoder and heads on packed images with dense labels."""
    with group.main_first():
        arrays, held_out = pack(suite, options.image.side), _held_out(options)
    torch.manual_seed(options.seed)
    network = build_network(options.network, suite.vocabulary)
    network.decoder.requires_grad_(False)
    network.embedding.requires_grad_(False)
    heads = DenseHeads(
        width=options.network.width,
        classes=options.sizes.classes,
        bins=options.sizes.bins,
        stride=options.network.stride,
        keypoints=arrays.keypoints.shape[2],
        words=arrays.words.shape[1],
        places=options.train.places,
    )
    objective = PretrainingLoss(network=network, heads=heads, stride=options.network.stride)
    objective.to(memory_format=torch.channels_last)  # convolutions on a CPU are faster so
    trainer = _trainer(
        options,
        objective=objective,
        batches=DenseBatches(arrays, flip=options.train.flip),
        schedule=options.train.encoder,
        folder=folder,
        signature=_signature(options, suite, "encoder"),
        evaluate=None if held_out is None else lambda: dense_scores(objective, _dense(held_out, options.image.side)),
        group=group,
    )
    return trainer, lambda: checkpoint.encoder_tensors(network), _card(options, suite, "encoder")


def _decoder_work(options: TrainOptions, suite: Suite, folder: Path, group: ProcessGroup) -> Work:
    """Train a decoder on the memory of a frozen encoder, or the whole network on images."""
    decoder = _decoder(options)
    formats = formats_to_train(
        options.formats,
        decoder,
        suite.names,
        layout=options.sizes.layout,
        preset=options.preset,
        root=options.checkpoints,
    )
    suite = with_formats(suite, formats, options)
    torch.manual_seed(options.seed)
    network = build_network(options.network, suite.vocabulary)
    tasks = _learned(suite.tasks, options.train.weights)
    targets = TokenTargets(tasks, options.train.sequences)
    card = _card(options, suite, "decoder")
    if options.train.frozen:
        card["encoder"] = frozen_encoder(options, network)
    if options.start is not None:
        card |= warm_start.load(options.start, network, card, parts=_words(options.start_parts))
    with group.main_first():
        batches: Batches
        if options.train.frozen:
            batches = _cached_batches(options, suite, network, targets, card["encoder"])
        else:
            batches = ImageBatches(suite.dataset, targets, _augment(options))
        held_out = _held_out(options, formats)
    objective = MultitaskLoss(network=network, decoder=decoder, tasks=tasks, weights=options.train.weights)
    trainer = _trainer(
        options,
        objective=objective,
        batches=batches,
        schedule=options.train.decoder,
        folder=folder,
        signature=_signature(options, suite, "decoder") | {name: card.get(name) for name in ("encoder", "start")},
        evaluate=None if held_out is None else lambda: pipeline_scores(decoder, network, held_out, options=options),
        group=group,
    )
    shared = options.train.frozen and not options.train.tune_encoder
    tensors = checkpoint.decoder_tensors if shared else Network.state_dict
    return trainer, lambda: dict(tensors(network)), card


def _trainer(options: TrainOptions, **parts: Any) -> Trainer:
    return Trainer(
        intervals=options.train,
        accumulate=options.train.accumulate,
        seed=options.seed,
        fresh=options.fresh,
        **parts,
    )


def _decoder(options: TrainOptions) -> Any:
    """Return the strategy with its options."""
    for name in options.strategy:
        if name != options.decoder:
            raise UserError(f"--strategy: {unknown('decoder of this training', name, [options.decoder])}")
    if (trained := registry.decoder(options.decoder).weights) != options.decoder:
        raise UserError(f"decoder {options.decoder!r} runs on the weights of {trained}; train --decoder {trained}")
    return build_decoder(options.decoder, options.strategy)


def _learned(tasks: Sequence[Task], weights: Mapping[str, float]) -> list[Task]:
    """Return the tasks whose loss has a weight."""
    learned = [task for task in tasks if weights.get(task.name, 1.0) > 0]
    if not learned:
        raise UserError("train.weights: no task has a weight above 0; nothing would be learned")
    return learned


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def frozen_encoder(options: TrainOptions, network: Network) -> str:
    """Load the pretrained encoder and freeze it, or its backbone alone; return its hash.

    Args:
        options: of a training with a frozen encoder.
        network: to load it into.

    Raises:
        UserError: if there is none, or it was made for another network or other images.
    """
    root = options.checkpoints or CHECKPOINTS
    path = options.encoder or checkpoint.checkpoint_path(options.preset, ENCODER, root)
    tensors, card = checkpoint.read_checkpoint(path, train=checkpoint.train_command(ENCODER, options.preset))
    warm_start.check_encoder(path, card, checkpoint.shape_of(options.network))
    if "image" in card:
        checkpoint.check_fit(path, card, {"image": {"side": options.image.side}})
    checkpoint.load_into(network, tensors, path.name)
    frozen = ("backbone",) if options.train.tune_encoder else checkpoint.ENCODER_PARTS
    for name, parameter in network.named_parameters():
        if name.split(".", 1)[0] in frozen:
            parameter.requires_grad_(False)
    return str(card["hash"])


def _cached_batches(
    options: TrainOptions, suite: Suite, network: Network, targets: TokenTargets, encoder: str
) -> MemoryBatches | MapBatches:
    """Return what the frozen part of the encoder makes of the training images, with token targets."""
    network.eval()
    arrays = pack(suite, options.image.side)

    def compute(name: str, function: Callable[[torch.Tensor], torch.Tensor]) -> Cached:
        path = cache_folder() / "training" / f"{name}-{encoder}-{suite.data['hash']}-{options.image.side}.npy"
        with progress("encoding images") as report:
            return cached(path, function, arrays, progress=report)

    def maps(images: torch.Tensor) -> torch.Tensor:
        return network.backbone_features(images).map

    if not options.train.tune_encoder:
        memory = compute("memory", lambda images: network.encode(network.backbone_features(images)).states)
        return MemoryBatches(memory, suite.dataset, targets)
    both = compute("maps", maps), compute("mirrored-maps", lambda images: maps(images.flip(-1)))
    return MapBatches(*both, suite.dataset, targets, flip=options.train.flip)


def _augment(options: TrainOptions) -> Augment:
    chosen = options.train
    return Augment(
        image_transform(options.image),
        flip=chosen.flip,
        shorts=chosen.short,
        crop=chosen.crop,
        jitter=chosen.jitter,
        color=chosen.colour,
        anywhere=chosen.anywhere,
    )


def _dense(suite: Suite, side: int) -> list[Mapping[str, torch.Tensor]]:
    """Return the images of a suite as batches for encoder pretraining."""
    arrays = pack(suite, side)
    indices = np.arange(len(arrays))
    return [as_tensors(arrays, part) for part in np.array_split(indices, -(-len(indices) // EVALUATION_BATCH))]


def _held_out(options: TrainOptions, formats: Formats | None = None) -> Suite | None:
    if not options.train.evaluate_images:
        return None
    limit = min(options.limit or options.train.evaluate_images, options.train.evaluate_images)
    chosen = dataclasses.replace(options, split=options.evaluate_on, limit=limit)
    suite = build_suite(chosen)
    return suite if formats is None else with_formats(suite, formats, chosen)


def _signature(options: TrainOptions, suite: Suite, stage: str) -> dict[str, Any]:
    """Return everything that decides the weights, as plain JSON data."""
    unseen = INTERVALS | {"encoder", "decoder"}
    unseen |= {"accumulate"}  # how many parts a step has in all is what counts, and the trainer knows it
    unseen |= {"places"} if stage == "decoder" else set()  # decoders depend on it through the encoder's hash alone
    return {
        "stage": stage,
        "decoder": options.decoder,
        "seed": options.seed,
        "data": suite.data["hash"],
        "tokenizer": _tokenizer(suite),
        "tasks": [task.name for task in suite.tasks],
        "schedule": dataclasses.asdict(getattr(options.train, stage)),
        **({"strategy": {options.decoder: options_of(_decoder(options))}} if stage == "decoder" else {}),
        "temperatures": options.temperatures,
        **({"start_parts": options.start_parts} if options.start_parts else {}),
        "training": {n: v for n, v in dataclasses.asdict(options.train).items() if n not in unseen},
        "sizes": dataclasses.asdict(options.sizes),
        "image": dataclasses.asdict(options.image),
        "network": {n: v if v is None else str(v) for n, v in dataclasses.asdict(options.network).items()},
        **suite.formats,
    }


def _card(options: TrainOptions, suite: Suite, stage: str) -> dict[str, Any]:
    """Return the card of the checkpoint; a run must agree with its ``network`` and ``sizes``."""
    fit = checkpoint.fit_card(options.sizes, options.network, suite.vocabulary, _tokenizer(suite))
    origin = {"preset": options.preset, "evaluate_images": options.train.evaluate_images}
    return {**origin, **_signature(options, suite, stage), **fit}


def _tokenizer(suite: Suite) -> str | None:
    tokenizer = suite.data.get("tokenizer")
    return None if tokenizer is None else str(tokenizer["hash"])


def pack(suite: Suite, side: int) -> Packed:
    """Return the packed images of a suite, with the pieces of their captions."""
    captioning = next((task for task in suite.tasks if task.kind == "captions"), None)

    def words(targets: Targets) -> npt.NDArray[np.bool_]:
        occurs = np.zeros(len(suite.vocabulary["word"]), dtype=np.bool_)
        if captioning is not None and captioning.annotated(targets):
            used = torch.unique(captioning.encode(targets).tokens) - suite.vocabulary["word"].start
            occurs[used.numpy()] = True
        return occurs

    with progress("packing images") as report:
        folder, pieces = cache_folder() / "training", "wordless" if captioning is None else _tokenizer(suite) or "words"
        return packed(suite.dataset, folder, side=side, words=words, pieces=pieces, progress=report)
