"""What is drawn for training: noise beside objects in random slots, few of many instances, random unlabeled joints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tasks.captioning import Captioning
from tasks.depth import Depth
from tasks.detection import Detection
from tasks.formats.sequence import TrainingExample, collate
from tasks.keypoints import Keypoints
from tasks.segmentation import Segmentation
from tasks.targets import Targets
from tests.tasks.task_examples import instances, parts

SIZE = (100, 200)
BOXES = [[0, 0, 100, 50], [100, 50, 200, 100], [20, 10, 60, 90]]
PARTS = parts(slots=6, keypoints=2, mask_size=4)


class Letters:
    """One piece per letter, piece 0 is the end."""

    def __len__(self) -> int:
        return 27

    def encode(self, text: str) -> list[int]:
        return [ord(letter) - ord("a") + 1 for letter in text]

    def decode(self, pieces: list[int]) -> str:
        raise NotImplementedError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def detections(count: int, seeds: int) -> torch.Tensor:
    """(seeds, G, 6): tokens of every slot and whether it is an object."""
    task = Detection(PARTS)
    targets = Targets(SIZE, instances(BOXES[:count], [2, 0, 1][:count]))
    drawn = [task.sample(targets, seeded(seed), limit=1) for seed in range(seeds)]
    for example in drawn:
        assert example.real is not None
        weights = example.weights.view(6, 5)
        assert weights[example.real[0]].unique().tolist() == ([1] if count else [])
        assert bool((weights[~example.real[0]] == torch.tensor([0.0, 0, 0, 0, 1])).all())
    return torch.stack([torch.cat([e.tokens.view(6, 5), e.real[0, :, None]], 1) for e in drawn])  # type: ignore[index]


def test_objects_lie_in_random_slots() -> None:
    task = Detection(PARTS)
    encoded = task.encode(Targets(SIZE, instances(BOXES, [2, 0, 1]))).tokens.view(6, 5)
    slots = detections(3, 200)
    for example in slots:
        own = example[example[:, 5] == 1][:, :5]
        assert sorted(own.tolist()) == sorted(encoded[:3].tolist())
    shares = slots[..., 5].float().mean(0)
    torch.testing.assert_close(shares, torch.full((6,), 0.5), atol=0.12, rtol=0)


def test_noise_is_a_random_box_of_a_random_class() -> None:
    slots = detections(0, 300).flatten(0, 1)
    assert int(slots[:, 5].sum()) == 0
    bins = slots[:, :4] - PARTS.vocabulary["coordinate"].start
    assert int(bins.min()) >= 0
    assert int(bins.max()) == PARTS.sizes.bins, "sides are cut at the border"
    assert bool((bins[:, 2:] >= bins[:, :2]).all())
    assert abs(float(bins[:, :2].float().mean()) - 24.5) < 1
    classes = torch.bincount(slots[:, 4] - PARTS.vocabulary["class"].start) / len(slots)
    torch.testing.assert_close(classes, torch.full((3,), 1 / 3), atol=0.04, rtol=0)


def test_more_objects_than_slots() -> None:
    task = Detection(PARTS)
    many = Targets(SIZE, instances([[i, 0, 50 + 2 * i, 50] for i in range(9)]))
    example = task.sample(many, seeded(), limit=1)
    assert example.real is not None
    assert bool(example.real.all())


def test_segmentation_takes_some_instances_at_random() -> None:
    task = Segmentation(PARTS)
    targets = Targets(SIZE, instances(BOXES, [2, 0, 1]))
    encoded = task.encode(targets)
    rows = {tuple(prompt): tokens for prompt, tokens in zip(encoded.prompts.tolist(), encoded.tokens, strict=True)}
    seen = set()
    for seed in range(30):
        example = task.sample(targets, seeded(seed), limit=2)
        assert len(set(map(tuple, example.prompts.tolist()))) == 2
        for prompt, tokens in zip(example.prompts.tolist(), example.tokens, strict=True):
            assert torch.equal(rows[tuple(prompt)], tokens)
            seen.add(tuple(prompt))
    assert len(seen) == 3
    assert len(task.sample(targets, seeded(), limit=10).tokens) == 3


def test_keypoints_take_labeled_instances_and_draw_the_other_joints_inside_the_box() -> None:
    task = Keypoints(PARTS)
    joints = torch.zeros(3, 2, 3)
    joints[1, 0] = torch.tensor([150.0, 60, 2])
    targets = Targets(SIZE, instances(BOXES, [0, 1, 2], keypoints=joints, joints=2), has_keypoints=True)
    places = set()
    for seed in range(40):
        example = task.sample(targets, seeded(seed), limit=2)
        assert example.weights.tolist() == [[1, 1, 1, 0, 0, 1]]
        x, y = (example.tokens[0, 3:5] - PARTS.vocabulary["coordinate"].start).tolist()
        assert 25 <= x <= 50
        assert 25 <= y <= 50
        places.add((x, y))
    assert len(places) > 20
    nobody = replace(targets, instances=instances(BOXES, joints=2))
    assert len(task.sample(nobody, seeded(), limit=2).tokens) == 0


def test_captions_are_the_references_and_padding_has_no_weight() -> None:
    task = Captioning(parts(tokenizer=Letters(), caption_length=4))
    examples = [
        task.sample(Targets(SIZE, captions=captions), seeded(), limit=1) for captions in (["ab"], list("abcdefg"))
    ]
    batch = collate(examples, task.format)
    start = task.format.end
    assert batch.tokens.shape == (2, 5, 4)
    assert (batch.tokens[0, 0] - start).tolist() == [1, 2, 0, 0]
    assert batch.weights.sum(-1).tolist() == [[4, 0, 0, 0, 0], [4] * 5]
    assert bool((batch.tokens[0, 1:] == start).all())
    assert bool((batch.prompts[0, 1:] == 0).all())
    assert batch.real is None


def test_depth_is_its_only_sequence() -> None:
    task = Depth(PARTS)
    targets = Targets(SIZE, depth=torch.rand(SIZE) * 5)
    assert torch.equal(task.sample(targets, seeded(), limit=1).tokens, task.encode(targets).tokens)


@pytest.mark.parametrize("sequences", [None, 1, 4])
def test_collate_pads_to_the_most_or_to_what_is_asked(sequences: int | None) -> None:
    form = Segmentation(PARTS).format
    examples = [
        TrainingExample(torch.ones(n, 6).long(), form.ids[:1].expand(n, form.length), torch.ones(n, form.length))
        for n in (2, 0)
    ]
    batch = collate(examples, form, sequences=sequences)
    assert batch.tokens.shape[1] == max(2, sequences or 0)
    assert batch.weights.sum() == 2 * form.length
    assert bool(form.columns_of(batch.tokens).ge(0).all())


def test_an_image_without_a_detection_sequence_has_no_object_and_no_weight() -> None:
    form = Detection(PARTS).format
    absent = TrainingExample(torch.zeros(0, 6).long(), torch.zeros(0, form.length).long(), torch.zeros(0, form.length))
    batch = collate([absent], form, sequences=1)
    assert batch.real is not None
    assert not bool(batch.real.any())
    assert float(batch.weights.sum()) == 0
