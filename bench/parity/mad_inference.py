"""Parity of MAD's inference: every pass of the released decoding, the predictions, and a whole forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from bench.parity.mad_model import MadSubject, padded_pieces
from bench.parity.parity_table import ParityTable
from decoders.base import Request
from decoders.masked.mad import MadReleased, Pass
from decoders.masked.options import MadReleasedOptions
from decoders.network.memory import Memory
from tasks.detection import Detection
from tasks.formats.sequence import Decoded, stack_prompts
from tasks.formats.shipped import BOX
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
class TagResult:
    """One tag, decoded; all object slots prompt it, as in the release, even those with an empty box."""

    subject: MadSubject  # the model
    tag: str  # its name in the file
    kind: str  # ``det``, ``seg``, ``keypoint`` or ``caption``
    passes: list[Pass]  # of the strategy
    decoded: Decoded  # its result
    contexts: list[Context]  # of each image's prompts

    def interpret(self) -> list[Any]:
        """Return the task's prediction for each image."""
        return self._images(self.subject.tasks[self.kind].interpret)

    def every_slot(self) -> list[Detections]:
        """Return the boxes of all object slots, those of no object too."""
        task = self.subject.tasks["det"]
        if not isinstance(task, Detection):
            raise TypeError(f"boxes come out of {type(task).__name__}")
        return self._images(task.every_slot)

    def _images(self, read: Any) -> list[Any]:
        sequences = self.decoded.tokens.shape[1]
        images = enumerate(self.contexts)
        return [read(self.decoded.image(image, sequences), context) for image, context in images]


@torch.no_grad()
def check_inference(subject: MadSubject, table: ParityTable) -> None:
    """Compare the file's own boxes, all tags, then the forward pass that they make up."""
    if "given/unscaled_boxes" in table.golden:
        sizes = torch.tensor([[width, height, width, height] for height, width in subject.originals])  # (B, 4)
        boxes = table.golden.tensor("given/unscaled_boxes") * sizes[:, None]
        table.compare("given boxes", "given/boxes", boxes)
    memory = subject.network.project_memory(subject.network.encode(subject.features))
    results: dict[str, TagResult] = {}
    for tag in TAGS:
        table.attempt(f"predictions {tag}", partial(_check_tag, subject, table, memory, tag, results))
    if {"det", "seg_chain", "keypoint_chain", "caption"} <= set(results):
        _check_forward(subject, table, results)


def _check_tag(
    subject: MadSubject, table: ParityTable, memory: Memory, tag: str, results: dict[str, TagResult]
) -> None:
    result = results[tag] = _decode(subject, table, memory, tag, _detections(subject, table, results.get("det"), tag))
    _check_passes(table, memory, result)
    for name, actual in (PREDICTIONS[result.kind](result) | {"min_top2_gap": _smallest_gap(result)}).items():
        table.compare(f"predictions {tag}", f"infer/{tag}/{name}", actual)


def _detections(
    subject: MadSubject, table: ParityTable, det: TagResult | None, tag: str
) -> Sequence[Detections | None]:
    """Return what prompts a tag for each image: nothing, the file's boxes, or our own detections."""
    if TAGS[tag][0] not in ("seg", "keypoint"):
        return [None] * len(subject.originals)
    if tag.endswith("_chain"):
        if det is None:
            raise ValueError("detection did not run, so nothing prompts it")
        return det.every_slot()
    boxes, classes = table.golden.tensor("given/boxes"), table.golden.tensor("given/classes")
    slots = torch.arange(boxes.shape[1])
    return [Detections(row, torch.ones(len(row)), names, slots) for row, names in zip(boxes, classes, strict=True)]


def _decode(
    subject: MadSubject, table: ParityTable, memory: Memory, tag: str, detections: Sequence[Detections | None]
) -> TagResult:
    kind, ratios = TAGS[tag]
    task = subject.tasks[kind]
    contexts = [
        Context(size, {} if boxes is None else {Detection.name: boxes})
        for size, boxes in zip(subject.originals, detections, strict=True)
    ]
    request = Request(task.format, *stack_prompts([task.prompt(context) for context in contexts], fill=0))
    draws = None
    if kind == "caption":  # elsewhere the release masks where confidence is lowest
        stages = range(1, len(ratios) + 1)
        draws = torch.stack([table.golden.tensor(f"infer/{tag}/stage{stage}/rand_score") for stage in stages])
    strategy = MadReleased(MadReleasedOptions(ratios={task.format.task: ratios}))
    passes = strategy.passes(subject.network, memory, request, draws=draws)
    decoded = strategy.decode(subject.network, memory, request, (), draws=draws)
    return TagResult(subject, tag, kind, passes, decoded, contexts)


def _check_passes(table: ParityTable, memory: Memory, result: TagResult) -> None:
    network, where = result.subject.network, f"infer/{result.tag}"
    running: Tensor | None = None  # (B, N, L, V) logits of all passes so far
    for stage, done in enumerate(result.passes):
        name = f"{where}/stage{stage}"
        table.row("passes and re-masking", name)(input_seq=done.inputs, seq_mask=done.masked)
        hidden = network.decode(memory, done.inputs, every_layer=True)  # (Y, B, N, P + L, D)
        logits = network.logits(hidden[-1], result.subject.visible[result.kind])
        if result.tag in TRACED:
            table.compare("decoder outputs", f"{name}/decoder_out", hidden)
            table.compare("logits", f"{name}/logits", logits)
        running = _ensemble(result, running, logits, done)
        if stage + 1 == len(result.passes):
            table.compare("ensembled logits", f"{where}/ensembled_logits", running)
        elif result.tag in TRACED:
            table.compare("ensembled logits", f"{where}/stage{stage + 1}/ensembled_logits_before", running)


