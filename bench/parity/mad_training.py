"""Parity of MAD's training: the released draws as our views, then matching, targets, losses and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.parity.golden_file import GoldenFile
from bench.parity.mad_model import MadSubject, NumberTokenizer, compare_pairs
from bench.parity.parity_table import ParityTable
from decoders.base import View
from decoders.matching import fix_known, group_costs, nearest_alternative
from decoders.network.mad.released import TABLE, to_released
from decoders.objective import Head, mean, resolve, task_head, task_loss
from tasks.base import Task
from tasks.formats.sequence import Encoded, SequenceFormat, TrainingBatch, TrainingExample, collate
from tasks.keypoints import PIXEL_MIDDLE
from tasks.targets import ObjectAnnotations, Targets


@dataclass(frozen=True)
class TagExample:
    """One task of the file's training step."""

    tag: str  # its name in the file
    task: Task  # ours
    views: list[View]  # ours; side by side they have the file's inputs
    objects: list[Tensor]  # of each image, the annotated objects' tokens in the file's order; for matched groups only


def check_training(subject: MadSubject, table: ParityTable) -> None:
    """Compare targets, matching and loss of every task, then the total loss and its gradients."""
    network, golden = subject.network, table.golden
    targets = [_targets(golden, image, size) for image, size in enumerate(subject.inputs)]
    _check_crops(subject, table, targets)
    memory = network.project_memory(network.encode(subject.features))
    network.zero_grad()
    total = torch.zeros(())
    for tag in golden.meta["tasks"]:
        where = f"train/{tag}"
        if f"{where}/input_seq" not in golden:
            table.absent(f"targets {tag}")
            continue
        example = _example(subject, golden, tag, targets)
        with torch.no_grad():
            inputs = torch.cat([view.inputs for view in example.views], dim=1)
            hidden = network.decode(memory, inputs, every_layer=True)  # (Y, B, S, P + L, D)
            logits = network.logits(hidden, subject.visible[tag])
        table.compare("training logits", f"{where}/logits", logits)
        _check_targets(subject, table, example, hidden)
        loss = mean(*task_loss(network, memory, example.task.format, example.views))
        weighted = loss * golden.meta["task_loss_weight"][tag]
        table.row("losses", where)(loss_unweighted=loss, loss_weighted=weighted)
        total = total + weighted
    table.compare("losses", "train/total_loss", total)
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]
        _check_gradients(subject, table)


def _targets(golden: GoldenFile, image: int, size: tuple[int, int]) -> Targets:
    """Return one image's annotation in our terms."""
    annotation = golden.beginning(f"gt/img{image}/")
    annotation.pop("mask_crop", None)
    boxes, points = annotation["boxes"], annotation["polygon_points"].tolist()
    polygons: list[list[list[float]]] = [[] for _ in boxes]
    lengths, owners = annotation["polygon_len"].tolist(), annotation["polygon_instance"].tolist()
    for length, owner in zip(lengths, owners, strict=True):
        polygons[owner].append(points[:length])
        points = points[length:]
    shift = torch.tensor([PIXEL_MIDDLE, PIXEL_MIDDLE, 0.0])  # the release has pixels, we have pixel indices
    instances = ObjectAnnotations(
        boxes=boxes,
        classes=annotation["classes"],
        segmentations=polygons,
        keypoints=annotation["keypoints"] - shift,
        ids=range(len(boxes)),
    )
    captions = [NumberTokenizer(0).decode(row) for row in annotation["caption_tokens"].tolist()]
    return Targets(size=size, instances=instances, has_keypoints=True, captions=captions)


def _check_crops(subject: MadSubject, table: ParityTable, targets: Sequence[Targets]) -> None:
    foreground, side = subject.network.vocabulary.id("foreground"), subject.sizes.mask_size
    for image, target in enumerate(targets):
        crops = (subject.tasks["seg"].encode(target).tokens == foreground).reshape(-1, side, side)
        table.compare("mask crops", f"gt/img{image}/mask_crop", crops)


def _example(subject: MadSubject, golden: GoldenFile, tag: str, targets: Sequence[Targets]) -> TagExample:
    """Return the file's inputs as views, with tokens and weights from our own target builders."""
    task = subject.tasks[tag]
    form = task.format
    inputs = golden.tensor(f"train/{tag}/input_seq")  # (B, S, P + L)
    initial = golden.tensor(f"train/{tag}/target_seq_initial")  # (B, S, L)
    masked = inputs[..., form.prompt_length :] == subject.network.vocabulary.id("mask")
    encoded = [task.encode(target) for target in targets]
    if form.matching == "alternatives":
        batch = collate([TrainingExample.of(image) for image in encoded], form, sequences=inputs.shape[1] - 1)
        # In the fully masked copy every position counts: the augmentation overwrites one of its mask tokens.
        full = View(inputs[:, :1], "full", batch.tokens, batch.weights, torch.ones_like(masked[:, :1]), "alternatives")
        partly = View(inputs[:, 1:], "full", batch.tokens, batch.weights, masked[:, 1:], "fixed")
        return TagExample(tag, task, [full, partly], [])
    objects: list[Tensor] = []
    if form.matching == "groups":
        counts = [0 if target.instances is None else len(target.instances) for target in targets]
        rows = zip(encoded, counts, strict=True)
        objects = [image.tokens.reshape(-1, len(form.slots))[:count] for image, count in rows]
        batch = _in_slots(form, inputs, initial, objects)
    else:
        images = zip(inputs, initial, encoded, strict=True)
        batch = collate([_by_prompt(form, *image) for image in images], form, sequences=inputs.shape[1])
    view = View(inputs, "full", batch.tokens, batch.weights, masked, form.matching, batch.real)
    return TagExample(tag, task, [view], objects)


