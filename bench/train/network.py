"""Training: stage 0 of the encoder, decoders on its frozen memory, or everything end to end from images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import registry
from bench.builders.decoder import build_decoder, image_transform, options_of
from bench.builders.suite import Suite, build_suite
from bench.builders.task_formats import Formats, formats_to_train, with_formats
from bench.checkpoints import checkpoint
from bench.checkpoints.checkpoint import ENCODER
from bench.config.training import TrainOptions
from bench.console import progress
from bench.data.augment import Augment
from bench.data.packed import Packed, as_tensors, packed
from bench.distributed import Processes, processes
from bench.errors import UserError
from bench.paths import CHECKPOINTS, cache_folder
from bench.train import warm_start as starting
from bench.train.batch_stream import Batches
from bench.train.batches import DenseBatches, ImageBatches, MemoryBatches, TokenTargets, cached_memory
from bench.train.encoder_pretraining import DenseHeads, DenseObjective, dense_scores
from bench.train.evaluate import pipeline_scores
from bench.train.multitask_loss import MixedObjective
from bench.train.publish import finish
from bench.train.trainer import Pace, Trainer
from decoders.network.network import Network, build_network
from results.store import reserve
from tasks.base import Task
from tasks.targets import Targets

__all__ = ["ENCODER", "train"]

EVALUATION_BATCH = 25


def train(options: TrainOptions) -> list[Path]:
    """Train what ``options.decoder`` names.

    Returns:
        The files that were written: weights and learning curve, and the published copies.

    Raises:
        UserError: if data, options or their combination cannot be used.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = options.out or Path("results/runs") / f"train-{options.preset}" / f"{options.decoder}-{options.seed}"
    _check(options, folder)
    with processes() as team:
        with team.one_at_first():
            suite = build_suite(options.run_options(options.split))
        work = _encoder_work if options.decoder == ENCODER else _decoder_work
        trainer, tensors, card = work(options, suite, folder, team)
        trainer.run()
        if not team.first:
            return []
        with trainer.averaged():
            preset = options.preset if options.publish else None
            return finish(trainer, options.decoder, tensors(), card, publish=preset, start=options.start)


def _check(options: TrainOptions, folder: Path) -> None:
    """Refuse what can be refused before data are read. Raises UserError, and StoreError for an unwritable folder."""
    reserve(folder / ".writable")
    if options.start is not None:
        starting.read(options.start, parts=_words(options.start_parts))
    elif options.start_parts:
        raise UserError(f"--start_parts {options.start_parts}: there is no --start that they are of; give one")
    if options.decoder != ENCODER:
        if not hasattr(_decoder(options), "training_views"):
            raise UserError(f"decoder {options.decoder!r} learns nothing; choose one that does")
    elif options.image.transform != "square":
        raise UserError(f"stage 0 needs images of one size; image.transform is {options.image.transform}, give square")


Work = tuple[Trainer, Callable[[], dict[str, torch.Tensor]], dict[str, Any]]


def _encoder_work(options: TrainOptions, suite: Suite, folder: Path, team: Processes) -> Work:
    """Stage 0: encoder and heads on packed images with dense labels."""
    with team.one_at_first():
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
    objective = DenseObjective(network=network, heads=heads, stride=options.network.stride)
    objective.to(memory_format=torch.channels_last)  # convolutions on a CPU are faster so
    trainer = Trainer(
        objective=objective,
        batches=DenseBatches(arrays, flip=options.train.flip),
        schedule=options.train.encoder,
        pace=_pace(options),
        folder=folder,
        signature=_signature(options, suite, "encoder"),
        seed=options.seed,
        fresh=options.fresh,
        evaluate=None if held_out is None else lambda: dense_scores(objective, _dense(held_out, options)),
        team=team,
    )
    return trainer, lambda: checkpoint.encoder_tensors(network), _card(options, suite, "encoder")


