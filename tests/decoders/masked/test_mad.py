"""MAD: without ratios it is parallel, masked passes change what they masked. Parity holds the release's passes."""

from __future__ import annotations

import itertools

import pytest
import torch

from decoders.masked.mad import Mad
from decoders.masked.options import MadOptions, ParallelOptions
from decoders.masked.parallel import Parallel
from tasks.base import Task
from tasks.captioning import Captioning
from tasks.depth import Depth
from tasks.detection import Detection
from tasks.formats.sequence import TrainingBatch
from tasks.keypoints import Keypoints
from tasks.segmentation import Segmentation
from tests.decoders.tiny_networks import generators, make_memory, make_request, network, small_parts

PARTS = small_parts()
NETWORK = network(PARTS)
TASKS: list[Task] = [task(PARTS) for task in (Detection, Segmentation, Keypoints, Captioning, Depth)]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("scores", [False, True])
def test_without_ratios_mad_is_parallel(task: Task, scores: bool) -> None:
    request, memory = make_request(task.format, [2, 1]), make_memory(NETWORK, [0, 1])
    plain = Parallel(ParallelOptions(released_scores=scores)).decode(NETWORK, memory, request, generators([0, 1]))
    mad = Mad(MadOptions(ratios={}, released_scores=scores)).decode(NETWORK, memory, request, generators([0, 1]))
    assert torch.equal(plain.tokens, mad.tokens)
    assert torch.equal(plain.probabilities, mad.probabilities)
    assert (mad.evaluations, mad.positions) == (
        1,
        request.prompts.shape[0] * 2 * (task.format.prompt_length + task.format.length),
    )


def test_released_scores_are_shared_with_everything_before_the_words() -> None:
    task = TASKS[0]
    request, memory = make_request(task.format, [1]), make_memory(NETWORK, [0])
    paper = Parallel().decode(NETWORK, memory, request, [])
    other = Parallel(ParallelOptions(released_scores=True)).decode(NETWORK, memory, request, [])
    assert torch.equal(paper.tokens, other.tokens)
    torch.testing.assert_close(paper.probabilities.sum(-1), torch.ones(paper.tokens.shape))
    assert bool((other.probabilities.sum(-1) < 1 - 1e-3).all())


@pytest.mark.parametrize("ensemble", ["mean", "recursive", "newest"])
def test_the_ensemble_of_passes(ensemble: str) -> None:
    form = Captioning(PARTS).format
    options = MadOptions(ratios={"captioning": (0.8, 0.6)}, ensemble=ensemble)  # type: ignore[arg-type]
    request, memory = make_request(form, [1, 1]), make_memory(NETWORK, [0, 1])
    passes = Mad(options).passes(NETWORK, memory, request, generators([0, 1]))
    assert [int(done.masked[0, 0].sum()) for done in passes] == [7, 5, 4]
    predicted = []
    for done in passes:
        hidden = NETWORK.decode(memory, done.inputs)[:, :, form.prompt_length :]
        predicted.append(NETWORK.logits(hidden, form.ids).detach())
    one, two, three = predicted
    expected = torch.where(passes[1].masked[..., None], two if ensemble == "newest" else (one + two) / 2, one)
    torch.testing.assert_close(passes[1].logits, expected)
    twice = passes[1].masked[..., None]
    both = {
        "mean": torch.where(twice, (one + two + three) / 3, (one + three) / 2),
        "recursive": (expected + three) / 2,
        "newest": three,
    }[ensemble]
    torch.testing.assert_close(passes[2].logits, torch.where(passes[2].masked[..., None], both, expected))


def test_what_was_not_masked_goes_in_as_it_was_found() -> None:
    form = Captioning(PARTS).format
    request, memory = make_request(form, [1]), make_memory(NETWORK, [3])
    passes = Mad().passes(NETWORK, memory, request, generators([3]))
    assert len(passes) == 4
    for before, after in itertools.pairwise(passes):
        inputs = after.inputs[..., form.prompt_length :]
        best = form.ids[before.logits.argmax(-1)]
        assert torch.equal(inputs[~after.masked], best[~after.masked])
        assert bool((inputs[after.masked] == PARTS.vocabulary.id("mask")).all())