def _ensemble(result: TagResult, before: Tensor | None, logits: Tensor, done: Pass) -> Tensor:
    """Return running logits (B, N, L, V): the strategy's in the columns that it keeps, the same rule in all others."""
    form = result.subject.tasks[result.kind].format
    new = logits[:, :, form.prompt_length :]
    whole = new if before is None else torch.where(done.masked[..., None], (before + new) / 2, before)
    columns = torch.arange(done.logits.shape[-1]) if form.matching == "groups" else form.ids
    return whole.index_copy(-1, columns, done.logits)


def _smallest_gap(result: TagResult) -> Tensor:
    """Return the smallest distance between the two likeliest legal tokens."""
    legal = result.subject.tasks[result.kind].format.legal
    best = result.decoded.probabilities.masked_fill(~legal, -torch.inf).topk(2, dim=-1).values
    return (best[..., 0] - best[..., 1]).min().double()


def _boxes(result: TagResult) -> dict[str, Tensor]:
    subject, slots = result.subject, result.every_slot()
    nonempty = torch.zeros(len(slots), subject.sizes.slots, dtype=torch.bool)
    for image, detections in enumerate(result.interpret()):
        nonempty[image, detections.slots] = True
    coordinates = subject.network.vocabulary["coordinate"]
    bins = result.decoded.tokens.reshape(len(slots), subject.sizes.slots, BOX + 1)[..., :BOX]  # (B, Q, 4)
    unscaled = (bins - coordinates.start) / subject.sizes.bins
    stacked = {name: torch.stack([getattr(own, name) for own in slots]) for name in ("boxes", "scores", "classes")}
    return {"nonempty": nonempty, "unscaled_boxes": unscaled} | stacked


def _masks(result: TagResult) -> dict[str, Tensor]:
    subject, decoded = result.subject, result.decoded
    bits = MaskBits(subject.network.vocabulary, subject.sizes.mask_size)
    flat = {name: getattr(decoded, name).flatten(0, 1) for name in ("tokens", "probabilities")}
    shares = bits.decode(replace(decoded, **flat), subject.tasks[result.kind].format)  # (B * N, M, M)
    arrays = {"mask_prob": shares.view(*decoded.tokens.shape[:2], *shares.shape[1:])}
    for image, (masks, context) in enumerate(zip(result.interpret(), result.contexts, strict=True)):
        pasted = _bitmaps(masks.rles, subject.originals[image])
        boxes = context.earlier[Detection.name].boxes
        pasted[(boxes[:, 2:] <= boxes[:, :2]).any(dim=-1)] = False  # the release makes no mask of an empty box
        arrays[f"pasted_img{image}"] = pasted
    return arrays


def _joints(result: TagResult) -> dict[str, Tensor]:
    return {"keypoints": torch.stack([_pixels(poses.keypoints) for poses in result.interpret()])}


def _captions(result: TagResult) -> dict[str, Tensor]:
    words = result.decoded.tokens[:, 0] - result.subject.network.vocabulary["word"].start
    return {"token_ids_before_cut": words, "token_ids": _pieces(result)}


PREDICTIONS = {"det": _boxes, "seg": _masks, "keypoint": _joints, "caption": _captions}


def _check_forward(subject: MadSubject, table: ParityTable, results: dict[str, TagResult]) -> None:
    """Compare each image's results of the four tasks as one chain, without empty boxes."""
    tags = ("det", "seg_chain", "keypoint_chain")
    predictions = zip(*(results[tag].interpret() for tag in tags), _pieces(results["caption"]), strict=True)
    for image, (detections, masks, poses, caption) in enumerate(predictions):
        table.row("whole forward pass", f"forward/img{image}")(
            boxes=detections.boxes,
            scores=detections.scores,
            classes=detections.classes,
            masks=_bitmaps(masks.rles, subject.originals[image])[detections.slots],
            keypoints=_pixels(poses.keypoints)[detections.slots],
            caption_ids=caption,
        )


def _bitmaps(rles: Sequence[Any], size: tuple[int, int]) -> Tensor:
    """(N, height, width) bool."""
    none = torch.zeros(0, *size, dtype=torch.bool)
    return torch.cat([none, *(torch.from_numpy(coco_mask.decode(rle)).bool()[None] for rle in rles)])


def _pixels(keypoints: Tensor) -> Tensor:
    """(N, K, 3) as in the release: pixels, not pixel indices."""
    return keypoints + keypoints.new_tensor([PIXEL_MIDDLE, PIXEL_MIDDLE, 0.0])


def _pieces(result: TagResult) -> Tensor:
    """Return (B, L) pieces of each image's caption."""
    return padded_pieces(result.interpret(), result.subject.sizes.caption_length)
