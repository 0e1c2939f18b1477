"""Detection: boxes come back within half a bin in their own slots, and only empty boxes are dropped."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import Task, TaskError
from tasks.detection import Detection
from tasks.formats.sequence import Decoded
from tasks.targets import Context, Targets
from tests.tasks.task_examples import Golden, instances, parts, perfect

SIZE = (120, 200)
BIN = (SIZE[1] / 50, SIZE[0] / 50)


@st.composite
def boxes(draw):
    """Boxes at least two bins wide, anywhere in the image."""
    low = [draw(st.floats(0, side - 2 * step - 1)) for side, step in ((SIZE[1], BIN[0]), (SIZE[0], BIN[1]))]
    high = [draw(st.floats(low[axis] + 2 * BIN[axis], side)) for axis, side in enumerate((SIZE[1], SIZE[0]))]
    return [*low, *high, draw(st.integers(0, 2))]


@given(st.lists(boxes(), max_size=6))
def test_boxes_come_back_within_half_a_bin(objects):
    targets = Targets(SIZE, instances([box[:4] for box in objects], [box[4] for box in objects]))
    found = perfect(Detection(parts()), targets)
    assert found.slots.tolist() == list(range(len(objects)))
    assert found.classes.tolist() == [box[4] for box in objects]
    assert found.scores.tolist() == [1.0] * len(objects)
    error = (found.boxes - targets.instances.boxes).abs() / torch.tensor(BIN * 2)
    assert bool((error <= 0.5 + 1e-3).all())


def test_the_sequence_of_one_object_and_empty_slots():
    task: Task = Detection(parts(slots=2))
    encoded = task.encode(Targets(SIZE, instances([[0, 12, 100, 120]], [2])))
    vocabulary = parts(slots=2).vocabulary
    start = vocabulary["coordinate"].start
    assert encoded.tokens.tolist() == [
        [start, start + 5, start + 25, start + 50, vocabulary["class"].start + 2]
        + [start] * 4
        + [vocabulary.id("no_object")]
    ]
    assert encoded.weights.tolist() == [[1, 1, 1, 1, 1, 0, 0, 0, 0, 1]]
    assert encoded.prompts.tolist() == task.prompt(Context(SIZE)).tolist() == [[0, 1, 2, 3, 4, 5]]


def test_no_object_is_a_target_but_is_never_decoded():
    task = Detection(parts())
    column = task.format.column(parts().vocabulary["no_object"])
    assert not task.format.legal[:, column].any()
    assert task.format.length == 30


@pytest.mark.parametrize("reading", ["centre", "edge"])
def test_an_image_without_objects_gives_no_boxes(reading):
    found = perfect(Detection(parts(reading)), Targets(SIZE, instances([])))
    assert found.boxes.shape == (0, 4)
    assert len(found.scores) == len(found.classes) == len(found.slots) == 0


def test_of_too_many_objects_the_largest_stay_in_order():
    task = Detection(parts(slots=2))
    targets = Targets(SIZE, instances([[0, 0, 60, 60], [0, 0, 10, 10], [50, 50, 190, 110]], [0, 1, 2]))
    assert task.unreachable(targets) == 1
    assert perfect(task, targets).classes.tolist() == [0, 2]


def test_the_class_is_the_most_probable_and_never_no_object():
    task = Detection(parts(slots=1))
    encoded = task.encode(Targets(SIZE, instances([[0, 0, 60, 60]])))
    probabilities = torch.zeros(1, 5, len(task.format.ids))
    probabilities[0, 4, :4] = torch.tensor([0.1, 0.05, 0.2, 0.65])  # the fourth column is no_object
    found = task.interpret(Decoded(encoded.tokens, probabilities, 1, 10), Context(SIZE))
    assert found.classes.tolist() == [2]
    assert found.scores.tolist() == pytest.approx([0.2])


def test_without_annotation_nothing_is_encoded():
    task = Detection(parts())
    assert not task.annotated(Targets(SIZE))
    with pytest.raises(TaskError, match="annotated"):
        task.encode(Targets(SIZE))


def test_an_unknown_reading_is_refused():
    with pytest.raises(TaskError, match="middle"):
        Detection(parts("middle"))


@pytest.mark.parametrize("image", [0, 1])
def test_boxes_scores_and_classes_are_those_of_mads_release(image):
    golden = Golden()
    task = Detection(golden.parts)
    found = task.interpret(golden.decoded(task, "det", image), Context(golden.originals[image]))
    kept = golden.tensor("infer/det/nonempty")[image]
    assert found.slots.tolist() == kept.nonzero()[:, 0].tolist()
    assert found.classes.tolist() == golden.tensor("infer/det/classes")[image][kept].tolist()
    assert torch.allclose(found.boxes, golden.tensor("infer/det/boxes")[image][kept], atol=1e-4)
    assert torch.allclose(found.scores, golden.tensor("infer/det/scores")[image][kept], atol=1e-5)
