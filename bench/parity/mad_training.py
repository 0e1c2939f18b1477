"""Parity of training: the released draws as views of ours, then matching, targets, losses and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.parity.golden_file import GoldenFile, ParityTable
from bench.parity.mad_model import Subject
from decoders.base import View
from decoders.matching import assign, fix_known, group_costs, nearest_alternative
from decoders.network.mad.released import TABLE, to_released
from decoders.objective import Head, mean, resolve, task_head, task_loss
from tasks.base import Task
from tasks.formats.sequence import Encoded, SequenceFormat, TrainingBatch, TrainingExample, collate
from tasks.keypoints import PIXEL_MIDDLE
from tasks.targets import ObjectAnnotations, Targets


@dataclass(frozen=True)
class Example:
    """One task of the file's training step.

    Args:
        tag: its name in the file.
        task: ours.
        views: ours, which side by side have the file's inputs.
        objects: of each image, the annotated objects' tokens in the file's order; for matched groups only.
    """

    tag: str
    task: Task
    views: list[View]
    objects: list[Tensor]


def check_training(subject: Subject, golden: GoldenFile, table: ParityTable) -> None:
    """Targets, matching and loss of every task, then the total loss and its gradients."""
    network = subject.network
    targets = [_targets(golden, image, size) for image, size in enumerate(subject.inputs)]
    _check_crops(subject, golden, table, targets)
    memory = network.project_memory(network.encode(subject.features))
    network.zero_grad()
    total = torch.zeros(())
    for tag in golden.meta["tasks"]:
        if f"train/{tag}/input_seq" not in golden:
            table.compare(f"targets {tag}", f"train/{tag}/input_seq", torch.zeros(0))
            continue
        example = _example(subject, golden, tag, targets)
        with torch.no_grad():
            inputs = torch.cat([view.inputs for view in example.views], dim=1)
            hidden = network.decode(memory, inputs, every_layer=True)  # (Y, B, S, P + L, D)
            logits = network.logits(hidden, subject.visible[tag])
        table.compare("training logits", f"train/{tag}/logits", logits)
        _check_targets(subject, table, example, hidden)
        loss = mean(*task_loss(network, memory, example.task.format, example.views))
        weighted = loss * golden.meta["task_loss_weight"][tag]
        table.compare("losses", f"train/{tag}/loss_unweighted", loss)
        table.compare("losses", f"train/{tag}/loss_weighted", weighted)
        total = total + weighted
    table.compare("losses", "train/total_loss", total)
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]
        _check_gradients(subject, table)


def _targets(golden: GoldenFile, image: int, size: tuple[int, int]) -> Targets:
    """One image's annotation in our terms."""
    where = f"gt/img{image}"
    boxes = golden.tensor(f"{where}/boxes")
    points = golden.tensor(f"{where}/polygon_points").tolist()
    polygons: list[list[list[float]]] = [[] for _ in boxes]
    lengths = golden.tensor(f"{where}/polygon_len").tolist()
    for length, owner in zip(lengths, golden.tensor(f"{where}/polygon_instance").tolist(), strict=True):
        polygons[owner].append(points[:length])
        points = points[length:]
    shift = torch.tensor([PIXEL_MIDDLE, PIXEL_MIDDLE, 0.0])  # the release has pixels, we have pixel indices
    captions = [_sentence(row) for row in golden.tensor(f"{where}/caption_tokens").tolist()]
    instances = ObjectAnnotations(
        boxes=boxes,
        classes=golden.tensor(f"{where}/classes"),
        segmentations=polygons,
        keypoints=golden.tensor(f"{where}/keypoints") - shift,
        ids=range(len(boxes)),
    )
    return Targets(size=size, instances=instances, has_keypoints=True, captions=captions)


def _sentence(pieces: Sequence[int]) -> str:
    end = pieces.index(0) if 0 in pieces else len(pieces)
    return " ".join(map(str, pieces[:end]))


def _check_crops(subject: Subject, golden: GoldenFile, table: ParityTable, targets: Sequence[Targets]) -> None:
    foreground = subject.network.vocabulary.id("foreground")
    side = subject.sizes.mask_size
    for image, own in enumerate(targets):
        tokens = subject.tasks["seg"].encode(own).tokens
        table.compare("mask crops", f"gt/img{image}/mask_crop", (tokens == foreground).reshape(-1, side, side))


def _example(subject: Subject, golden: GoldenFile, tag: str, targets: Sequence[Targets]) -> Example:
    """The file's inputs as views, with tokens and weights from our own target builders."""
    task = subject.tasks[tag]
    form = task.format
    inputs = golden.tensor(f"train/{tag}/input_seq")  # (B, S, P + L)
    initial = golden.tensor(f"train/{tag}/target_seq_initial")  # (B, S, L)
    masked = inputs[..., form.prompt_length :] == subject.network.vocabulary.id("mask")
    encoded = [task.encode(own) for own in targets]
    if form.matching == "alternatives":
        batch = collate([TrainingExample.of(own) for own in encoded], form, sequences=inputs.shape[1] - 1)
        # In the fully masked copy every position counts: the augmentation overwrites one of its mask tokens.
        full = View(inputs[:, :1], "full", batch.tokens, batch.weights, torch.ones_like(masked[:, :1]), "alternatives")
        partly = View(inputs[:, 1:], "full", batch.tokens, batch.weights, masked[:, 1:], "fixed")
        return Example(tag, task, [full, partly], [])
    objects: list[Tensor] = []
    if form.matching == "groups":
        counts = [0 if own.instances is None else len(own.instances) for own in targets]
        objects = [own.tokens.reshape(-1, len(form.slots))[:count] for own, count in zip(encoded, counts, strict=True)]
        batch = _in_slots(form, inputs, initial, objects)
    else:
        rows = zip(inputs, initial, encoded, strict=True)
        batch = collate([_by_prompt(form, *row) for row in rows], form, sequences=inputs.shape[1])
    view = View(inputs, "full", batch.tokens, batch.weights, masked, form.matching, batch.real)
    return Example(tag, task, [view], objects)


