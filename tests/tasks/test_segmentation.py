"""Segmentation: one mask per detection, read back as exactly as its cells allow."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from tasks.base import Task, TaskError
from tasks.detection import Detection
from tasks.formats.sequence import Decoded
from tasks.segmentation import Segmentation
from tasks.targets import Context, Detections, Targets
from tests.tasks.task_examples import Golden, instances, parts, perfect

SIZE = (120, 200)


def masks_of(targets: Targets, **options):
    built = parts(**options)
    detections = perfect(Detection(built), targets)
    return detections, perfect(Segmentation(built), targets, {"detection": detections})


def pixels(code) -> np.ndarray:
    return coco_mask.decode({"size": code["size"], "counts": code["counts"].encode()})


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 10))
def test_masks_come_back_to_the_ceiling_of_their_cells(seed, side):
    """Of a mask of whole cells, whose box has its borders on borders of bins, the middle of every cell comes back."""
    bits = torch.rand(side, side, generator=torch.Generator().manual_seed(seed)) < 0.5
    bits[side // 2] = True
    whole = np.zeros((side * 20, side * 20), dtype=np.uint8, order="F")
    whole[: side * 10, : side * 10] = np.kron(bits.numpy(), np.ones((10, 10)))
    box = [0, 0, side * 10, side * 10]
    code = coco_mask.encode(whole)
    targets = Targets(whole.shape, instances([box], segmentations=[code]))
    built = parts("edge", mask_size=side)
    encoded = Segmentation(built).encode(targets)
    foreground = built.vocabulary.id("foreground")
    assert torch.equal(encoded.tokens.reshape(side, side) == foreground, bits)
    _, masks = masks_of(targets, reading="edge", mask_size=side)
    centers = np.arange(side) * 10 + 5  # bilinear sampling is exact in the middle of a cell
    assert np.array_equal(pixels(masks.rles[0])[np.ix_(centers, centers)], bits.numpy())


def test_a_box_filled_by_its_object_is_read_as_that_box():
    targets = Targets(SIZE, instances([[20, 12, 100, 60], [0, 0, 200, 120]], [0, 1]))
    detections, masks = masks_of(targets, reading="edge", bins=50)
    assert masks.classes.tolist() == detections.classes.tolist() == [0, 1]
    assert masks.scores.tolist() == detections.scores.tolist()
    found = pixels(masks.rles[0])
    assert found.shape == SIZE
    expected = np.zeros(SIZE, dtype=np.uint8)
    expected[12:60, 20:100] = 1
    assert (found != expected).sum() <= 40  # bilinear sampling rounds the four corners off
    assert pixels(masks.rles[1]).mean() > 0.99


def test_every_detection_is_prompted_with_its_box_and_class():
    built = parts()
    task: Task = Segmentation(built)
    targets = Targets(SIZE, instances([[20, 12, 100, 60], [0, 0, 200, 120], [3, 3, 90, 90]], [0, 1, 2]))
    context = Context(SIZE, {"detection": perfect(Detection(built), targets)})
    assert torch.equal(task.prompt(context), task.encode(targets).prompts)
    start, classes = built.vocabulary["coordinate"].start, built.vocabulary["class"].start
    assert task.prompt(context)[0].tolist() == [6, start + 5, start + 5, start + 25, start + 25, classes]


def test_rows_follow_the_detection_slots_when_objects_are_cut():
    built = parts(slots=2)
    targets = Targets(SIZE, instances([[0, 0, 60, 60], [0, 0, 10, 10], [50, 50, 190, 110]], [0, 1, 2]))
    encoded = Segmentation(built).encode(targets)
    assert (encoded.prompts[:, -1] - built.vocabulary["class"].start).tolist() == [0, 2]


def test_without_objects_there_are_no_sequences_and_no_masks():
    targets = Targets(SIZE, instances([]))
    _, masks = masks_of(targets)
    assert masks.rles == []
    encoded = Segmentation(parts()).encode(targets)
    assert encoded.tokens.shape == (0, 256)
    assert encoded.prompts.shape == (0, 6)


def test_foreground_is_weighed_against_background_only():
    task = Segmentation(parts(mask_size=2))
    box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])  # the middles of pixels are those of cells
    detections = Detections(box, torch.tensor([0.7]), torch.tensor([1]), torch.tensor([0]))
    probabilities = torch.tensor([[[0.02, 0.01], [0.01, 0.02], [0.01, 0.02], [0.0, 0.0]]])
    decoded = Decoded(torch.full((1, 4), task.format.ids[0]), probabilities, 1, 10)
    masks = task.interpret(decoded, Context((2, 2), {"detection": detections}))
    assert pixels(masks.rles[0]).tolist() == [[1, 0], [0, 0]]
    assert masks.scores.tolist() == pytest.approx([0.7])


def test_a_run_length_code_of_another_size_is_refused():
    code = coco_mask.encode(np.ones((5, 5), dtype=np.uint8, order="F"))
    with pytest.raises(TaskError, match=r"annotation 0.*\[5, 5\].*\[120, 200\]"):
        Segmentation(parts()).encode(Targets(SIZE, instances([[0, 0, 5, 5]], segmentations=[code])))


def test_segmentation_needs_detections():
    with pytest.raises(TaskError, match="run detection before"):
        Segmentation(parts()).prompt(Context(SIZE))


@pytest.mark.parametrize("image", [0, 1])
def test_prompts_and_masks_are_those_of_mads_release(image):
    golden = Golden()
    detection, task = Detection(golden.parts), Segmentation(golden.parts)
    context = Context(golden.originals[image])
    found = detection.interpret(golden.decoded(detection, "det", image), context)
    context = Context(golden.originals[image], {"detection": found})
    assert torch.equal(task.prompt(context), golden.tensor("infer/seg_chain/stage0/input_seq")[image, found.slots, :6])
    decoded = golden.decoded(task, "seg_chain", image)
    kept = Decoded(decoded.tokens[found.slots], decoded.probabilities[found.slots], 1, 0)
    masks = task.interpret(kept, context)
    expected = golden.tensor(f"infer/seg_chain/pasted_img{image}")[found.slots]
    assert np.array_equal(np.stack([pixels(code) for code in masks.rles]), expected.numpy())