def test_the_paper_s_ratios_are_the_defaults() -> None:
    """Of 7 caption tokens 0.8, 0.6 and 0.4 mask 5, 4 and 2, of 9 keypoint tokens 0.7 masks 6; others take one pass."""
    counts = {}
    for task in TASKS:
        request, memory = make_request(task.format, [1]), make_memory(NETWORK, [0])
        passes = Mad().passes(NETWORK, memory, request, generators([0]))
        counts[task.name] = [int(done.masked[0, 0].sum()) for done in passes]
    assert counts["captioning"] == [7, 5, 4, 2] and counts["keypoints"] == [9, 6]
    assert all(len(counts[name]) == 1 for name in ("detection", "segmentation", "depth"))
    form = Keypoints(PARTS).format
    prompts = torch.zeros(1, 1, form.prompt_length, dtype=torch.int64)
    batch = TrainingBatch(prompts, form.ids[torch.zeros(1, 1, 9, dtype=torch.int64)], torch.ones(1, 1, 9))
    _, partly = Mad().training_views(NETWORK, form, batch, torch.Generator())
    assert int(partly.counted.sum()) == 6


def test_draws_replace_the_random_ones() -> None:
    form = Captioning(PARTS).format
    draws = torch.arange(7.0).flip(0).expand(1, 1, 1, 7)
    mad = Mad(MadOptions(ratios={"captioning": (0.3,)}))
    (_, second) = mad.passes(NETWORK, make_memory(NETWORK, [0]), make_request(form, [1]), draws=draws)
    assert second.masked[0, 0].tolist() == [False] * 5 + [True] * 2


@pytest.mark.parametrize("options", [{"ratios": {"a": (1.5,)}}, {"train_range": (0.7, 0.2)}, {"references": -1}])
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^mad: "):
        MadOptions(**options)  # type: ignore[arg-type]


def caption_batch() -> TrainingBatch:
    form = Captioning(PARTS).format
    tokens = form.ids[torch.randint(len(form.ids), (2, 5, form.length), generator=torch.Generator().manual_seed(0))]
    prompts = torch.zeros(2, 5, form.prompt_length, dtype=torch.int64)
    return TrainingBatch(prompts, tokens, torch.ones(tokens.shape))


def test_training_views_of_captions() -> None:
    form, batch = Captioning(PARTS).format, caption_batch()
    full, partly = Mad().training_views(NETWORK, form, batch, torch.Generator().manual_seed(0))
    mask = PARTS.vocabulary.id("mask")
    assert (full.inputs.shape[1], full.tokens.shape[1], full.matching) == (1, 5, "alternatives")
    assert bool(full.counted.all())
    assert ((full.inputs == mask).sum(-1) == form.length - 1).all(), "one mask token is overwritten, its loss stays"
    assert (partly.inputs.shape[1], partly.matching) == (5, "fixed")
    assert partly.counted.sum(-1).unique().tolist() == [4]
    inputs = partly.inputs[..., form.prompt_length :]
    assert torch.equal(inputs == mask, partly.counted)
    assert int((inputs != batch.tokens)[~partly.counted].sum()) > 0
    assert ((inputs != batch.tokens) & ~partly.counted).sum(-1).max() == 1


def test_training_options() -> None:
    form, batch = Captioning(PARTS).format, caption_batch()
    several = Mad(MadOptions(train_ratios=(0.3, 0.9), references=2, augment=False))
    full, *partly = several.training_views(NETWORK, form, batch, torch.Generator())
    assert [int(view.counted[0, 0].sum()) for view in partly] == [2, 6]
    assert {view.inputs.shape[1] for view in partly} == {2}
    assert bool((full.inputs[..., form.prompt_length :] == PARTS.vocabulary.id("mask")).all())
    spread = Mad(MadOptions(train_range=(0.0, 1.0))).training_views(NETWORK, form, batch, torch.Generator())
    assert len(spread) == 2
    assert len(spread[1].counted.sum(-1).unique()) > 1
