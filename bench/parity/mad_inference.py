"""Parity of inference: every pass of the released decoding, what the tasks read from it, and a whole forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from bench.parity.golden_file import GoldenFile, ParityTable
from bench.parity.mad_model import Subject
from decoders.base import Request
from decoders.masked.mad import MadReleased, MadReleasedOptions, Pass
from decoders.network.memory import Memory
from tasks.detection import BOX, Detection
from tasks.formats.sequence import Decoded, stack_prompts
from tasks.keypoints import PIXEL_MIDDLE
from tasks.segmentation import MaskBits
from tasks.targets import Context, Detections

TAGS: dict[str, tuple[str, tuple[float, ...]]] = {  # tag in the file: task, ratios of the further passes
    "det": ("det", ()),
    "det_2stage": ("det", (0.5,)),
    "seg": ("seg", ()),
    "seg_2stage": ("seg", (0.5,)),
    "keypoint": ("keypoint", ()),
    "keypoint_2stage": ("keypoint", (0.7,)),
    "caption": ("caption", (0.8, 0.6, 0.4)),
    "seg_chain": ("seg", ()),
    "keypoint_chain": ("keypoint", ()),
}
TRACED = {"det", "seg", "keypoint", "keypoint_2stage", "caption"}  # the file has every pass of these


@dataclass(frozen=True)
class Ran:
    """One tag, decoded; all object slots prompt it, as in the release, those with an empty box too.

    Args:
        tag: its name in the file.
        kind: ``det``, ``seg``, ``keypoint`` or ``caption``.
        passes: what the strategy did.
        decoded: what came out.
        contexts: what each image's sequences were prompted with.
    """

    tag: str
    kind: str
    passes: list[Pass]
    decoded: Decoded
    contexts: list[Context]


@torch.no_grad()
def check_inference(subject: Subject, golden: GoldenFile, table: ParityTable) -> None:
    """The file's own boxes, all tags, then the forward pass that they make up."""
    _check_given(subject, golden, table)
    memory = subject.network.project_memory(subject.network.encode(subject.features))
    ran: dict[str, Ran] = {}
    for tag in TAGS:
        try:
            ran[tag] = _run(subject, golden, memory, tag, _detections(subject, golden, ran.get("det"), tag))
            _check_passes(subject, table, memory, ran[tag])
            CHECKS[ran[tag].kind](subject, table, ran[tag])
            _check_gap(subject, table, ran[tag])
        except (LookupError, ValueError, RuntimeError, TypeError, ArithmeticError) as error:
            table.failed(f"predictions {tag}", f"{type(error).__name__}: {' '.join(str(error).split())[:150]}")
    if {"det", "seg_chain", "keypoint_chain", "caption"} <= set(ran):
        _check_forward(subject, table, ran)


def _check_given(subject: Subject, golden: GoldenFile, table: ParityTable) -> None:
    """The file's boxes in pixels are those of its tokens."""
    if "given/unscaled_boxes" in golden:
        sizes = torch.tensor([[width, height, width, height] for height, width in subject.originals])  # (B, 4)
        table.compare("given boxes", "given/boxes", golden.tensor("given/unscaled_boxes") * sizes[:, None])


def _detections(subject: Subject, golden: GoldenFile, det: Ran | None, tag: str) -> list[Detections | None]:
    """What prompts a tag: nothing, the file's boxes, or our own detections."""
    if TAGS[tag][0] not in ("seg", "keypoint"):
        return [None] * len(subject.originals)
    if tag.endswith("_chain"):
        if det is None:
            raise ValueError("detection did not run, so nothing prompts it")
        return list(_every_slot(subject, det))
    boxes, classes = golden.tensor("given/boxes"), golden.tensor("given/classes")
    slots = torch.arange(boxes.shape[1])
    return [Detections(own, torch.ones(len(own)), names, slots) for own, names in zip(boxes, classes, strict=True)]


