"""Parity of AiT's training: targets from boxes, masks and maps, teacher-forced logits, and every loss."""

from __future__ import annotations

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.parity.ait_model import AitSubject
from bench.parity.golden_file import GoldenFile
from bench.parity.parity_table import ParityTable
from decoders.base import View
from decoders.causal.ait import Ait
from decoders.network.memory import Memory
from decoders.objective import task_loss
from tasks.formats.object_sequence import ABSENT, MASK_WEIGHT
from tasks.formats.sequence import SequenceFormat, TrainingExample, collate
from tasks.formats.shipped import BOX
from tasks.pasting import align, raster
from tasks.targets import ObjectAnnotations, Targets

IGNORED = -100


@torch.no_grad()
def check_depth(subject: AitSubject, table: ParityTable) -> None:
    """Compare codes of the true maps, and the losses that they give."""
    task, where = subject.depth, "depth/train"
    maps = table.golden.tensor(f"{where}/gt")[:, 0]  # (B, S, S)
    generator = torch.Generator()
    examples = [task.sample(Targets(size=tuple(depth.shape), depth=depth), generator, limit=1) for depth in maps]
    batch = collate(examples, task.format)
    (view,) = Ait().training_views(subject.network, task.format, batch, generator)
    row = table.row("depth training", where)
    row(target_seq=batch.tokens[:, 0], input_seq=view.inputs[:, 0, 1:])
    logits = _check_losses(subject, table, task.format, view, memory=subject.memory(), where=where)
    row(logits=logits, ce=cross_entropy(logits.flatten(0, 1), batch.tokens.flatten()))


@torch.no_grad()
def check_objects(subject: AitSubject, table: ParityTable) -> None:
    """Compare crops and tokens of the objects; then targets and losses of the file's own inputs."""
    form, where = subject.instances.format, "insseg/train"
    row = table.row("insseg training", where)
    targets = _targets(table.golden)
    crops = _crops(subject, targets)  # (r, M, M)
    encoded = subject.instances.encode(targets)
    row(
        masks_crop=crops.float(),
        tokens_real=encoded.tokens[:, : len(crops) * len(form.slots)],
        zero_mask_tokens=subject.masks.encode(torch.zeros_like(crops[:1])),
        target_seq=torch.where(encoded.weights > 0, encoded.tokens, IGNORED),
    )
    inputs = table.golden.tensor(f"{where}/input_seq")  # (1, L - 1); nothing sees the last token
    originals = torch.full((1, form.groups, *crops.shape[1:]), ABSENT)
    originals[0, : len(crops)] = crops.float()
    shown = torch.cat([inputs, encoded.tokens[:, -1:]], dim=1)
    example = TrainingExample(encoded.prompts, encoded.tokens, encoded.weights, originals=originals, inputs=shown)
    (view,) = Ait().training_views(subject.network, form, collate([example], form), torch.Generator())
    logits = _check_losses(subject, table, form, view, memory=subject.memory().select(slice(0, 1)), where=where)
    row(logits=logits)
    place = torch.arange(form.length) % len(form.slots)
    kinds = {"bbox_ce": (place < BOX, 1.0), "cls_ce": (place == BOX, 1.0), "mask_ce": (place > BOX, MASK_WEIGHT)}
    for name, (slots, weight) in kinds.items():
        counted = slots & (view.weights[0, 0] > 0)
        entropy = cross_entropy(logits[0, counted], view.tokens[0, 0, counted])
        table.compare("losses", f"{where}/{name}", weight * entropy)


def _targets(golden: GoldenFile) -> Targets:
    """Return the file's objects, on their canvas."""
    masks = golden.tensor("insseg/train/masks_full").numpy()  # (r, N, N)
    boxes = golden.tensor("insseg/train/boxes")
    objects = ObjectAnnotations(
        boxes=boxes,
        classes=golden.tensor("insseg/train/labels"),
        segmentations=[coco_mask.encode(np.asfortranarray(mask)) for mask in masks],
        keypoints=torch.zeros(len(boxes), 0, 3),
        ids=range(len(boxes)),
    )
    return Targets(size=(masks.shape[1], masks.shape[2]), instances=objects)


def _crops(subject: AitSubject, targets: Targets) -> Tensor:
    """Return (r, M, M) bool: the objects' masks inside their boxes."""
    if targets.instances is None:
        raise ValueError("the file has no objects")
    pairs = zip(targets.instances.segmentations, targets.instances.boxes, strict=True)
    crops = [align(raster(code, targets.size, targets.size), box, subject.masks.side) for code, box in pairs]
    return torch.stack(crops)


def _check_losses(
    subject: AitSubject, table: ParityTable, form: SequenceFormat, view: View, *, memory: Memory, where: str
) -> Tensor:
    """Compare the sum of all losses and the detokenizer's loss; return the logits (B, L, V) over all released ids."""
    if form.dense_loss is None or view.originals is None:
        raise ValueError(f"{where}: the format judges no soft predictions")
    hidden = subject.network.decode(memory, view.inputs, attention=view.attention)
    logits = subject.network.logits(hidden, subject.released)[:, 0]
    total, count = task_loss(subject.network, memory, form, [view])  # before division by the number of targets
    auxiliary = form.dense_loss(logits[..., form.ids], view.originals[:, 0])
    table.row("losses", where)(loss=total, decoder_aux_ce=auxiliary)
    expected = int((view.weights > 0).sum())
    table.check("losses", int(count) == expected, f"{where}: {int(count)} targets, expected {expected}")
    return logits