def _in_slots(form: SequenceFormat, inputs: Tensor, initial: Tensor, objects: Sequence[Tensor]) -> TrainingBatch:
    """Return the file's slot layout (B, S, L), with the slots that hold objects marked."""
    slots = initial.reshape(*initial.shape[:2], form.groups, 1, len(form.slots))  # (B, S, G, 1, slots)
    real = torch.stack([(row == image).all(-1).any(-1) for row, image in zip(slots, objects, strict=True)])  # (B, S, G)
    weights = torch.where(real[..., None], torch.ones(len(form.slots)), torch.tensor(form.unmatched_weights))
    return TrainingBatch(inputs[..., : form.prompt_length], initial, weights.flatten(2), real)


def _by_prompt(form: SequenceFormat, inputs: Tensor, initial: Tensor, encoded: Encoded) -> TrainingExample:
    """Return the sequences of ``encoded`` that the prompts (S, P) ask for, without weight where a prompt is padding.

    Where the annotation says nothing, tokens are the file's own draws.
    """
    tokens, weights = initial.clone(), torch.zeros(initial.shape)
    for row, prompt in enumerate(inputs[:, : form.prompt_length]):
        same = (encoded.prompts == prompt).all(dim=1).nonzero()[:, 0]
        if len(same):
            best = same[(encoded.tokens[same] == initial[row]).sum(dim=1).argmax()]
            weights[row] = encoded.weights[best]
            tokens[row] = torch.where(weights[row] > 0, encoded.tokens[best], initial[row])
    return TrainingExample(inputs[:, : form.prompt_length], tokens, weights)


def _check_targets(subject: MadSubject, table: ParityTable, example: TagExample, hidden: Tensor) -> None:
    """Compare resolved targets and weights, and the matching behind them."""
    form = example.task.format
    outputs = hidden[:, :, :, form.prompt_length :]  # (Y, B, S, L, D)
    head = task_head(subject.network, form)
    parts = torch.split(outputs, [view.inputs.shape[1] for view in example.views], dim=2)
    resolved = [resolve(form, view, part, head) for view, part in zip(example.views, parts, strict=True)]
    columns, weights = (torch.cat(copies, dim=2) for copies in zip(*resolved, strict=True))
    groups = form.matching == "groups"
    loss_mask = example.views[0].counted.float() if groups else weights[0]
    table.row(f"targets {example.tag}", f"train/{example.tag}")(
        target_seq=form.ids[columns], target_weight=weights, loss_mask=loss_mask
    )
    if groups:
        _check_matching(table, example, outputs, head)
    if form.matching == "alternatives":
        _check_reference(table, example, outputs, head)


def _check_matching(table: ParityTable, example: TagExample, outputs: Tensor, head: Head) -> None:
    """Compare costs and pairs of every layer, sequence and image."""
    form, view = example.task.format, example.views[0]
    known = form.columns_of(torch.where(view.counted, view.tokens, view.inputs[..., form.prompt_length :]))
    with torch.no_grad():
        likely = fix_known(head(outputs).log_softmax(dim=-1), known, view.counted)  # (Y, B, S, L, V)
    likely = likely.reshape(*likely.shape[:3], form.groups, len(form.slots), -1)
    for layer in range(len(likely)):
        for image, objects in enumerate(example.objects):
            columns = form.columns_of(objects).expand(likely.shape[2], -1, -1)  # (S, n, slots)
            costs = group_costs(likely[layer, image], columns)  # (S, G, n)
            for sequence, cost in enumerate(costs):
                where = f"match/{example.tag}/layer{layer}_seq{sequence}_img{image}"
                compare_pairs(table, "matching", f"{where}/{{}}", cost)


def _check_reference(table: ParityTable, example: TagExample, outputs: Tensor, head: Head) -> None:
    """Compare the reference chosen for the fully masked caption, per layer and image."""
    form, view = example.task.format, example.views[0]
    columns = form.columns_of(view.tokens)  # (B, A, L)
    with torch.no_grad():
        likely = head(outputs[:, :, 0]).log_softmax(dim=-1)  # (Y, B, L, V)
    chosen = [nearest_alternative(layer, columns, view.weights) for layer in likely]
    table.compare("matching", "match/caption/reference_index", torch.stack(chosen))


def _check_gradients(subject: MadSubject, table: ParityTable) -> None:
    """Compare gradients of the total loss; rows of the embedding that the release does not have must have none."""
    words = subject.network.vocabulary["word"].stop
    for name, parameter in subject.network.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if name == TABLE:
            table.check("gradients", not bool(gradient[words:].any()), "tokens of no task have a gradient")
            gradient = gradient[:words]
        table.compare("gradients", f"grad/{to_released(name)}", gradient)
