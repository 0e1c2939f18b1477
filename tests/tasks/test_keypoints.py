"""Keypoints: labeled joints come back within half a bin without bias, persons only."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import Task, TaskError, TaskParts
from tasks.detection import Detection
from tasks.keypoints import Keypoints
from tasks.targets import Context, Detections, Targets
from tests.tasks.task_examples import Golden, instances, parts, perfect

SIZE = (120, 200)
BIN = torch.tensor([SIZE[1] / 50, SIZE[0] / 50])
BOX = [20.0, 12.0, 100.0, 60.0]


def poses_of(targets: Targets, **options):
    built = parts(**options)
    detections = perfect(Detection(built), targets)
    return perfect(Keypoints(built), targets, {"detection": detections})


joint = st.tuples(st.integers(0, SIZE[1] - 1), st.integers(0, SIZE[0] - 1), st.integers(1, 2))


@given(st.lists(joint, min_size=17, max_size=17))
def test_joints_come_back_within_half_a_bin(joints):
    keypoints = torch.tensor([joints], dtype=torch.float32)
    poses = poses_of(Targets(SIZE, instances([BOX], keypoints=keypoints), has_keypoints=True))
    error = (poses.keypoints[..., :2] - keypoints[..., :2]).abs() / BIN
    assert float(error.max()) <= 0.5 + 1e-3
    assert bool((poses.keypoints[..., 2] == 1).all())


def test_pixel_indices_come_back_exactly_where_bins_are_pixels():
    keypoints = torch.zeros(1, 3, 3)
    keypoints[0] = torch.tensor([[0, 0, 2], [99, 99, 2], [37, 12, 1]])
    targets = Targets((100, 100), instances([[0, 0, 100, 100]], keypoints=keypoints), has_keypoints=True)
    poses = poses_of(targets, bins=100, keypoints=3)
    assert torch.allclose(poses.keypoints[..., :2], keypoints[..., :2], atol=1e-4)


def test_joints_that_are_not_labeled_weigh_nothing_but_for_their_visibility():
    keypoints = torch.zeros(2, 2, 3)
    keypoints[0, 0] = torch.tensor([30, 20, 1])
    targets = Targets(SIZE, instances([BOX, BOX], keypoints=keypoints), has_keypoints=True)
    built = parts(keypoints=2)
    task: Task = Keypoints(built)
    encoded = task.encode(targets)
    assert encoded.weights.tolist() == [[1, 1, 1, 0, 0, 1], [0] * 6]
    start, invisible = built.vocabulary["coordinate"].start, built.vocabulary.id("invisible")
    assert encoded.tokens[0, 3:].tolist() == [start + 15, start + 15, invisible]  # the middle of the box
    drawn = [task.encode(targets, torch.Generator().manual_seed(seed)).tokens for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    inside = (drawn[0][1].reshape(2, 3)[:, :2] - start).float()
    assert bool((inside >= 5).all() and (inside <= 25).all())


def test_only_persons_are_prompted_and_their_rows_are_their_slots():
    built = parts(keypoints=1)
    keypoints = torch.tensor([[[9.0, 9, 2]], [[50, 50, 2]], [[70, 70, 2]]])
    targets = Targets(SIZE, instances([BOX, BOX, BOX], [0, 1, 2], keypoints=keypoints), has_keypoints=True)
    context = Context(SIZE, {"detection": perfect(Detection(built), targets)})
    task = Keypoints(built)
    assert task.target_rows(context).tolist() == [1]
    assert torch.equal(task.prompt(context), task.encode(targets).prompts[1:2])
    poses = poses_of(targets, keypoints=1)
    assert poses.classes.tolist() == [1]
    assert poses.keypoints[0, 0, :2].tolist() == pytest.approx([50, 50], abs=2)


def test_a_pose_without_a_visible_joint_scores_nothing_unless_asked_for():
    targets = Targets(SIZE, instances([BOX]), has_keypoints=True)
    built = parts()
    earlier = {"detection": perfect(Detection(built), targets)}
    assert perfect(Keypoints(built), targets, earlier).scores.tolist() == [0.0]
    assert perfect(Keypoints(replace(built, score_unseen=True)), targets, earlier).scores.tolist() == [1.0]


def test_without_persons_there_are_no_sequences_and_no_poses():
    for boxes in ([], [BOX]):
        targets = Targets(SIZE, instances(boxes, [0] * len(boxes)), has_keypoints=True)
        poses = poses_of(targets)
        assert poses.keypoints.shape == (0, 17, 3)
        assert len(poses.scores) == len(poses.classes) == 0


def test_classes_without_persons_and_other_skeletons_are_refused():
    built = parts()
    with pytest.raises(TaskError, match="person"):
        Keypoints(TaskParts(built.vocabulary, built.sizes, ["dog", "cat", "kite"], None))
    with pytest.raises(TaskError, match=r"\(5, 3\).*\(17, 3\)"):
        Keypoints(built).encode(Targets(SIZE, instances([BOX], joints=5)))


def test_annotated_follows_the_data_set():
    task = Keypoints(parts())
    assert not task.annotated(Targets(SIZE, instances([])))
    assert task.annotated(Targets(SIZE, instances([]), has_keypoints=True))


@pytest.mark.parametrize("image", [0, 1])
@pytest.mark.parametrize("tag", ["keypoint_chain", "keypoint_2stage"])
def test_keypoints_are_those_of_mads_release(image, tag):
    golden = Golden()
    names = ["person"] + [f"class {index}" for index in range(1, golden.sizes.classes)]
    task = Keypoints(TaskParts(golden.parts.vocabulary, golden.sizes, names, None, "edge"))
    slots = torch.arange(golden.sizes.slots)
    boxes = torch.tensor([[0.0, 0, 9, 9]]).expand(len(slots), 4)  # the release decodes every slot, whatever its class
    found = Detections(boxes, torch.ones(len(slots)), torch.zeros(len(slots), dtype=torch.int64), slots)
    context = Context(golden.originals[image], {"detection": found})
    poses = task.interpret(golden.decoded(task, tag, image), context)
    expected = golden.tensor(f"infer/{tag}/keypoints")[image]
    # The release takes its half pixel off in the evaluator.
    assert torch.allclose(poses.keypoints[..., :2] + 0.5, expected[..., :2], atol=1e-4)
    assert torch.allclose(poses.keypoints[..., 2], expected[..., 2], atol=1e-5)
