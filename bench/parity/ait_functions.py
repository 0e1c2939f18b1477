"""Parity of AiT's post-processing, and of functions on their own: windows and metrics."""

from __future__ import annotations

from dataclasses import replace

import torch
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from bench.data.transforms import Windows
from bench.parity.ait_model import AitSubject
from bench.parity.golden_file import GoldenFile
from bench.parity.parity_table import ParityTable
from tasks.base import MetricParts
from tasks.formats.binning import CanvasCoordinates
from tasks.formats.sequence import Decoded, one_hot
from tasks.formats.shipped import BOX
from tasks.instances import Instances
from tasks.metrics.depth import NAMES, NEAREST, DepthMetric, depth_errors
from tasks.targets import Context, InstancePrediction, Targets

METRICS = {"delta1": "d1", "delta2": "d2", "delta3": "d3"}  # the file's names of some of ours
REPEATS = 5  # pixels of a map for one of the file's small ones, along each side


class GivenScale(CanvasCoordinates):
    """Coordinates with the file's scale, which is not that of any fitted image."""

    factors: Tensor

    def scale(self, size: tuple[int, int]) -> Tensor:
        """(2,) the file's."""
        return self.factors


@torch.no_grad()
def check_post_processing(subject: AitSubject, table: ParityTable) -> None:
    """Compare boxes, labels and pasted masks of the file's tokens, scores and mask logits."""
    task = _task(subject, table.golden)
    height, width, _ = table.golden.tensor("insseg/post/ori_shape").tolist()
    decoded = _decoded(subject, task, table.golden)
    for mode in ("hard", "soft"):
        context = Context((height, width))
        prediction: InstancePrediction = task.interpret(replace(decoded, soft=mode == "soft"), context)
        detections = prediction.detections
        masks = [torch.from_numpy(coco_mask.decode(rle)).bool() for rle in prediction.masks.rles]
        table.row("post-processing", f"insseg/post/{mode}")(
            dets=torch.cat([detections.boxes, detections.scores[:, None]], dim=1),
            labels=detections.classes,
            masks=torch.stack(masks),
        )


def _task(subject: AitSubject, golden: GoldenFile) -> Instances:
    """Return the joint sequence with as many objects as the file's, and its scale."""
    count = len(golden.tensor("insseg/post/scores"))
    task = Instances(replace(subject.parts, sizes=replace(subject.parts.sizes, slots=count)), masks=subject.masks)
    coordinates = task.sequence.coordinates
    scaled = GivenScale(coordinates.ids, coordinates.bins, coordinates.side)
    object.__setattr__(scaled, "factors", golden.tensor("insseg/post/scale_factor")[:2])
    task.sequence.coordinates = scaled
    return task


def _decoded(subject: AitSubject, task: Instances, golden: GoldenFile) -> Decoded:
    """Return the file's tokens, with probabilities that give its scores and mask logits."""
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
def check_functions(table: ParityTable) -> None:
    """Compare windows and metrics."""
    _check_windows(table)
    _check_metrics(table)


def _check_windows(table: ParityTable) -> None:
    """Two windows, each also mirrored, merged; the network is one convolution."""
    images, weight = table.golden.tensor("depth_tta/img"), table.golden.tensor("depth_tta/conv_w")
    windows = Windows(side=images.shape[2], normalise=None, mirrored=True)
    size = (images.shape[2], images.shape[3])
    merged = []
    for image in images:
        pixels = torch.stack([window.pixels for window in windows(image)])
        maps = nn.functional.conv2d(pixels, weight, padding=1)[:, 0] + 2
        merged.append(windows.merge(list(maps), size).clamp(min=NEAREST))
    table.compare("windows and mirrors", "depth_tta/out", torch.stack(merged))


def _check_metrics(table: ParityTable) -> None:
    """Nine numbers of maps with Eigen's crop, and of plain rows of pixels."""
    golden = table.golden
    truth, prediction = (
        golden.tensor(f"metrics/{name}_small").repeat_interleave(REPEATS, 0).repeat_interleave(REPEATS, 1)
        for name in ("gt", "pred")
    )
    metric = DepthMetric(parts=MetricParts())
    cropped = metric.observe(0, prediction, Targets(size=(truth.shape[0], truth.shape[1]), depth=truth))
    table.compare("metrics", "metrics/n_valid", torch.tensor(cropped["pixels"]))
    truth, prediction = golden.tensor("metrics_flat/gt"), golden.tensor("metrics_flat/pred")
    flat = depth_errors(prediction, truth, torch.ones_like(truth, dtype=torch.bool))
    for prefix, values in {"metrics": cropped, "metrics_flat": flat}.items():
        numbers = {METRICS.get(name, name): torch.tensor(values[name], dtype=torch.float64) for name in NAMES}
        table.row("metrics", prefix)(**numbers)
