"""AiT: soft tokens go in where positions are dense and nowhere else, and come out as mixtures of legal tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from decoders.causal.ait import Ait
from decoders.causal.autoregressive import Autoregressive
from decoders.causal.options import AitOptions
from decoders.objective import mean, view_loss
from tasks.captioning import Captioning
from tasks.depth import Depth
from tasks.detection import Detection
from tasks.formats.sequence import SequenceFormat, TrainingBatch
from tasks.keypoints import Keypoints
from tasks.segmentation import Segmentation
from tests.decoders.tiny_networks import generators, joint, make_memory, make_request, network, small_parts

PARTS = small_parts()
NETWORK = network(PARTS)
JOINT = joint(PARTS)
FORMATS = [*(task(PARTS).format for task in (Detection, Segmentation, Keypoints, Captioning, Depth)), JOINT]
GREEDY: dict[str, float] = {}
SAMPLED = dict.fromkeys((form.task for form in FORMATS), 0.9)

every_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.task)


def decoder(**options: object) -> Ait:
    return Ait(AitOptions(**options))  # type: ignore[arg-type]


@every_format
@pytest.mark.parametrize("top_p", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_the_cache_changes_no_token(form: SequenceFormat, top_p: dict[str, float]) -> None:
    request, memory = make_request(form, [2, 1]), make_memory(NETWORK, [0, 1])
    cached, plain = (
        decoder(use_cache=use, top_p=top_p).decode(NETWORK, memory, request, generators([0, 1]))
        for use in (True, False)
    )
    assert torch.equal(cached.tokens, plain.tokens)
    torch.testing.assert_close(cached.probabilities, plain.probabilities, atol=1e-5, rtol=1e-4)
    assert cached.evaluations == plain.evaluations == form.length
    assert cached.positions < plain.positions


@every_format
def test_without_soft_tokens_it_is_autoregressive(form: SequenceFormat) -> None:
    request, memory = make_request(form, [2, 1]), make_memory(NETWORK, [0, 1])
    hard = decoder(soft_input=False, soft_output=False, top_p=GREEDY).decode(NETWORK, memory, request, [])
    plain = Autoregressive().decode(NETWORK, memory, request, [])
    assert torch.equal(hard.tokens, plain.tokens)
    assert (hard.evaluations, hard.positions) == (plain.evaluations, plain.positions)
    assert not hard.soft


def by_hand(form: SequenceFormat, prompts: Tensor, memory: object) -> tuple[Tensor, Tensor]:
    """Likeliest tokens (B, N, L) and logits (B, N, L, V) of a loop that knows no cache and no slots."""
    table = NETWORK.embedding.table.weight
    start = torch.full((*prompts.shape[:2], 1), PARTS.vocabulary.id("start"))
    inputs = table[torch.cat([prompts, start], dim=-1)]  # (B, N, P + 1, D)
    tokens, all_logits = [], []
    for step in range(form.length):
        hidden = NETWORK.decode(memory, inputs, attention="causal")[:, :, -1]  # type: ignore[arg-type]
        logits = NETWORK.logits(hidden, form.ids)
        legal = logits.masked_fill(~form.legal[step], -torch.inf)
        tokens.append(form.ids[legal.argmax(-1)])
        all_logits.append(logits)
        after = legal.softmax(-1) @ table[form.ids] if form.dense[step] else table[tokens[-1]]
        inputs = torch.cat([inputs, after[:, :, None]], dim=2)
    return torch.stack(tokens, -1), torch.stack(all_logits, 2)


@every_format
@torch.no_grad()
def test_dense_positions_pass_the_mean_of_legal_embeddings_on(form: SequenceFormat) -> None:
    request, memory = make_request(form, [2]), make_memory(NETWORK, [4])
    decoded = decoder(top_p=GREEDY).decode(NETWORK, memory, request, [])
    tokens, logits = by_hand(form, request.prompts, memory)
    assert torch.equal(decoded.tokens, tokens)
    torch.testing.assert_close(decoded.probabilities[:, :, ~form.dense], logits.softmax(-1)[:, :, ~form.dense])
    mixtures = logits.masked_fill(~form.legal, -torch.inf).softmax(-1)
    torch.testing.assert_close(
        decoded.probabilities[:, :, form.dense], mixtures[:, :, form.dense], atol=1e-6, rtol=1e-4
    )


def test_the_answer_says_whether_it_is_to_be_read_softly() -> None:
    request, memory = make_request(JOINT, [1]), make_memory(NETWORK, [0])
    for soft in (True, False):
        assert decoder(soft_output=soft).decode(NETWORK, memory, request, generators([0])).soft is soft


def test_soft_input_changes_what_follows() -> None:
    request, memory = make_request(JOINT, [2]), make_memory(NETWORK, [0])
    soft, hard = (
        decoder(soft_input=soft, top_p=GREEDY).decode(NETWORK, memory, request, []).probabilities
        for soft in (True, False)
    )
    torch.testing.assert_close(soft[:, :, :4], hard[:, :, :4])
    assert float((soft[:, :, 4:] - hard[:, :, 4:]).abs().max()) > 1e-4


def test_only_what_is_read_hard_is_drawn() -> None:
    request, memory = make_request(JOINT, [3]), make_memory(NETWORK, [0])
    first, second = (decoder(top_p=SAMPLED).decode(NETWORK, memory, request, generators([n])) for n in (0, 1))
    assert not torch.equal(first.tokens, second.tokens)
    for decoded in (first, second):
        best = decoded.probabilities.masked_fill(~JOINT.legal, -1).argmax(-1)
        assert torch.equal(JOINT.columns_of(decoded.tokens)[..., JOINT.dense], best[..., JOINT.dense])
    hard = decoder(top_p=SAMPLED, soft_input=False).decode(NETWORK, memory, request, generators([0]))
    best = hard.probabilities.masked_fill(~JOINT.legal, -1).argmax(-1)
    assert not torch.equal(JOINT.columns_of(hard.tokens)[..., JOINT.dense], best[..., JOINT.dense])


@every_format
def test_a_batch_gives_what_its_images_give(form: SequenceFormat) -> None:
    sampled = decoder(top_p=SAMPLED)
    batched = sampled.decode(NETWORK, make_memory(NETWORK, [0, 1]), make_request(form, [2, 1]), generators([0, 1]))
    for image, count in ((0, 2), (1, 1)):
        alone = sampled.decode(NETWORK, make_memory(NETWORK, [image]), make_request(form, [count]), generators([image]))
        assert torch.equal(alone.tokens[0], batched.tokens[image, :count])
        torch.testing.assert_close(alone.probabilities[0], batched.probabilities[image, :count], atol=1e-5, rtol=1e-4)


def test_no_sequences() -> None:
    decoded = decoder().decode(NETWORK, make_memory(NETWORK, [0, 1]), make_request(JOINT, [0, 0]), generators([0, 1]))
    assert decoded.tokens.shape == (2, 0, JOINT.length)
    assert decoded.evaluations == 0


@pytest.mark.parametrize(
    "options", [{"top_p": {"depth": 1.5}}, {"dense_weight": {"depth": -1.0}}, {"dense_weight": {"depth": float("nan")}}]
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^ait: .* of depth is"):
        decoder(**options)


def batch(form: SequenceFormat, originals: Tensor | None) -> TrainingBatch:
    """Two images with a sequence each, the second one of no weight, of legal tokens."""
    tokens = torch.stack([slot.ids[1] for slot in form.slots]).repeat(form.groups).expand(2, 1, -1)
    weights = torch.ones(tokens.shape)
    weights[1] = 0
    prompts = torch.zeros(2, 1, form.prompt_length, dtype=torch.int64)
    return TrainingBatch(prompts, tokens, weights, originals=originals)


def expected_code(logits: Tensor, originals: Tensor) -> Tensor:
    """Squared error of the mean code of the dense positions: a stand-in for a detokenizer."""
    codes = JOINT.column(PARTS.vocabulary["depth_bin"])
    shares = logits[:, JOINT.dense][..., codes].softmax(-1)  # (R, dense, K)
    values = shares @ torch.arange(shares.shape[-1]).float()
    return (values - originals).square().mean()


def test_the_auxiliary_loss_is_added_and_reaches_only_the_legal_logits_of_dense_positions() -> None:
    form = replace(JOINT, dense_loss=expected_code)
    originals = torch.full((2, 1, int(form.dense.sum())), 2.0)
    views = {
        weight: decoder(dense_weight={"joint": weight}).training_views(
            NETWORK, form, batch(form, originals), torch.Generator()
        )[0]
        for weight in (0.0, 3.0)
    }
    hidden = torch.randn(2, 2, 1, form.prompt_length + form.length, len(form.ids))  # the head is the identity
    losses, gradients = [], []
    for view in views.values():
        leaf = hidden.clone().requires_grad_()
        loss = mean(*view_loss(form, view, leaf, lambda logits: logits))
        loss.backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        losses.append(loss.detach())
        gradients.append(leaf.grad)
    last = hidden[-1, :1, 0, form.prompt_length :]  # only the first image's sequence has weight
    share = float(form.dense.float().mean())  # it counts once for every dense token
    torch.testing.assert_close(losses[1] - losses[0], 3.0 * share * expected_code(last, originals[0]))
    touched = ((gradients[1] - gradients[0]).abs() > 1e-8)[..., form.prompt_length :, :]  # (Y, B, N, L, V)
    assert not bool(touched[0].any()), "only the last layer"
    assert not bool(touched[-1, 1].any()), "only sequences with weight"
    codes = torch.zeros_like(touched[-1, 0, 0])
    codes[:, form.column(PARTS.vocabulary["depth_bin"])] = True
    assert torch.equal(touched[-1, 0, 0], codes & form.dense[:, None])


def test_training_is_teacher_forcing_with_hard_tokens() -> None:
    training = batch(JOINT, None)
    (view,) = decoder().training_views(NETWORK, JOINT, training, torch.Generator())
    (plain,) = Autoregressive().training_views(NETWORK, JOINT, training, torch.Generator())
    assert torch.equal(view.inputs, plain.inputs)
    assert torch.equal(view.tokens, plain.tokens)
    assert (view.attention, view.dense_weight) == ("causal", 0.0)


def test_depth_and_masks_train_through_their_detokenizers() -> None:
    assert Ait.formats == {"segmentation": "codes", "depth": "codes"}
    form = Depth(PARTS).format
    (view,) = decoder().training_views(NETWORK, form, batch(form, torch.ones(2, 1, 4, 4)), torch.Generator())
    assert view.dense_weight == 1.0
    assert view.originals is not None