def _run(subject: Subject, golden: GoldenFile, memory: Memory, tag: str, found: Sequence[Detections | None]) -> Ran:
    kind, ratios = TAGS[tag]
    task = subject.tasks[kind]
    contexts = [
        Context(size, {} if own is None else {Detection.name: own})
        for size, own in zip(subject.originals, found, strict=True)
    ]
    prompts, valid = stack_prompts([task.prompt(context) for context in contexts], fill=0)
    request = Request(task.format, prompts, valid)
    stages = range(1, len(ratios) + 1)
    given = None
    if kind == "caption":  # elsewhere the release masks where it is least sure
        given = torch.stack([golden.tensor(f"infer/{tag}/stage{stage}/rand_score") for stage in stages])
    strategy = MadReleased(MadReleasedOptions(ratios={task.format.task: ratios}))
    passes = strategy.passes(subject.network, memory, request, draws=given)
    decoded = strategy.decode(subject.network, memory, request, (), draws=given)
    return Ran(tag, kind, passes, decoded, contexts)


def _check_passes(subject: Subject, table: ParityTable, memory: Memory, ran: Ran) -> None:
    network, where = subject.network, f"infer/{ran.tag}"
    running: Tensor | None = None  # (B, N, L, V) logits of all passes so far
    for stage, done in enumerate(ran.passes):
        name = f"{where}/stage{stage}"
        table.compare("passes and re-masking", f"{name}/input_seq", done.inputs)
        table.compare("passes and re-masking", f"{name}/seq_mask", done.masked)
        hidden = network.decode(memory, done.inputs, every_layer=True)  # (Y, B, N, P + L, D)
        logits = network.logits(hidden[-1], subject.visible[ran.kind])
        if ran.tag in TRACED:
            table.compare("decoder outputs", f"{name}/decoder_out", hidden)
            table.compare("logits", f"{name}/logits", logits)
        running = _running(subject, ran.kind, running, logits, done)
        last = stage + 1 == len(ran.passes)
        if last or ran.tag in TRACED:
            told = f"{where}/ensembled_logits" if last else f"{where}/stage{stage + 1}/ensembled_logits_before"
            table.compare("ensembled logits", told, running)


def _running(subject: Subject, kind: str, before: Tensor | None, logits: Tensor, done: Pass) -> Tensor:
    """(B, N, L, V) running logits: the strategy's own of the columns that it keeps, and the same of all others."""
    form = subject.tasks[kind].format
    new = logits[:, :, form.prompt_length :]
    whole = new if before is None else torch.where(done.masked[..., None], (before + new) / 2, before)
    columns = torch.arange(done.logits.shape[-1]) if form.matching == "groups" else form.ids
    return whole.index_copy(-1, columns, done.logits)


def _check_gap(subject: Subject, table: ParityTable, ran: Ran) -> None:
    """The smallest distance between the two likeliest legal tokens."""
    legal = subject.tasks[ran.kind].format.legal
    admissible = ran.decoded.probabilities.masked_fill(~legal, -torch.inf)
    best = admissible.topk(2, dim=-1).values
    gap = (best[..., 0] - best[..., 1]).min().double()
    table.compare(f"predictions {ran.tag}", f"infer/{ran.tag}/min_top2_gap", gap)


def _interpret(subject: Subject, ran: Ran) -> list[Any]:
    task, (_, sequences, _) = subject.tasks[ran.kind], ran.decoded.tokens.shape
    return [task.interpret(ran.decoded.image(image, sequences), context) for image, context in enumerate(ran.contexts)]


def _every_slot(subject: Subject, ran: Ran) -> list[Detections]:
    task = subject.tasks["det"]
    if not isinstance(task, Detection):
        raise TypeError(f"boxes come out of {type(task).__name__}")
    return [task.every_slot(ran.decoded.image(image, 1), context) for image, context in enumerate(ran.contexts)]


def _check_detection(subject: Subject, table: ParityTable, ran: Ran) -> None:
    family, where = f"predictions {ran.tag}", f"infer/{ran.tag}"
    every = _every_slot(subject, ran)
    kept = torch.zeros(len(every), subject.sizes.slots, dtype=torch.bool)
    for image, own in enumerate(_interpret(subject, ran)):
        kept[image, own.slots] = True
    table.compare(family, f"{where}/nonempty", kept)
    coordinates = subject.network.vocabulary["coordinate"]
    boxes = ran.decoded.tokens.reshape(len(every), subject.sizes.slots, BOX + 1)[..., :BOX]  # (B, Q, 4)
    table.compare(family, f"{where}/unscaled_boxes", (boxes - coordinates.start) / subject.sizes.bins)
    for name in ("boxes", "scores", "classes"):
        table.compare(family, f"{where}/{name}", torch.stack([getattr(own, name) for own in every]))


