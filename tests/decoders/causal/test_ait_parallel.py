"""AiT-P: a pass for a run of dense tokens gives what steps give, and training shows the inputs of inference."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from decoders.causal.ait_parallel import AitParallel, passes
from decoders.causal.autoregressive import Autoregressive
from decoders.causal.options import AitParallelOptions
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
ENDS_SPARSE = replace(JOINT, task="reversed", slots=JOINT.slots[::-1])  # begins with dense positions
TASKS = (Detection, Segmentation, Keypoints, Captioning, Depth)
FORMATS = [*(task(PARTS).format for task in TASKS), JOINT, ENDS_SPARSE]
GREEDY: dict[str, float] = {}
SAMPLED = dict.fromkeys((form.task for form in FORMATS), 0.9)
START, PARALLEL = PARTS.vocabulary.id("start"), PARTS.vocabulary.id("parallel")

every_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.task)


def decoder(**options: object) -> AitParallel:
    return AitParallel(AitParallelOptions(**options))  # type: ignore[arg-type]


@every_format
@pytest.mark.parametrize("top_p", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_one_pass_for_a_run_gives_what_steps_give(form: SequenceFormat, top_p: dict[str, float]) -> None:
    request, memory = make_request(form, [2, 1]), make_memory(NETWORK, [0, 1])
    runs, steps = (
        decoder(one_pass=one, top_p=top_p).decode(NETWORK, memory, request, generators([0, 1])) for one in (True, False)
    )
    assert torch.equal(runs.tokens, steps.tokens)
    torch.testing.assert_close(runs.probabilities, steps.probabilities, atol=1e-5, rtol=1e-5)
    sparse = int((~form.dense).sum())
    assert runs.evaluations == sparse + bool(form.dense[0])
    assert steps.evaluations == form.length
    assert runs.positions == steps.positions


@every_format
def test_the_cache_changes_no_token(form: SequenceFormat) -> None:
    request, memory = make_request(form, [2, 1]), make_memory(NETWORK, [0, 1])
    cached, plain = (
        decoder(use_cache=use, one_pass=False, top_p=SAMPLED).decode(NETWORK, memory, request, generators([0, 1]))
        for use in (True, False)
    )
    assert torch.equal(cached.tokens, plain.tokens)
    torch.testing.assert_close(cached.probabilities, plain.probabilities, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("task", [Depth, Segmentation, Keypoints])
def test_whole_dense_sequences_are_one_pass(task: type[Depth]) -> None:
    form = task(PARTS).format
    decoded = decoder().decode(NETWORK, make_memory(NETWORK, [0]), make_request(form, [2]), generators([0]))
    assert decoded.evaluations == 1
    assert decoded.positions == 2 * (form.prompt_length + form.length)


@pytest.mark.parametrize("task", [Detection, Captioning])
def test_sparse_sequences_are_autoregressive(task: type[Detection]) -> None:
    form = task(PARTS).format
    request, memory = make_request(form, [2, 1]), make_memory(NETWORK, [0, 1])
    decoded = decoder(top_p=GREEDY).decode(NETWORK, memory, request, [])
    plain = Autoregressive().decode(NETWORK, memory, request, [])
    assert torch.equal(decoded.tokens, plain.tokens)
    torch.testing.assert_close(decoded.probabilities, plain.probabilities, atol=1e-6, rtol=1e-5)
    assert (decoded.evaluations, decoded.positions) == (plain.evaluations, plain.positions)


def test_a_pass_begins_at_every_sparse_position_and_at_the_first() -> None:
    assert passes(JOINT) == [(0, 1), (1, 2), (2, 6), (6, 7), (7, 8), (8, 12)]
    assert passes(ENDS_SPARSE) == [(0, 3), (3, 4), (4, 5), (5, 9), (9, 10), (10, 11), (11, 12)]
    assert passes(JOINT, one_pass=False) == [(place, place + 1) for place in range(12)]


def training_batch(form: SequenceFormat, prompts: torch.Tensor, tokens: torch.Tensor) -> TrainingBatch:
    return TrainingBatch(prompts, tokens, torch.ones(tokens.shape))


def test_inputs_are_parallel_where_dense_tokens_are_predicted_and_hard_elsewhere() -> None:
    tokens = torch.stack([slot.ids[:1] for slot in JOINT.slots] * 2, dim=-1).view(1, 1, -1) + torch.arange(12) % 2
    prompts = torch.tensor([[[1, 2]]])
    (view,) = decoder().training_views(NETWORK, JOINT, training_batch(JOINT, prompts, tokens), torch.Generator())
    t = tokens[0, 0].tolist()
    p = PARALLEL
    assert view.inputs.tolist() == [[[1, 2, START, t[0], t[1], p, p, p, t[5], t[6], t[7], p, p, p]]]
    assert view.attention == "causal"
    backwards = training_batch(ENDS_SPARSE, prompts, tokens.flip(-1))
    (view,) = decoder().training_views(NETWORK, ENDS_SPARSE, backwards, torch.Generator())
    r = tokens.flip(-1)[0, 0].tolist()
    assert view.inputs.tolist() == [[[1, 2, START, p, p, r[2], r[3], r[4], p, p, p, r[8], r[9], r[10]]]]


@every_format
@torch.no_grad()
def test_training_shows_the_inputs_of_inference(form: SequenceFormat) -> None:
    if form.matching == "groups":
        form = replace(form, matching="fixed")  # the order of the decoded groups is to be kept
    request, memory = make_request(form, [2]), make_memory(NETWORK, [3])
    decoded = decoder(top_p=SAMPLED).decode(NETWORK, memory, request, generators([3]))
    batch = training_batch(form, request.prompts, decoded.tokens)
    (view,) = decoder().training_views(NETWORK, form, batch, torch.Generator())
    hidden = NETWORK.decode(memory, view.inputs, attention=view.attention)[:, :, form.prompt_length :]
    logits = NETWORK.logits(hidden, form.ids)
    sparse = ~form.dense
    torch.testing.assert_close(logits.softmax(-1)[:, :, sparse], decoded.probabilities[:, :, sparse], atol=1e-5, rtol=0)
    mixtures = logits.masked_fill(~form.legal, -torch.inf).softmax(-1)
    torch.testing.assert_close(mixtures[:, :, form.dense], decoded.probabilities[:, :, form.dense], atol=1e-5, rtol=0)


def test_dense_tokens_are_the_likeliest_and_sparse_ones_are_drawn() -> None:
    request, memory = make_request(JOINT, [3]), make_memory(NETWORK, [0])
    first, second = (decoder(top_p=SAMPLED).decode(NETWORK, memory, request, generators([n])) for n in (0, 1))
    assert not torch.equal(first.tokens[..., ~JOINT.dense], second.tokens[..., ~JOINT.dense])
    for decoded in (first, second):
        best = decoded.probabilities.masked_fill(~JOINT.legal, -1).argmax(-1)
        assert torch.equal(JOINT.columns_of(decoded.tokens)[..., JOINT.dense], best[..., JOINT.dense])


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


def test_soft_reading_and_the_loss_through_the_detokeniser_are_options() -> None:
    assert AitParallel.formats == {"segmentation": "codes", "depth": "codes"}
    form = Depth(PARTS).format
    request, memory = make_request(form, [1]), make_memory(NETWORK, [0])
    for soft in (True, False):
        assert decoder(soft_output=soft).decode(NETWORK, memory, request, []).soft is soft
    tokens = form.ids[:1].expand(1, 1, form.length)
    training = replace(training_batch(form, request.prompts, tokens), originals=torch.ones(1, 1, 4, 4))
    for weights, weight in (({}, 0.0), ({"depth": 0.5}, 0.5)):
        (view,) = decoder(dense_weight=weights).training_views(NETWORK, form, training, torch.Generator())
        assert view.dense_weight == weight
        assert view.originals is training.originals


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^ait-parallel: top_p of joint is -0.1"):
        decoder(top_p={"joint": -0.1})
