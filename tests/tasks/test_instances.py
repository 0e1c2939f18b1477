"""AiT's joint sequence: perfect tokens give the objects back, noise trains labels alone, scores are shares."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from tasks.base import MetricParts, TaskError, TaskParts
from tasks.formats.object_sequence import ABSENT
from tasks.formats.sequence import Decoded, SequenceFormat, Slot, TrainingExample, one_hot
from tasks.formats.vocabulary import Sizes, Vocabulary
from tasks.instance_noise import NOTHING, noise_objects
from tasks.instances import Boxes, Instances
from tasks.targets import Context, Targets
from tests.tasks.task_examples import CLASSES, instances, perfect

SIZE = (48, 64)
CANVAS = 128
SIZES = Sizes(layout="ait", classes=len(CLASSES), bins=256, slots=6)
VOCABULARY = Vocabulary(SIZES, extra={"mask_code": 2, "depth_code": 3})
PARTS = TaskParts(VOCABULARY, SIZES, CLASSES, None, canvas=CANVAS)
BOXES = [[8.0, 8.0, 24.0, 40.0], [30.0, 4.0, 62.0, 20.0]]


class Halves:
    """Masks of 4 x 4 as two codes: whether the left and the right half are covered."""

    side = 4
    groups = 1

    def __init__(self) -> None:
        self.range = VOCABULARY["mask_code"]
        self.slots = (Slot((self.range,), dense=True),) * 2

    def encode(self, masks: Tensor) -> Tensor:
        return self.range.start + masks.unflatten(2, (2, 2)).float().mean(dim=(1, 3)).round().long()

    def decode(self, decoded: Decoded, format: SequenceFormat) -> Tensor:
        shares = decoded.probabilities[..., format.column(self.range)]  # (N, 2, K)
        return shares[..., 1].repeat_interleave(2, dim=1)[:, None].expand(-1, 4, -1)

    def dense_loss(self, logits: Tensor, originals: Tensor, format: SequenceFormat) -> Tensor:
        shares = logits[..., format.column(self.range)].softmax(dim=-1)[..., 1]
        return (shares - originals.unflatten(2, (2, 2)).mean(dim=(1, 3))).square().mean()


TASK = Instances(PARTS, masks=Halves())


def scene(count: int = 2, size: tuple[int, int] = SIZE) -> Targets:
    found = instances(BOXES[:count], list(range(count)))
    half = [[[8.0, 8.0, 16.0, 8.0, 16.0, 40.0, 8.0, 40.0]]]  # the left half of the first box
    return Targets(size=size, instances=replace(found, segmentations=[*half, *found.segmentations[1:]][:count]))


def sampled(targets: Targets, seed: int = 0) -> TrainingExample:
    return TASK.sample(targets, torch.Generator().manual_seed(seed), limit=100)


def grouped(tokens: Tensor) -> Tensor:
    return tokens.reshape(SIZES.slots, -1)


def test_perfect_tokens_give_boxes_classes_and_masks_back() -> None:
    for count in (2, 1, 0):
        found = perfect(TASK, scene(count))
        assert found.detections.boxes.tolist() == BOXES[:count]
        assert found.detections.classes.tolist() == list(range(count))
        assert found.detections.scores.tolist() == [1.0] * count
        masks = [coco_mask.decode(rle) for rle in found.masks.rles]
        areas = [int(mask.sum()) for mask in masks]
        assert areas == [pytest.approx(area, rel=0.06) for area in (8 * 32, 32 * 16)[:count]]  # corners are round
        only = perfect(Boxes(PARTS), scene(count))
        assert only.boxes.tolist() == BOXES[:count]


def test_an_image_is_scaled_into_the_canvas() -> None:
    tokens = grouped(TASK.encode(scene()).tokens)
    assert tokens[0, :4].tolist() == [32, 32, 96, 160]  # two canvas pixels and four steps to a pixel
    assert TASK.format.start == VOCABULARY.id("instances_start")
    assert Boxes(PARTS).format.start == VOCABULARY.id("boxes_start")
    assert TASK.format.length == SIZES.slots * 7 and Boxes(PARTS).format.length == SIZES.slots * 5
    assert TASK.format.trained[0].tolist() == list(range(VOCABULARY.openings[0]))  # over the released vocabulary
    assert torch.equal(TASK.format.trained[0][TASK.format.trained[1]], TASK.format.ids)


def test_objects_come_first_and_noise_trains_its_label_alone() -> None:
    orders = set()
    for seed in range(8):
        example = sampled(scene(size=(128, 128)), seed)
        targets, weights = grouped(example.tokens), grouped(example.weights)
        orders.add(tuple(targets[:2, 4].tolist()))
        assert weights[:2].tolist() == [[1, 1, 1, 1, 1, pytest.approx(0.2), pytest.approx(0.2)]] * 2
        assert weights[2:].tolist() == [[0, 0, 0, 0, 1, 0, 0]] * 4
        assert targets[2:, 4].tolist() == [VOCABULARY.id("no_object")] * 4
    assert len(orders) == 2


def test_inputs_show_boxes_and_masks_but_never_the_true_class_for_sure() -> None:
    classes, copies, empties = [], 0, 0
    for seed in range(40):
        example = sampled(scene(size=(128, 128)), seed)
        assert example.inputs is not None and example.originals is not None
        targets, inputs = grouped(example.tokens), grouped(example.inputs)
        assert torch.equal(inputs[:2, [0, 1, 2, 3, 5, 6]], targets[:2, [0, 1, 2, 3, 5, 6]])
        classes += inputs[:, 4].tolist()
        covered = (inputs[2:, 5:] > VOCABULARY["mask_code"].start).any(dim=1)
        copies, empties = copies + int(covered.sum()), empties + int((~covered).sum())
        assert (example.originals[0, :, 0, 0] == ABSENT).tolist() == [False] * 2 + [True] * 4
    assert copies > 20 and empties > 20  # copies keep their mask, other noise has none
    noise = classes.count(VOCABULARY.id("no_object")) / len(classes)
    assert 0.35 < noise < 0.65
    assert set(classes) == {VOCABULARY.id("no_object"), *VOCABULARY["class"].ids()}


def test_noise_lies_in_the_image_and_near_what_it_copies() -> None:
    boxes = torch.tensor(BOXES)
    copied: list[int] = []
    shifts: list[float] = []
    for seed in range(30):
        noise = noise_objects(boxes, SIZE, 10, torch.Generator().manual_seed(seed))
        assert noise.boxes.shape == (10, 4)
        assert bool((noise.boxes >= 0).all() and (noise.boxes <= torch.tensor([64.0, 48, 64, 48])).all())
        of = noise.copies != NOTHING
        copied.append(int(of.sum()))
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)[noise.copies[of]]
        moved = (noise.boxes[of] - boxes[noise.copies[of]]).abs()
        assert bool((moved <= 0.1 * sides + 1e-4).all())
        shifts += (moved / sides).flatten().tolist()
        if copied[-1] > 1:  # objects take turns
            assert set(noise.copies[of].tolist()) == {0, 1}
    assert min(copied) < 3 and max(copied) > 7
    assert max(shifts) > 0.09
    assert sum(shifts) / len(shifts) == pytest.approx(0.036, abs=0.003), "0.72 of a deviation of 0.05"
    none = noise_objects(torch.zeros(0, 4), SIZE, 5, torch.Generator().manual_seed(0))
    assert none.boxes.shape == (5, 4) and none.copies.tolist() == [NOTHING] * 5


def test_a_score_is_the_class_s_share_of_classes_and_noise() -> None:
    encoded = TASK.encode(scene(1))
    probabilities = one_hot(TASK.format, encoded.tokens).reshape(SIZES.slots, -1, len(TASK.format.ids))
    probabilities[0, 4] = 0
    ids = {VOCABULARY["class"].start: 0.2, VOCABULARY["class"].start + 1: 0.1, VOCABULARY.id("no_object"): 0.1}
    for token, value in (ids | {0: 0.6}).items():
        probabilities[0, 4, TASK.format.columns_of(torch.tensor(token))] = value
    decoded = Decoded(encoded.tokens, probabilities.reshape(1, TASK.format.length, -1), evaluations=0, positions=0)
    found = TASK.interpret(decoded, Context(SIZE))
    assert found.detections.scores.tolist() == [pytest.approx(0.5)]
    assert torch.equal(found.masks.scores, found.detections.scores)


def test_a_box_may_reach_out_of_the_image_and_its_mask_is_cut() -> None:
    encoded = TASK.encode(scene())
    tokens = grouped(encoded.tokens.clone())
    tokens[0, :4] = torch.tensor([0, 160, 100, 256])  # the image ends at 192
    tokens[1, :4] = torch.tensor([0, 200, 100, 256])  # and this box begins behind it
    tokens[:2, 5:] = VOCABULARY["mask_code"].start + 1
    flat = tokens.reshape(1, -1)
    found = TASK.interpret(Decoded(flat, one_hot(TASK.format, flat), evaluations=0, positions=0), Context(SIZE))
    assert found.detections.boxes.tolist() == [[0.0, 40.0, 25.0, 64.0], [0.0, 50.0, 25.0, 64.0]]
    assert [int(coco_mask.area(rle)) for rle in found.masks.rles] == [pytest.approx(25 * 8, rel=0.06), 0]


def test_the_loss_of_masks_sees_the_objects_own_alone() -> None:
    example = sampled(scene(size=(128, 128)))
    assert example.originals is not None and TASK.format.dense_loss is not None
    logits = 50 * one_hot(TASK.format, example.tokens)
    changed = logits.clone().reshape(SIZES.slots, -1, logits.shape[-1])
    changed[2:] = torch.randn(changed[2:].shape)
    perfect_loss = float(TASK.format.dense_loss(changed.reshape(logits.shape), example.originals))
    assert perfect_loss == pytest.approx(0, abs=1e-6)
    changed[:2, 5:] *= -1
    assert float(TASK.format.dense_loss(changed.reshape(logits.shape), example.originals)) > 0.1
    empty = torch.full_like(example.originals, ABSENT)
    assert float(TASK.format.dense_loss(logits, empty)) == 0


def test_both_metrics_are_reported() -> None:
    targets = scene()
    annotations = [
        {"id": n, "image_id": 1, "category_id": n, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0),
         "iscrowd": 0, "segmentation": targets.instances.segmentations[n - 1]}  # type: ignore[union-attr]
        for n, (x0, y0, x1, y1) in enumerate(BOXES, start=1)
    ]  # fmt: skip
    truth = {
        "images": [{"id": 1, "height": 48, "width": 64}],
        "annotations": annotations,
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(CLASSES)],
    }
    metric = TASK.metric(MetricParts(ground_truth=truth, category_ids=[1, 2, 3]))
    record = metric.observe(1, perfect(TASK, targets), targets)
    scores = metric.summarize({1: record})
    assert scores["box AP"] == pytest.approx(1) and scores["mask AP"] == pytest.approx(1)
    assert {name.split()[0] for name in scores} == {"box", "mask"} and len(scores) == 24
    assert set(TASK.headline) <= set(scores)


def test_without_a_codec_there_are_no_masks() -> None:
    with pytest.raises(TaskError, match="needs a mask codec"):
        Instances(PARTS)
    with pytest.raises(TaskError, match="without object annotations"):
        TASK.encode(Targets(size=SIZE))