def _in_slots(form: SequenceFormat, inputs: Tensor, initial: Tensor, objects: Sequence[Tensor]) -> TrainingBatch:
    """The file's slot layout (B, S, L), with the objects found in it."""
    slots = initial.reshape(*initial.shape[:2], form.groups, 1, len(form.slots))  # (B, S, G, 1, slots)
    real = torch.stack([(row == own).all(-1).any(-1) for row, own in zip(slots, objects, strict=True)])  # (B, S, G)
    weights = torch.where(real[..., None], torch.ones(len(form.slots)), torch.tensor(form.unmatched_weights))
    return TrainingBatch(inputs[..., : form.prompt_length], initial, weights.flatten(2), real)


def _by_prompt(form: SequenceFormat, inputs: Tensor, initial: Tensor, encoded: Encoded) -> TrainingExample:
    """The sequences of ``encoded`` that the prompts (S, P) ask for; no weight where a prompt is padding.

    Where the annotation says nothing, tokens are the file's own draws.
    """
    tokens, weights = initial.clone(), torch.zeros(initial.shape)
    for row, prompt in enumerate(inputs[:, : form.prompt_length]):
        same = (encoded.prompts == prompt).all(dim=1).nonzero()[:, 0]
        if not len(same):
            continue
        best = same[(encoded.tokens[same] == initial[row]).sum(dim=1).argmax()]
        weights[row] = encoded.weights[best]
        tokens[row] = torch.where(weights[row] > 0, encoded.tokens[best], initial[row])
    return TrainingExample(inputs[:, : form.prompt_length], tokens, weights)


def _check_targets(subject: Subject, table: ParityTable, example: Example, hidden: Tensor) -> None:
    """Resolved targets and weights, and what they were chosen by."""
    form, family, where = example.task.format, f"targets {example.tag}", f"train/{example.tag}"
    outputs = hidden[:, :, :, form.prompt_length :]  # (Y, B, S, L, D)
    head = task_head(subject.network, form)
    first = 0
    found = []
    for view in example.views:
        stop = first + view.inputs.shape[1]
        found.append(resolve(form, view, outputs[:, :, first:stop], head))
        first = stop
    tokens, weights = torch.cat([form.ids[own] for own, _ in found], dim=2), torch.cat([own for _, own in found], dim=2)
    table.compare(family, f"{where}/target_seq", tokens)
    table.compare(family, f"{where}/target_weight", weights)
    if form.matching == "groups":
        table.compare(family, f"{where}/loss_mask", example.views[0].counted.float())
        _check_matching(table, example, outputs, head)
    else:
        table.compare(family, f"{where}/loss_mask", weights[0])
    if form.matching == "alternatives":
        _check_reference(table, example, outputs, head)


def _check_matching(table: ParityTable, example: Example, outputs: Tensor, head: Head) -> None:
    """Costs and pairs of every layer, sequence and image."""
    form, view = example.task.format, example.views[0]
    given = form.columns_of(torch.where(view.counted, view.tokens, view.inputs[..., form.prompt_length :]))
    with torch.no_grad():
        certain = fix_known(head(outputs).log_softmax(dim=-1), given, view.counted)  # (Y, B, S, L, V)
    certain = certain.reshape(*certain.shape[:3], form.groups, len(form.slots), -1)
    for layer in range(len(certain)):
        for image, objects in enumerate(example.objects):
            wanted = form.columns_of(objects).expand(certain.shape[2], -1, -1)  # (S, n, slots)
            costs = group_costs(certain[layer, image], wanted)  # (S, G, n)
            pairs = assign(costs, torch.full((len(costs),), len(objects)))  # (S, G)
            for sequence, (cost, pair) in enumerate(zip(costs, pairs, strict=True)):
                where = f"match/{example.tag}/layer{layer}_seq{sequence}_img{image}"
                slots = (pair >= 0).nonzero()[:, 0]
                table.compare("matching", f"{where}/cost", cost)
                table.compare("matching", f"{where}/row", slots)
                table.compare("matching", f"{where}/col", pair[slots])


def _check_reference(table: ParityTable, example: Example, outputs: Tensor, head: Head) -> None:
    """The reference that the fully masked caption is held to, per layer and image."""
    form, view = example.task.format, example.views[0]
    columns = form.columns_of(view.tokens)  # (B, A, L)
    with torch.no_grad():
        certain = head(outputs[:, :, 0]).log_softmax(dim=-1)  # (Y, B, L, V)
    chosen = [nearest_alternative(layer, columns, view.weights) for layer in certain]
    table.compare("matching", "match/caption/reference_index", torch.stack(chosen))


def _check_gradients(subject: Subject, table: ParityTable) -> None:
    """Gradients of the total loss; rows of the embedding that the release does not have must have none."""
    words = subject.network.vocabulary["word"].stop
    for name, parameter in subject.network.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if name == TABLE:
            table.note("gradients", not bool(gradient[words:].any()), "tokens of no task have a gradient")
            gradient = gradient[:words]
        table.compare("gradients", f"grad/{to_released(name)}", gradient)