def _decoder_work(options: TrainOptions, suite: Suite, folder: Path, team: Processes) -> Work:
    """A decoder on the memory of a frozen encoder, or the whole network on images."""
    decoder = _decoder(options)
    names = suite.names
    formats = formats_to_train(
        options.formats,
        decoder,
        names,
        layout=options.sizes.layout,
        preset=options.preset,
        root=options.checkpoints,
    )
    suite = with_formats(suite, formats, options.run_options(options.split))
    torch.manual_seed(options.seed)
    network = build_network(options.network, suite.vocabulary)
    tasks = _learned(suite, options)
    targets = TokenTargets(tasks, options.train.sequences)
    card = _card(options, suite, "decoder")
    if options.train.frozen:
        card["encoder"] = frozen_encoder(options, network)
    if options.start is not None:
        card |= starting.begin(options.start, network, card, parts=_words(options.start_parts))
    with team.one_at_first():
        batches: Batches
        if options.train.frozen:
            batches = _memory(options, suite, network, targets, card["encoder"])
        else:
            batches = ImageBatches(suite.dataset, targets, _augment(options))
        held_out = _held_out(options, formats)
    objective = MixedObjective(network=network, decoder=decoder, tasks=tasks, weights=options.train.weights)
    trainer = Trainer(
        objective=objective,
        batches=batches,
        schedule=options.train.decoder,
        pace=_pace(options),
        folder=folder,
        signature=_signature(options, suite, "decoder") | {name: card.get(name) for name in ("encoder", "start")},
        seed=options.seed,
        fresh=options.fresh,
        evaluate=None if held_out is None else lambda: pipeline_scores(decoder, network, held_out, options=options),
        team=team,
    )
    kept = checkpoint.decoder_tensors if options.train.frozen else Network.state_dict
    return trainer, lambda: dict(kept(network)), card


def _decoder(options: TrainOptions) -> Any:
    """The strategy with its options."""
    for name in options.strategy:
        if name != options.decoder:
            raise UserError(f"--strategy: {registry.unknown('decoder of this training', name, [options.decoder])}")
    cls = registry.load(registry.DECODERS, options.decoder)
    if (own := getattr(cls, "weights", options.decoder)) != options.decoder:
        raise UserError(f"decoder {options.decoder!r} runs on the weights of {own}; train --decoder {own}")
    return build_decoder(cls, options.strategy)


def _learned(suite: Suite, options: TrainOptions) -> list[Task]:
    """The tasks that have weight."""
    found = [task for task in suite.tasks if options.train.weights.get(task.name, 1.0) > 0]
    if not found:
        raise UserError("train.weights: no task has a weight above 0; nothing would be learned")
    return found


def _words(given: str | None) -> list[str]:
    return [word.strip() for word in (given or "").split(",") if word.strip()]


def frozen_encoder(options: TrainOptions, network: Network) -> str:
    """Load and freeze the encoder, and give its hash.

    Args:
        options: of a training with a frozen encoder.
        network: to load it into.

    Raises:
        UserError: if there is none, or it was made for another network or other images.
    """
    root = options.checkpoints or CHECKPOINTS
    path = options.encoder or checkpoint.checkpoint_path(options.preset, ENCODER, root)
    tensors, card = checkpoint.read_checkpoint(path, train=checkpoint.train_command(ENCODER, options.preset))
    starting.check_encoder(path, card, checkpoint.shape_of(options.network))
    if "image" in card:
        checkpoint.check_fit(path, card, {"image": {"side": options.image.side}})
    checkpoint.load_into(network, tensors, path.name)
    for name, parameter in network.named_parameters():
        if checkpoint.is_encoder(name):
            parameter.requires_grad_(False)
    return str(card["hash"])


