"""Parity of AiT's training: targets from boxes, masks and maps, teacher-forced logits, and every loss."""

from __future__ import annotations

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.parity.ait_model import AitSubject
from bench.parity.golden_file import GoldenFile, ParityTable
from decoders.base import View
from decoders.causal.ait import Ait
from decoders.network.memory import Memory
from decoders.objective import task_loss
from tasks.detection import BOX
from tasks.formats.object_sequence import ABSENT, MASK_WEIGHT
from tasks.formats.sequence import SequenceFormat, TrainingExample, collate
from tasks.pasting import align, raster
from tasks.targets import ObjectAnnotations, Targets

IGNORED = -100


@torch.no_grad()
def check_depth(subject: AitSubject, golden: GoldenFile, table: ParityTable) -> None:
    """Codes of the true maps, and the losses that they give."""
    task, family = subject.depth, "depth training"
    maps = golden.tensor("depth/train/gt")[:, 0]  # (B, S, S)
    drawn = torch.Generator()
    examples = [task.sample(Targets(size=tuple(own.shape), depth=own), drawn, limit=1) for own in maps]
    batch = collate(examples, task.format)
    table.compare(family, "depth/train/target_seq", batch.tokens[:, 0])
    (view,) = Ait().training_views(subject.network, task.format, batch, drawn)
    table.compare(family, "depth/train/input_seq", view.inputs[:, 0, 1:])
    logits = _logits(subject, view, subject.memory())
    table.compare(family, "depth/train/logits", logits)
    _check_loss(subject, table, task.format, view, memory=subject.memory(), where="depth/train")
    entropy = cross_entropy(logits.flatten(0, 1), batch.tokens.flatten())
    table.compare(family, "depth/train/ce", entropy)
    _check_dense(table, task.format, view, logits=logits, where="depth/train")


@torch.no_grad()
def check_objects(subject: AitSubject, golden: GoldenFile, table: ParityTable) -> None:
    """Crops and tokens of the objects; then the file's own inputs, what they are trained to give, and the losses."""
    form, family, where = subject.instances.format, "insseg training", "insseg/train"
    targets = _targets(golden)
    crops = _crops(subject, targets)  # (r, M, M)
    table.compare(family, f"{where}/masks_crop", crops.float())
    encoded = subject.instances.encode(targets)
    table.compare(family, f"{where}/tokens_real", encoded.tokens[:, : len(crops) * len(form.slots)])
    table.compare(family, f"{where}/zero_mask_tokens", subject.masks.encode(torch.zeros_like(crops[:1])))
    wanted = torch.where(encoded.weights > 0, encoded.tokens, IGNORED)
    table.compare(family, f"{where}/target_seq", wanted)
    inputs = golden.tensor(f"{where}/input_seq")  # (1, L - 1); nothing sees the last token
    originals = torch.full((1, form.groups, *crops.shape[1:]), ABSENT)
    originals[0, : len(crops)] = crops.float()
    shown = torch.cat([inputs, encoded.tokens[:, -1:]], dim=1)
    example = TrainingExample(encoded.prompts, encoded.tokens, encoded.weights, originals=originals, inputs=shown)
    (view,) = Ait().training_views(subject.network, form, collate([example], form), torch.Generator())
    memory = subject.memory().select(slice(0, 1))
    logits = _logits(subject, view, memory)
    table.compare(family, f"{where}/logits", logits)
    _check_loss(subject, table, form, view, memory=memory, where=where)
    _check_dense(table, form, view, logits=logits, where=where)
    _check_parts(table, form, view, logits=logits, where=where)


def _targets(golden: GoldenFile) -> Targets:
    """The file's objects, on their canvas."""
    masks = golden.tensor("insseg/train/masks_full").numpy()  # (r, N, N)
    codes = [coco_mask.encode(np.asfortranarray(mask)) for mask in masks]
    boxes = golden.tensor("insseg/train/boxes")
    objects = ObjectAnnotations(
        boxes=boxes,
        classes=golden.tensor("insseg/train/labels"),
        segmentations=codes,
        keypoints=torch.zeros(len(boxes), 0, 3),
        ids=range(len(boxes)),
    )
    return Targets(size=(masks.shape[1], masks.shape[2]), instances=objects)


def _crops(subject: AitSubject, targets: Targets) -> Tensor:
    """(r, M, M) bool: the objects' masks inside their boxes."""
    if targets.instances is None:
        raise ValueError("the file has no objects")
    pairs = zip(targets.instances.segmentations, targets.instances.boxes, strict=True)
    cut = [align(raster(code, targets.size, targets.size), box, subject.masks.side) for code, box in pairs]
    return torch.stack(cut)


def _logits(subject: AitSubject, view: View, memory: Memory) -> Tensor:
    """(B, L, V) over all released ids."""
    hidden = subject.network.decode(memory, view.inputs, attention=view.attention)
    return subject.network.logits(hidden, subject.released)[:, 0]


def _check_loss(
    subject: AitSubject, table: ParityTable, form: SequenceFormat, view: View, *, memory: Memory, where: str
) -> None:
    """The sum of all losses, before it is divided by the number of targets."""
    total, count = task_loss(subject.network, memory, form, [view])
    table.compare("losses", f"{where}/loss", total)
    wanted = int((view.weights > 0).sum())
    table.note("losses", int(count) == wanted, f"{where}: {int(count)} targets, expected {wanted}")


def _check_dense(table: ParityTable, form: SequenceFormat, view: View, *, logits: Tensor, where: str) -> None:
    """The loss of what the detokenizer makes of the soft predictions."""
    if form.dense_loss is None or view.originals is None:
        raise ValueError(f"{where}: the format judges no soft predictions")
    own = logits[..., form.ids]  # all released ids, in both tasks
    table.compare("losses", f"{where}/decoder_aux_ce", form.dense_loss(own, view.originals[:, 0]))


def _check_parts(table: ParityTable, form: SequenceFormat, view: View, *, logits: Tensor, where: str) -> None:
    """Mean cross-entropy of boxes, of labels, and of mask codes with their weight."""
    place = torch.arange(form.length) % len(form.slots)
    kinds = {"bbox_ce": (place < BOX, 1.0), "cls_ce": (place == BOX, 1.0), "mask_ce": (place > BOX, MASK_WEIGHT)}
    for name, (slots, weight) in kinds.items():
        own = slots & (view.weights[0, 0] > 0)
        entropy = cross_entropy(logits[0, own], view.tokens[0, 0, own])
        table.compare("losses", f"{where}/{name}", weight * entropy)