def _check_segmentation(subject: Subject, table: ParityTable, ran: Ran) -> None:
    family, where = f"predictions {ran.tag}", f"infer/{ran.tag}"
    bits = MaskBits(subject.network.vocabulary, subject.sizes.mask_size)
    flat = {name: getattr(ran.decoded, name).flatten(0, 1) for name in ("tokens", "probabilities")}
    shares = bits.decode(replace(ran.decoded, **flat), subject.tasks[ran.kind].format)  # (B * N, M, M)
    table.compare(family, f"{where}/mask_prob", shares.view(*ran.decoded.tokens.shape[:2], *shares.shape[1:]))
    for image, (found, context) in enumerate(zip(_interpret(subject, ran), ran.contexts, strict=True)):
        pasted = _bitmaps(found.rles, subject.originals[image])
        boxes = context.earlier[Detection.name].boxes
        pasted[(boxes[:, 2:] <= boxes[:, :2]).any(dim=-1)] = False  # no detection, so that no mask is made of it
        table.compare(family, f"{where}/pasted_img{image}", pasted)


def _check_keypoints(subject: Subject, table: ParityTable, ran: Ran) -> None:
    found = torch.stack([_points(own.keypoints) for own in _interpret(subject, ran)])
    table.compare(f"predictions {ran.tag}", f"infer/{ran.tag}/keypoints", found)


def _check_caption(subject: Subject, table: ParityTable, ran: Ran) -> None:
    family, where = f"predictions {ran.tag}", f"infer/{ran.tag}"
    words = ran.decoded.tokens[:, 0] - subject.network.vocabulary["word"].start
    table.compare(family, f"{where}/token_ids_before_cut", words)
    table.compare(family, f"{where}/token_ids", torch.stack(_cut(subject, _interpret(subject, ran))))


CHECKS = {
    "det": _check_detection,
    "seg": _check_segmentation,
    "keypoint": _check_keypoints,
    "caption": _check_caption,
}


def _check_forward(subject: Subject, table: ParityTable, ran: dict[str, Ran]) -> None:
    """Each image's results of the four tasks, as one chain; empty boxes are gone."""
    family = "whole forward pass"
    results = zip(*(_interpret(subject, ran[tag]) for tag in ("det", "seg_chain", "keypoint_chain")), strict=True)
    captions = _cut(subject, _interpret(subject, ran["caption"]))
    for image, (detections, masks, poses) in enumerate(results):
        where, kept = f"forward/img{image}", detections.slots
        for name in ("boxes", "scores", "classes"):
            table.compare(family, f"{where}/{name}", getattr(detections, name))
        table.compare(family, f"{where}/masks", _bitmaps(masks.rles, subject.originals[image])[kept])
        table.compare(family, f"{where}/keypoints", _points(poses.keypoints)[kept])
        table.compare(family, f"{where}/caption_ids", captions[image])


def _bitmaps(rles: Sequence[Any], size: tuple[int, int]) -> Tensor:
    """(N, height, width) bool."""
    none = torch.zeros(0, *size, dtype=torch.bool)
    return torch.cat([none, *(torch.from_numpy(coco_mask.decode(rle)).bool()[None] for rle in rles)])


def _points(keypoints: Tensor) -> Tensor:
    """(N, K, 3) as the release has them: pixels, not pixel indices."""
    return keypoints + keypoints.new_tensor([PIXEL_MIDDLE, PIXEL_MIDDLE, 0.0])


def _cut(subject: Subject, captions: Sequence[str]) -> list[Tensor]:
    """(T,) pieces of each caption, 0 behind its end."""
    rows = [torch.zeros(subject.sizes.caption_length, dtype=torch.int64) for _ in captions]
    for row, caption in zip(rows, captions, strict=True):
        pieces = torch.tensor([int(piece) for piece in caption.split()], dtype=torch.int64)
        row[: len(pieces)] = pieces
    return rows
