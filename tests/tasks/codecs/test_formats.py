"""Formats of learned codes: what goes in comes out as the codec alone would give it, hard, soft and as a loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.base import Task, TaskParts
from tasks.codecs.formats import DepthCodes, MaskCodes, fitted
from tasks.codecs.losses import dice, mask_loss, silog
from tasks.codecs.options import CodecOptions
from tasks.codecs.vqvae import Codec
from tasks.depth import Depth
from tasks.formats.sequence import Decoded, one_hot
from tasks.formats.vocabulary import Sizes, Vocabulary
from tasks.segmentation import Segmentation
from tasks.targets import Context, Targets
from tests.tasks.task_examples import CLASSES, instances, perfect

K = 6
SIZES = Sizes(classes=len(CLASSES), bins=50, slots=6, words=30, depth_grid=(2, 3))
PARTS = TaskParts(Vocabulary(SIZES, extra={"mask_code": K, "depth_code": K}), SIZES, CLASSES, None)
SIZE = (100, 200)


def codec(values: str, ratio: int) -> Codec:
    torch.manual_seed(0)
    side = 16
    made = Codec(CodecOptions(values=values, side=side, ratio=ratio, width=3, blocks=1, codes=K, code_width=4))  # type: ignore[arg-type]
    for parameter in made.parameters():  # weights as large as after some training, so that maps differ
        torch.nn.init.kaiming_normal_(parameter) if parameter.dim() > 1 else torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


MASKS, DEPTHS = codec("unit", 4), codec("metres", 8)
SEGMENTATION = Segmentation(PARTS, masks=MaskCodes(PARTS.vocabulary["mask_code"], MASKS))
DEPTH = Depth(PARTS, depths=DepthCodes(PARTS.vocabulary["depth_code"], DEPTHS, grid=SIZES.depth_grid))
OBJECTS = Targets(SIZE, instances([[20, 12, 100, 60], [0, 0, 200, 100]], [0, 1], segmentations=[
    [[20, 12, 100, 12, 60, 60]], [[0, 0, 200, 0, 200, 100]]]))  # fmt: skip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def depth_map(height: int = 16, width: int = 24, seed: int = 0) -> Tensor:
    return torch.rand(height, width, generator=seeded(seed)) * 9 + 0.5


def logits_of(task: Task, sequences: int, seed: int = 0) -> Tensor:
    return torch.randn(sequences, task.format.length, len(task.format.ids), generator=seeded(seed)) * 2


def test_a_mask_is_a_grid_of_dense_codes() -> None:
    form = SEGMENTATION.format
    assert (form.length, form.groups, len(form.ids)) == (16, 4, K)
    assert bool(form.dense.all())
    assert {r.name for r in form.ranges} == {"mask_code"}
    assert bool(form.legal.all())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(0, 4))
def test_masks_come_back_as_from_the_codec_alone(seed: int, count: int) -> None:
    masks = torch.rand(count, 16, 16, generator=seeded(seed)) < 0.5
    own = MaskCodes(PARTS.vocabulary["mask_code"], MASKS)
    tokens = own.encode(masks)
    assert tokens.shape == (count, 16)
    decoded = Decoded(tokens, one_hot(SEGMENTATION.format, tokens), 0, 0)
    found = own.decode(decoded, SEGMENTATION.format)
    with torch.no_grad():
        expected = MASKS.decode(MASKS.encode(masks)) if count else torch.zeros(0, 16, 16)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(16, 40), st.integers(24, 60))
def test_depths_come_back_as_from_the_codec_alone_at_the_image_s_size(seed: int, height: int, width: int) -> None:
    depth = depth_map(height, width, seed)
    found = perfect(DEPTH, Targets((height, width), depth=depth))
    assert found.shape == (height, width)
    if (height, width) == (16, 24):
        torch.testing.assert_close(found, DEPTHS.decode(DEPTHS.encode(depth[None]))[0], atol=1e-5, rtol=1e-5)


def test_a_depth_map_need_not_be_square() -> None:
    assert (DEPTH.format.groups, DEPTH.format.length) == (2, 6)
    encoded = DEPTH.encode(Targets((16, 24), depth=depth_map()))
    expected = DEPTHS.encode(depth_map()[None]).flatten() + PARTS.vocabulary["depth_code"].start
    assert torch.equal(encoded.tokens[0], expected)
    assert encoded.weights.tolist() == [[1.0] * 6]
    assert DEPTH.encode(Targets((16, 24), depth=torch.zeros(16, 24))).weights.sum() == 0


def test_what_a_map_is_encoded_with_does_not_matter() -> None:
    masks = torch.rand(5, 16, 16, generator=seeded(3)) < 0.5
    together = MaskCodes(PARTS.vocabulary["mask_code"], MASKS).encode(masks)
    fresh = MaskCodes(PARTS.vocabulary["mask_code"], MASKS)
    alone = torch.cat([fresh.encode(one[None]) for one in masks.flip(0)]).flip(0)
    assert torch.equal(together, alone)
    assert torch.equal(fresh.encode(masks), together), "kept codes are the same codes"


def test_a_format_s_codec_is_its_own() -> None:
    changed = codec("unit", 4)
    own = MaskCodes(PARTS.vocabulary["mask_code"], changed)
    masks = torch.rand(3, 16, 16, generator=seeded(4)) < 0.5
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.zero_()
    assert torch.equal(own.encode(masks), MaskCodes(PARTS.vocabulary["mask_code"], MASKS).encode(masks))


def test_a_range_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'class' has 3 ids for 6 codes"):
        MaskCodes(PARTS.vocabulary["class"], MASKS)


@pytest.mark.parametrize("task", [SEGMENTATION, DEPTH], ids=["masks", "depth"])
def test_codes_are_mixed_only_where_that_is_asked(task: Task) -> None:
    own = task._masks if isinstance(task, Segmentation) else task._depths  # type: ignore[attr-defined]
    probabilities = logits_of(task, 1).softmax(-1)
    tokens = task.format.ids[probabilities.argmax(-1)]
    hard = Decoded(tokens, probabilities, 1, 0)
    certain = Decoded(tokens, one_hot(task.format, tokens), 1, 0)
    torch.testing.assert_close(own.decode(hard, task.format), own.decode(certain, task.format))
    torch.testing.assert_close(
        own.decode(replace(certain, soft=True), task.format), own.decode(hard, task.format), atol=1e-5, rtol=1e-5
    )
    mixed = own.decode(replace(hard, soft=True), task.format)
    assert not torch.allclose(mixed, own.decode(hard, task.format), atol=1e-4)


def test_depths_are_mixed_at_the_release_s_temperature() -> None:
    logits = logits_of(DEPTH, 1)
    decoded = Decoded(DEPTH.format.ids[logits.argmax(-1)], logits.softmax(-1), 1, 0, soft=True)
    shares = (0.8 * logits).softmax(-1).view(1, 2, 3, K)
    found = DEPTH.interpret(decoded, Context((16, 24)))
    torch.testing.assert_close(found, DEPTHS.decode_soft(shares)[0].detach(), atol=1e-4, rtol=1e-4)


def test_samples_carry_what_their_tokens_were_made_from() -> None:
    example = SEGMENTATION.sample(OBJECTS, seeded(), limit=1)
    assert example.originals is not None
    assert example.originals.shape == (1, 16, 16)
    again = MaskCodes(PARTS.vocabulary["mask_code"], MASKS).encode(example.originals)
    assert torch.equal(again, example.tokens)
    depth = DEPTH.sample(Targets((16, 24), depth=depth_map()), seeded(), limit=1)
    assert depth.originals is not None
    assert torch.equal(depth.originals[0], depth_map())
    assert Segmentation(PARTS).sample(OBJECTS, seeded(), limit=1).originals is None
    assert Depth(PARTS).sample(Targets((16, 24), depth=depth_map()), seeded(), limit=1).originals is None


@pytest.mark.parametrize("task", [SEGMENTATION, DEPTH], ids=["masks", "depth"])
def test_the_dense_loss_is_that_of_the_soft_map_and_reaches_the_logits(task: Task) -> None:
    targets = OBJECTS if task is SEGMENTATION else Targets((16, 24), depth=depth_map())
    originals = task.sample(targets, seeded(), limit=2).originals
    assert originals is not None
    assert task.format.dense_loss is not None
    logits = logits_of(task, len(originals)).requires_grad_()
    loss = task.format.dense_loss(logits, originals)
    if task is SEGMENTATION:
        found = MASKS.decode_soft(logits.softmax(-1).view(-1, 4, 4, K))
        expected = mask_loss(found, originals.float())
    else:
        expected = silog(DEPTHS.decode_soft((0.8 * logits).softmax(-1).view(-1, 2, 3, K)), originals)
    torch.testing.assert_close(loss, expected)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert float(logits.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in (*MASKS.parameters(), *DEPTHS.parameters()))


def test_plain_formats_have_no_dense_loss() -> None:
    assert Segmentation(PARTS).format.dense_loss is None
    assert Depth(PARTS).format.dense_loss is None


@settings(deadline=None)
@given(st.integers(0, 2**31), st.floats(0.3, 3.0))
def test_silog_forgives_half_of_a_scale_and_ignores_what_is_unknown(seed: int, scale: float) -> None:
    truth = depth_map(seed=seed)
    truth[:4] = 0
    found = truth * scale
    found[:4] = 5.0
    expected = abs(torch.tensor(scale).log().item()) * 0.5**0.5
    assert float(silog(found, truth)) == pytest.approx(expected, abs=2e-3)


def test_silog_has_a_gradient_at_perfection_and_without_truth() -> None:
    for truth in (depth_map(), torch.zeros(16, 24)):
        found = depth_map().requires_grad_()
        silog(found, truth).backward()  # type: ignore[no-untyped-call]
        assert found.grad is not None
        assert bool(found.grad.isfinite().all())
    assert float(silog(torch.full((2, 2), -1.0), torch.ones(2, 2))) == pytest.approx(6.9078 * 0.5**0.5, rel=1e-3)


def test_dice_is_nothing_at_perfection_and_one_at_the_opposite() -> None:
    mask = (torch.rand(3, 16, 16, generator=seeded()) < 0.5).float()
    assert float(dice(mask, mask)) == pytest.approx(0, abs=1e-6)
    assert float(dice(1 - mask, mask)) > 0.99
    assert float(dice(mask * 7 - 3, mask)) == pytest.approx(0, abs=1e-6), "cut to [0, 1]"
    assert float(mask_loss(mask + 1, mask)) > 1, "squared error is of what is not cut"


def test_dice_counts_one_shared_pixel_more() -> None:
    """(2 * 1 + 1) / (1 + 2 + 1) of the mask; two empty masks overlap."""
    assert float(dice(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 1.0]]]))) == pytest.approx(0.25)
    assert float(dice(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))) == 0


def test_a_map_is_fitted_by_the_mean_of_its_known_pixels() -> None:
    depth = torch.tensor([[1.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 8.0]])
    torch.testing.assert_close(fitted(depth, (1, 2)), torch.tensor([[2.0, 8.0]]))
    torch.testing.assert_close(fitted(depth, (2, 4)), depth)
    torch.testing.assert_close(fitted(torch.zeros(3, 3), (2, 2)), torch.zeros(2, 2))
    assert fitted(depth_map(7, 9), (16, 24)).shape == (16, 24)
