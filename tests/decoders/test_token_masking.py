"""Masks: exact counts, own draws per row and image, and the release's ranking of groups."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from decoders.base import View
from decoders.token_masking import (
    fully_masked_view,
    image_draws,
    lowest,
    masked_count,
    partly_masked_view,
    random_mask,
    ranked_by_last_slot,
    with_random_word,
)
from tasks.captioning import Captioning
from tasks.detection import Detection
from tasks.formats.sequence import TrainingBatch
from tasks.keypoints import Keypoints
from tests.decoders.tiny_networks import small_parts


@pytest.mark.parametrize(
    ("length", "ratio", "count"),
    [(500, 0.7, 350), (256, 0.7, 179), (51, 0.7, 35), (20, 0.7, 14), (20, 0.8, 16), (20, 0.6, 12), (20, 0.4, 8)],
)
def test_the_released_counts(length: int, ratio: float, count: int) -> None:
    assert masked_count(length, ratio) == count
    masked = random_mask((3, 2, length), ratio, torch.Generator().manual_seed(0))
    assert masked.sum(-1).unique().tolist() == [count]
    assert not torch.equal(masked[0, 0], masked[1, 0])


def test_a_range_gives_every_row_its_own_ratio() -> None:
    counts = random_mask((400, 100), (0.2, 0.6), torch.Generator().manual_seed(0)).sum(-1)
    assert 20 <= int(counts.min()) < 25
    assert 55 < int(counts.max()) <= 60


def test_lowest_takes_the_first_of_equals() -> None:
    assert lowest(torch.tensor([0.5, 0.1, 0.1, 0.9]), 2).tolist() == [False, True, True, False]
    assert lowest(torch.tensor([[1.0, 1], [1, 1]]), torch.tensor([1, 0])).tolist() == [[True, False], [False, False]]


def test_images_draw_the_same_in_any_batch() -> None:
    def draws(valid: list[list[bool]], seeds: list[int]) -> torch.Tensor:
        return image_draws(torch.tensor(valid), 4, 2, [torch.Generator().manual_seed(seed) for seed in seeds])

    together = draws([[True, True, False], [True, True, True]], [1, 2])
    alone = draws([[True, True]], [1])
    assert torch.equal(together[:, 0, :2], alone[:, 0])
    assert float(together[:, 0, 2].sum()) == 0


def test_joints_are_ranked_by_their_visibility() -> None:
    form = Keypoints(small_parts()).format
    scores = torch.tensor([[[0.1, 0.2, 0.9, 0.8, 0.7, 0.3, 0.5, 0.6, 0.4]]])
    expected = [0.9, 0.9, 1, 0.3, 0.3, 1, 0.4, 0.4, 1]
    torch.testing.assert_close(ranked_by_last_slot(scores, form), torch.tensor([[expected]]))


def test_other_formats_keep_their_scores() -> None:
    for task in (Detection(small_parts()), Captioning(small_parts())):
        scores = torch.rand(1, 1, task.format.length)
        assert ranked_by_last_slot(scores, task.format) is scores


def test_everything_can_be_masked_by_a_whole_number() -> None:
    assert bool(random_mask((2, 3, 5), 1, torch.Generator()).all())
    assert not bool(random_mask((2, 3, 5), 0, torch.Generator()).any())


def test_one_candidate_of_each_sequence_becomes_a_random_word() -> None:
    form = Captioning(small_parts()).format
    inputs = torch.full((50, 2, form.prompt_length + form.length), -1)
    candidates = torch.zeros(50, 2, form.length, dtype=torch.bool)
    candidates[..., 2:4] = True
    candidates[-1] = False
    changed = with_random_word(form, inputs, candidates, torch.Generator().manual_seed(0))
    places = (changed != -1)[..., form.prompt_length :]
    assert places.sum(-1)[:-1].unique().tolist() == [1]
    assert not bool(places[-1].any()), "nothing may be overwritten there"
    assert set(places.nonzero()[:, 2].tolist()) == {2, 3}
    assert bool(torch.isin(changed[changed != -1], form.ids).all())


def views_of(task: Any) -> tuple[View, View]:
    """The fully masked view of a batch of an image with two sequences, and the one in which half is masked."""
    form = task.format
    tokens = form.ids[torch.zeros(1, 2, form.length, dtype=torch.int64)]
    prompts = torch.zeros(1, 2, form.prompt_length, dtype=torch.int64)
    real = torch.ones(1, 2, form.groups, dtype=torch.bool)
    batch = TrainingBatch(prompts=prompts, tokens=tokens, weights=torch.ones(tokens.shape), real=real)
    network = SimpleNamespace(vocabulary=SimpleNamespace(id=lambda name: -1))
    return fully_masked_view(network, form, batch), partly_masked_view(network, form, batch, 0.5, torch.Generator())


def test_objects_are_matched_again_in_partly_masked_copies() -> None:
    for task, whole, partly in (
        (Detection(small_parts()), "groups", "groups"),
        (Keypoints(small_parts()), "fixed", "fixed"),
        (Captioning(small_parts()), "alternatives", "fixed"),
    ):
        first, second = views_of(task)
        assert (first.matching, second.matching) == (whole, partly)
        assert first.inputs.shape[1] == (1 if whole == "alternatives" else 2) and second.inputs.shape[1] == 2
        targets = second.inputs[..., task.format.prompt_length :]
        assert torch.equal(targets == -1, second.counted) and second.real is not None
        assert second.counted.sum(-1).tolist() == [[task.format.length // 2] * 2]