def _memory(
    options: TrainOptions, suite: Suite, network: Network, targets: TokenTargets, encoder: str
) -> MemoryBatches:
    """The frozen encoder's memory of the training images."""
    network.eval()
    arrays = pack(suite, options.image.side)
    with progress("encoding images") as report:
        memory = cached_memory(
            network,
            arrays,
            cache_folder() / "training",
            key=f"{encoder}-{suite.data['hash']}-{options.image.side}",
            progress=report,
        )
    return MemoryBatches(memory, suite.dataset, targets)


def _augment(options: TrainOptions) -> Augment:
    chosen = options.train
    transform = image_transform(options.image)
    return Augment(
        transform,
        flip=chosen.flip,
        shorts=chosen.short,
        crop=chosen.crop,
        jitter=chosen.jitter,
        color=chosen.colour,
        anywhere=chosen.anywhere,
    )


def _dense(suite: Suite, options: TrainOptions) -> list[Mapping[str, torch.Tensor]]:
    """The images of a suite in batches for stage 0."""
    arrays = pack(suite, options.image.side)
    indices = np.arange(len(arrays))
    return [as_tensors(arrays, part) for part in np.array_split(indices, -(-len(indices) // EVALUATION_BATCH))]


def _held_out(options: TrainOptions, formats: Formats | None = None) -> Suite | None:
    if not options.train.evaluate_images:
        return None
    limits = [limit for limit in (options.limit, options.train.evaluate_images) if limit]
    chosen = options.run_options(options.evaluate_on, limit=min(limits))
    suite = build_suite(chosen)
    return suite if formats is None else with_formats(suite, formats, chosen)


def _pace(options: TrainOptions) -> Pace:
    chosen = options.train
    return Pace(
        log=chosen.log_every,
        evaluate=chosen.evaluate_every,
        save=chosen.save_every,
        accumulate=chosen.accumulate,
        readers=chosen.readers,
    )


def _signature(options: TrainOptions, suite: Suite, stage: str) -> dict[str, Any]:
    """Everything that decides the weights, as plain JSON data."""
    pace = ["log_every", "evaluate_every", "evaluate_images", "save_every", "readers", "encoder", "decoder"]
    pace += ["accumulate"]  # how many parts a step has in all is what counts, and the trainer knows it
    pace += ["places"] if stage == "decoder" else []  # decoders depend on it through the encoder's hash alone
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
        "training": {n: v for n, v in dataclasses.asdict(options.train).items() if n not in pace},
        "sizes": dataclasses.asdict(options.sizes),
        "image": dataclasses.asdict(options.image),
        "network": {n: v if v is None else str(v) for n, v in dataclasses.asdict(options.network).items()},
        **suite.formats,
    }


def _card(options: TrainOptions, suite: Suite, stage: str) -> dict[str, Any]:
    """What a checkpoint says of itself; ``network`` and ``sizes`` are what a run must agree on."""
    fit = checkpoint.fit_card(options.sizes, options.network, suite.vocabulary, _tokenizer(suite))
    own = {"preset": options.preset, "evaluate_images": options.train.evaluate_images}
    return {**own, **_signature(options, suite, stage), **fit}


def _tokenizer(suite: Suite) -> str | None:
    told = suite.data.get("tokenizer")
    return None if told is None else str(told["hash"])


def pack(suite: Suite, side: int) -> Packed:
    """The packed images of a suite, with the pieces of their captions."""
    captioning = next((task for task in suite.tasks if task.kind == "captions"), None)

    def words(targets: Targets) -> np.ndarray[Any, np.dtype[np.bool_]]:
        found = np.zeros(len(suite.vocabulary["word"]), dtype=np.bool_)
        if captioning is not None and captioning.annotated(targets):
            used = torch.unique(captioning.encode(targets).tokens) - suite.vocabulary["word"].start
            found[used.numpy()] = True
        return found

    with progress("packing images") as report:
        folder, pieces = cache_folder() / "training", "wordless" if captioning is None else _tokenizer(suite) or "words"
        return packed(suite.dataset, folder, side=side, words=words, pieces=pieces, progress=report)
