"""The VQ-VAE: sizes as in the paper, codes to maps and back, a codebook that follows, and codes that die or revive."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.codecs.options import CodecOptions
from tasks.codecs.vector_quantizer import VectorQuantizer
from tasks.codecs.vqvae import Codec, released_tensors, tempered
from tasks.errors import TaskError

SMALL = CodecOptions(values="metres", side=16, ratio=8, width=2, blocks=1, codes=6, code_width=5)


def codec(options: CodecOptions = SMALL, *, revive: float = 0.0) -> Codec:
    torch.manual_seed(0)
    return Codec(options, revive=revive)


def maps(count: int, height: int = 16, width: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(count, height, width, generator=torch.Generator().manual_seed(seed)) * 9 + 0.5


@pytest.mark.parametrize(
    ("options", "millions"),
    [
        (CodecOptions(), 7.75),
        (CodecOptions(values="unit", side=64, ratio=16), 2.05),
    ],
)
def test_the_defaults_have_the_size_of_the_release(options: CodecOptions, millions: float) -> None:
    made = codec(options)
    count = sum(p.numel() for p in made.parameters()) + made.quantiser.embedding.numel()
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("ratio", [2, 4, 16, 32])
def test_maps_of_any_size_that_the_ratio_divides_come_back_at_it(ratio: int) -> None:
    made = codec(CodecOptions(side=ratio, ratio=ratio, width=1, blocks=0, codes=4, code_width=3)).eval()
    given = maps(2, 3 * ratio, 4 * ratio)
    codes = made.encode(given)
    assert codes.shape == (2, 3, 4)
    assert made.decode(codes).shape == given.shape
    assert made.grid((3 * ratio, 4 * ratio)) == (3, 4)
    with pytest.raises(TaskError, match=f"ratio {ratio}.*give multiples"):
        made.encode(maps(1, ratio, ratio + 1))


def test_a_whole_frame_of_nyu_has_15_by_20_codes() -> None:
    made = codec(CodecOptions(width=1, blocks=0, codes=4, code_width=3)).eval()
    assert made.encode(maps(1, 480, 640)).shape == (1, 15, 20)


@pytest.mark.parametrize("wrong", [{"ratio": 12}, {"ratio": 1}, {"side": 100}, {"codes": 0}, {"blocks": -1}])
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give"):
        CodecOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", ["unit", "metres", "log"])
def test_certain_shares_decode_as_their_codes(values: str) -> None:
    made = codec(CodecOptions(values=values, side=16, ratio=8, width=2, codes=6, code_width=5)).eval()  # type: ignore[arg-type]
    codes = torch.randint(0, 6, (3, 2, 2), generator=torch.Generator().manual_seed(1))
    certain = torch.nn.functional.one_hot(codes, 6).float()
    torch.testing.assert_close(made.decode_soft(certain), made.decode(codes))
    torch.testing.assert_close(made.outwards(made.inwards(maps(1))), maps(1))


def test_an_unknown_depth_is_nearer_than_any_known_where_the_network_sees_logarithms() -> None:
    made = codec(CodecOptions(values="log", side=16, ratio=8, width=2, codes=6, code_width=5))
    seen = made.inwards(torch.tensor([0.0, 0.05, 1.0]))
    assert seen.tolist() == pytest.approx([-3.0, -2.9957, 0.0], abs=1e-4)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 3.0))
def test_tempered_shares_are_those_of_tempered_logits(seed: int, temperature: float) -> None:
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(seed)) * 3
    shares = tempered(logits.softmax(-1)[:, :5], temperature)  # the others are not this task's
    torch.testing.assert_close(shares, (logits[:, :5] * temperature).softmax(-1), atol=1e-5, rtol=1e-4)
    powers = logits.softmax(-1)[:, :5] ** temperature
    torch.testing.assert_close(shares, powers / powers.sum(-1, keepdim=True), atol=1e-5, rtol=1e-4)


def test_certainty_stays_certain_at_any_temperature() -> None:
    assert tempered(torch.tensor([0.0, 1.0, 0.0]), 0.8).argmax() == 1
    assert bool(tempered(torch.zeros(3), 0.8).isfinite().all())


def test_gradients_pass_the_codes_as_if_they_were_not_there() -> None:
    quantizer = VectorQuantizer(codes=4, width=3)
    features = torch.randn(2, 3, 2, 2, requires_grad=True)
    found, commitment = quantizer(features)
    (2 * found.sum()).backward(retain_graph=True)
    torch.testing.assert_close(features.grad, torch.full_like(features, 2.0))
    (pull,) = torch.autograd.grad(commitment, features)
    torch.testing.assert_close(pull, 2 * (features - found).detach() / features.numel())


def test_the_nearest_code_is_taken() -> None:
    quantizer = VectorQuantizer(codes=7, width=3)
    features = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(2))
    rows = features.movedim(1, -1).reshape(-1, 3)
    expected = torch.cdist(rows, quantizer.embedding).argmin(1).view(2, 4, 5)
    assert torch.equal(quantizer.nearest(features), expected)
    assert torch.equal(quantizer.nearest(quantizer.vectors(expected)), expected)


def test_averages_of_the_codebook_keep_99_percent_of_what_was() -> None:
    """One step with one vector, 2, at the first of two codes, whose sums are 1: 0.99 + 0.02 over a count of 0.01."""
    quantizer = VectorQuantizer(codes=2, width=1).train()
    quantizer.embedding.copy_(torch.tensor([[0.0], [9.0]]))
    quantizer.sums.fill_(1.0)
    quantizer(torch.full((1, 1, 1, 1), 2.0))
    assert quantizer.sums.flatten().tolist() == pytest.approx([1.01, 0.99])
    assert float(quantizer.embedding[0]) == pytest.approx(101, rel=2e-3)
    assert float(quantizer.embedding[1]) == pytest.approx(99_198, rel=1e-3), "a code without vectors counts 1e-5"


def test_only_training_moves_the_codebook() -> None:
    made = codec().eval()
    before = made.quantiser.embedding.clone()
    made(maps(4))
    assert torch.equal(made.quantiser.embedding, before)
    made.train()(maps(4))
    assert not torch.equal(made.quantiser.embedding, before)


def after_steps(revive: float, steps: int = 30) -> VectorQuantizer:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(codes=16, width=2, revive=revive).train()
    corners = torch.tensor([[3.0, 3.0], [3.0, -3.0], [-3.0, 3.0], [-3.0, -3.0]])
    for _ in range(steps):
        drawn = corners[torch.randint(0, 4, (64,))] + torch.randn(64, 2) * 0.1
        quantizer(drawn.view(1, 8, 8, 2).movedim(-1, 1))
    return quantizer


def test_codes_that_the_first_step_leaves_out_are_dead_unless_they_revive() -> None:
    dead, alive = after_steps(0.0), after_steps(0.5)
    assert float(dead.embedding.norm(dim=1).max()) > 1e3, "as released: sums of 1 over counts of 0"
    assert int(dead.revived) == 0
    assert float(alive.embedding.norm(dim=1).max()) < 6
    assert int(alive.revived) >= 12


def test_used_codes_become_the_mean_of_their_vectors() -> None:
    quantizer = after_steps(0.5, steps=300)
    corners = torch.tensor([[3.0, 3.0], [3.0, -3.0], [-3.0, 3.0], [-3.0, -3.0]])
    distances = torch.cdist(corners, quantizer.embedding).min(dim=1).values
    assert float(distances.max()) < 0.3


def test_an_unknown_depth_is_far_from_any_known_one_where_logarithms_are_seen() -> None:
    made = codec(CodecOptions(values="log", side=16, ratio=8, width=2, codes=6, code_width=5))
    seen = made.inwards(torch.tensor([[[0.0, 0.1, 1.0, 10.0]]]))[0, 0]
    assert float(seen[0]) < float(seen[1:].min()) - 0.5


def test_released_names_become_ours() -> None:
    state = codec().state_dict()
    names = {"embedding": "_embedding", "cluster_size": "_ema_cluster_size", "sums": "_ema_w"}
    released = {n: v for n, v in state.items() if not n.startswith("quantiser.")}
    released |= {f"_vq_vae.{theirs}": state[f"quantiser.{ours}"] for ours, theirs in names.items()}
    back = released_tensors(released)
    assert set(back) == set(state) - {"quantiser.revived"}
    assert all(torch.equal(back[name], state[name]) for name in back)
