"""Parity of what follows AiT's decoding, and of the stand-alone families: post-processing, windows, metrics."""

from __future__ import annotations

from dataclasses import replace

import torch
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from bench.data.transforms import Windows
from bench.parity.ait_model import AitSubject
from bench.parity.golden_file import GoldenFile, ParityTable
from tasks.base import MetricParts
from tasks.detection import BOX
from tasks.formats.binning import CanvasCoordinates
from tasks.formats.sequence import Decoded, one_hot
from tasks.instances import Instances
from tasks.metrics.depth import NAMES, NEAREST, DepthMetric, depth_errors
from tasks.targets import Context, InstancePrediction, Targets

METRICS = {"d1": "delta1", "d2": "delta2", "d3": "delta3"}  # the file's names of some of ours
REPEATS = 5  # pixels of a map for one of the file's small ones, along each side


class GivenScale(CanvasCoordinates):
    """Coordinates whose scale is the file's, which is not that of any fitted image."""

    factors: Tensor

    def scale(self, size: tuple[int, int]) -> Tensor:
        """(2,) the file's."""
        return self.factors


@torch.no_grad()
def check_post(subject: AitSubject, golden: GoldenFile, table: ParityTable) -> None:
    """Boxes, labels and pasted masks of tokens, scores and mask logits."""
    task = _post_task(subject, golden)
    height, width, _ = golden.tensor("insseg/post/ori_shape").tolist()
    decoded = _post_decoded(subject, task, golden)
    for mode in ("hard", "soft"):
        where, family = f"insseg/post/{mode}", "post-processing"
        found: InstancePrediction = task.interpret(replace(decoded, soft=mode == "soft"), Context((height, width)))
        detections = torch.cat([found.detections.boxes, found.detections.scores[:, None]], dim=1)
        table.compare(family, f"{where}/dets", detections)
        table.compare(family, f"{where}/labels", found.detections.classes)
        masks = [torch.from_numpy(coco_mask.decode(rle)).bool() for rle in found.masks.rles]
        table.compare(family, f"{where}/masks", torch.stack(masks))


def _post_task(subject: AitSubject, golden: GoldenFile) -> Instances:
    """The joint sequence with as many objects as the file's, and its scale."""
    count = len(golden.tensor("insseg/post/scores"))
    task = Instances(replace(subject.parts, sizes=replace(subject.parts.sizes, slots=count)), masks=subject.masks)
    own = task.sequence.coordinates
    scaled = GivenScale(own.ids, own.bins, own.side)
    object.__setattr__(scaled, "factors", golden.tensor("insseg/post/scale_factor")[:2])
    task.sequence.coordinates = scaled
    return task


def _post_decoded(subject: AitSubject, task: Instances, golden: GoldenFile) -> Decoded:
    """The file's tokens with probabilities that have its scores and mask logits."""
    form = task.format
    first = torch.tensor([slot.ranges[0].start for slot in form.slots]).repeat(form.groups)
    tokens = golden.tensor("insseg/post/tokens") + first  # (L,)
    probabilities = one_hot(form, tokens).reshape(form.groups, len(form.slots), -1)
    scores = golden.tensor("insseg/post/scores")[:, None]
    noise = form.columns_of(torch.tensor([subject.network.vocabulary.id("no_object")]))
    probabilities[:, BOX] *= scores
    probabilities[:, BOX, noise] = 1 - scores
    (codes,) = form.slots[-1].ranges
    shares = golden.tensor("insseg/post/mask_logits").softmax(dim=-1)  # (G, codes of a mask, K)
    probabilities[:, BOX + 1 :, form.column(codes)] = shares
    return Decoded(tokens[None], probabilities.reshape(1, form.length, -1), evaluations=1, positions=0)


@torch.no_grad()
def check_alone(golden: GoldenFile, table: ParityTable) -> None:
    """Windows and metrics on their own."""
    _check_windows(golden, table)
    _check_metrics(golden, table)


def _check_windows(golden: GoldenFile, table: ParityTable) -> None:
    """Two windows, each also mirrored, merged: of a network that is one convolution."""
    images, weight = golden.tensor("depth_tta/img"), golden.tensor("depth_tta/conv_w")
    windows = Windows(side=images.shape[2], normalise=None, mirrored=True)
    size = (images.shape[2], images.shape[3])
    found = []
    for image in images:
        maps = nn.functional.conv2d(torch.stack([one.pixels for one in windows(image)]), weight, padding=1)[:, 0] + 2
        found.append(windows.merge(list(maps), size).clamp(min=NEAREST))
    table.compare("windows and mirrors", "depth_tta/out", torch.stack(found))


def _check_metrics(golden: GoldenFile, table: ParityTable) -> None:
    """Nine numbers of maps with Eigen's crop, and of plain rows of pixels."""
    truth, prediction = (
        golden.tensor(f"metrics/{name}_small").repeat_interleave(REPEATS, 0).repeat_interleave(REPEATS, 1)
        for name in ("gt", "pred")
    )
    metric = DepthMetric(parts=MetricParts())
    cropped = metric.observe(0, prediction, Targets(size=(truth.shape[0], truth.shape[1]), depth=truth))
    table.compare("metrics", "metrics/n_valid", torch.tensor(cropped["pixels"]))
    truth, prediction = golden.tensor("metrics_flat/gt"), golden.tensor("metrics_flat/pred")
    flat = depth_errors(prediction, truth, torch.ones_like(truth, dtype=torch.bool))
    for where, values in {"metrics": cropped, "metrics_flat": flat}.items():
        theirs = {ours: name for name, ours in METRICS.items()}
        for name in NAMES:
            value = torch.tensor(values[name], dtype=torch.float64)
            table.compare("metrics", f"{where}/{theirs.get(name, name)}", value)
