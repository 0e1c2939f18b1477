"""The shared network: shapes, the cache, padding, batches, and the head on some ids only."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from decoders.network.cache import Cache
from decoders.network.mad.embedding import sinusoids
from decoders.network.memory import Features, Memory
from decoders.network.network import Network, assemble
from decoders.network.options import NetworkOptions
from tasks.formats.vocabulary import Sizes, Vocabulary

OPTIONS = NetworkOptions(width=32, heads=4, ffn=48, encoder_layers=2, decoder_layers=3, positions=24, dropout=0.0)
CHANNELS = 12
B, N, T = 2, 3, 9


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    vocabulary = Vocabulary(Sizes(classes=3, bins=20, words=30, depth_bins=8))
    return assemble(OPTIONS, vocabulary, backbone=nn.Identity(), channels=CHANNELS).eval()


@pytest.fixture(scope="module")
def features() -> Features:
    pad = torch.zeros(B, 4, 5, dtype=torch.bool)
    pad[1, :, 3:] = True
    return Features(torch.randn(B, CHANNELS, 4, 5, generator=torch.Generator().manual_seed(1)), pad)


@pytest.fixture(scope="module")
def memory(network: Network, features: Features) -> Memory:
    with torch.no_grad():
        return network.project_memory(network.encode(features))


@pytest.fixture(scope="module")
def tokens(network: Network) -> Tensor:
    return torch.randint(len(network.vocabulary), (B, N, T), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_shapes(network: Network, features: Features, memory: Memory, tokens: Tensor) -> None:
    encoding = network.encode(features)
    assert encoding.states.shape == encoding.positions.shape == (B, 20, 32)
    assert encoding.grid == (4, 5)
    assert [key.shape for key in memory.keys] == [(B, 4, 20, 8)] * 3
    assert memory.pad is not None and memory.pad.shape == (B, 20)
    layers = network.decode(memory, tokens, every_layer=True)
    assert layers.shape == (3, B, N, T, 32)
    last = network.decode(memory, tokens)
    torch.testing.assert_close(layers[-1], last)
    torch.testing.assert_close(network.decode(memory, network.embedding(tokens)), last)
    assert network.logits(last, slice(20, 50)).shape == (B, N, T, 30)
    assert network.decode(memory, tokens[:, :0]).shape == (B, 0, T, 32)


@torch.no_grad()
def test_a_projected_map_is_all_that_a_preset_without_padding_needs(network: Network, features: Features) -> None:
    none = network.encode(Features(features.map, torch.zeros(B, 4, 5, dtype=torch.bool)))
    torch.testing.assert_close(network.encode(Features(features.map)).states, none.states)


@pytest.mark.parametrize("static", [False, True])
@torch.no_grad()
def test_cached_decoding_gives_what_causal_decoding_gives(
    network: Network, memory: Memory, tokens: Tensor, static: bool
) -> None:
    expected = network.decode(memory, tokens, attention="causal")
    cache = network.cache(batch=B, sequences=N, length=T + 2, static=static)
    for _ in range(2):  # the second time in the same memory
        steps = torch.split(tokens, [4, 2, 1, 1, 1], dim=-1)
        actual = torch.cat([network.decode(memory, step, attention="causal", cache=cache) for step in steps], dim=2)
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)
        assert cache.position == T
        cache.reset()


@torch.no_grad()
def test_steps_of_many_sequences_use_the_fused_kernel(
    network: Network, memory: Memory, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decoders.network.stepping.MOST_SCORES", 0)
    cache = network.cache(batch=B, sequences=N, length=T)
    steps = [network.decode(memory, step, cache=cache) for step in torch.split(tokens, 1, dim=-1)]
    torch.testing.assert_close(
        torch.cat(steps, dim=2), network.decode(memory, tokens, attention="causal"), atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_steps_follow_the_weights_and_the_memory(network: Network, memory: Memory, tokens: Tensor) -> None:
    other = copy.deepcopy(network)
    for image_memory in (memory, memory.select(torch.tensor([1, 0]))):
        cache = other.cache(batch=B, sequences=N, length=T)
        other.decode(memory, tokens[..., :1], cache=cache)
        other.decoder.positions += 0.5
        cache.reset()
        steps = [other.decode(image_memory, step, cache=cache) for step in torch.split(tokens, 1, dim=-1)]
        expected = other.decode(image_memory, tokens, attention="causal")
        torch.testing.assert_close(torch.cat(steps, dim=2), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_steps_with_a_static_cache_compile_to_one_graph(network: Network, memory: Memory, tokens: Tensor) -> None:
    expected = network.logits(network.decode(memory, tokens, attention="causal"), slice(20, 60))
    cache = network.cache(batch=B, sequences=N, length=T, static=True)

    def step(token: Tensor) -> Tensor:
        return network.logits(network.decode(memory, token, attention="causal", cache=cache), slice(20, 60))

    torch.compiler.reset()
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        actual = torch.cat([compiled(token) for token in torch.split(tokens, 1, dim=-1)], dim=2)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_causal_outputs_do_not_change_when_later_tokens_do(network: Network, memory: Memory, tokens: Tensor) -> None:
    other = tokens.clone()
    other[..., 5:] = 0
    hidden = [network.decode(memory, own, attention="causal")[:, :, :5] for own in (tokens, other)]
    torch.testing.assert_close(*hidden)
    assert not torch.allclose(network.decode(memory, tokens)[:, :, :5], network.decode(memory, other)[:, :, :5])


@torch.no_grad()
def test_a_mask_says_who_looks_where(network: Network, memory: Memory, tokens: Tensor) -> None:
    triangle = torch.ones(T, T, dtype=torch.bool).tril()
    actual = network.decode(memory, tokens, attention=triangle)
    torch.testing.assert_close(actual, network.decode(memory, tokens, attention="causal"))


@torch.no_grad()
def test_a_batch_gives_what_its_images_and_sequences_give_alone(
    network: Network, features: Features, memory: Memory, tokens: Tensor
) -> None:
    expected = network.decode(memory, tokens)
    assert features.pad is not None
    for image in range(B):
        only = Features(features.map[image : image + 1], features.pad[image : image + 1])
        alone = network.project_memory(network.encode(only))
        chosen = memory.select(torch.tensor([image]))
        for sequence in range(N):
            one = tokens[image : image + 1, sequence : sequence + 1]
            for own in (alone, chosen):
                actual = network.decode(own, one)[0, 0]
                torch.testing.assert_close(actual, expected[image, sequence], atol=1e-5, rtol=0)


@torch.no_grad()
def test_sequences_that_a_cpu_takes_in_pieces_come_out_the_same(
    network: Network, memory: Memory, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [network.decode(memory, tokens, every_layer=every) for every in (False, True)]
    monkeypatch.setattr("decoders.network.mad.transformer.ROWS", 2 * B * T)
    for every in (False, True):
        actual = network.decode(memory, tokens, every_layer=every)
        torch.testing.assert_close(actual, expected[every], atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_changes_nothing(network: Network, features: Features, tokens: Tensor) -> None:
    cut = Features(features.map[1:, :, :, :3])
    expected = network.decode(network.project_memory(network.encode(cut)), tokens[1:])
    assert features.pad is not None
    junk = features.map[1:].clone()
    junk[:, :, :, 3:] = 7.0
    padded = network.project_memory(network.encode(Features(junk, features.pad[1:])))
    torch.testing.assert_close(network.decode(padded, tokens[1:]), expected, atol=1e-5, rtol=0)


def test_the_pixel_mask_is_brought_to_the_map() -> None:
    vocabulary = Vocabulary(Sizes(words=30))
    network = assemble(OPTIONS, vocabulary, backbone=nn.AvgPool2d(8), channels=3)
    pad = torch.zeros(2, 32, 40, dtype=torch.bool)
    assert network.backbone_features(torch.zeros(2, 3, 32, 40), pad).pad is None  # nothing is padded
    pad[1, 16:] = True
    actual = network.backbone_features(torch.zeros(2, 3, 32, 40), pad).pad
    assert actual is not None
    assert actual.shape == (2, 4, 5)
    assert actual.sum(dim=(1, 2)).tolist() == [0, 10]


@pytest.mark.parametrize("ids", [slice(20, 40), torch.arange(20, 40), torch.tensor([20, 21, 25, 60])])
def test_logits_of_some_ids_are_those_columns_of_all(
    network: Network, memory: Memory, tokens: Tensor, ids: Tensor | slice
) -> None:
    hidden = network.decode(memory, tokens).detach()
    every = network.logits(hidden, slice(0, len(network.vocabulary)))
    torch.testing.assert_close(network.logits(hidden, ids), every[..., ids])
    with torch.no_grad():
        for _ in range(2):  # computed, then kept
            torch.testing.assert_close(network.logits(hidden, ids), every[..., ids])
    assert every.abs().max() <= network.embedding.scale.exp() + 1e-4  # cosines


def test_logits_keep_their_precision_in_a_half_precision_run(network: Network) -> None:
    hidden = torch.randn(3, network.options.width, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.no_grad():
        exact = network.logits(hidden.float(), slice(0, 50))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            actual = network.embedding.logits(hidden.float(), slice(0, 50))
    assert actual.dtype == torch.float32
    assert len(actual.unique()) > 0.9 * actual.numel(), "bfloat16 would tie many"
    assert torch.allclose(actual, exact, atol=0.2)


@torch.no_grad()
def test_kept_rows_follow_the_weights(network: Network, memory: Memory, tokens: Tensor) -> None:
    hidden, ids = network.decode(memory, tokens), torch.tensor([20, 21, 25])
    before = network.logits(hidden, ids)
    saved = network.embedding.table.weight.clone()
    network.embedding.table.weight[20] = -saved[20]
    torch.testing.assert_close(network.logits(hidden, ids)[..., 0], -before[..., 0])
    network.embedding.table.weight.copy_(saved)
    torch.testing.assert_close(network.logits(hidden, ids), before)


def test_gradients_reach_everything_and_inference_makes_none(network: Network, features: Features) -> None:
    tokens = torch.zeros(B, N, T, dtype=torch.int64)
    with torch.no_grad():
        memory = network.project_memory(network.encode(features))
        assert not network.logits(network.decode(memory, tokens), slice(0, 9)).requires_grad
        fused = network.decode(memory, tokens)
    memory = network.project_memory(network.encode(features))
    hidden = network.decode(memory, tokens)
    torch.testing.assert_close(hidden.detach(), fused, atol=1e-5, rtol=0)  # plain products against the fused kernel
    network.logits(hidden, slice(0, len(network.vocabulary))).sin().sum().backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    network.zero_grad(set_to_none=True)
    assert without == []


def test_dropout_is_for_training_only(features: Features) -> None:
    torch.manual_seed(0)
    vocabulary = Vocabulary(Sizes(words=30))
    network = assemble(replace(OPTIONS, dropout=0.5), vocabulary, backbone=nn.Identity(), channels=CHANNELS)
    first, second = (network.encode(features).states for _ in range(2))
    assert not torch.allclose(first, second)
    network.eval()
    torch.testing.assert_close(network.encode(features).states, network.encode(features).states)


@torch.no_grad()
def test_half_precision_weights_work_throughout(features: Features) -> None:
    torch.manual_seed(0)
    vocabulary = Vocabulary(Sizes(words=30))
    network = assemble(OPTIONS, vocabulary, backbone=nn.Identity(), channels=CHANNELS).eval()
    tokens = torch.zeros(B, N, T, dtype=torch.int64)
    expected = network.logits(network.decode(network.project_memory(network.encode(features)), tokens), slice(0, 60))
    network.bfloat16()
    memory = network.project_memory(network.encode(Features(features.map.bfloat16(), features.pad)))
    cache = network.cache(batch=B, sequences=N, length=T)
    assert memory.keys[0].dtype == cache.keys[0].dtype == torch.bfloat16
    actual = network.logits(network.decode(memory, tokens), slice(0, 60))
    assert actual.dtype == torch.float32
    assert (actual - expected).abs().max() < 1.5  # of logits up to 14


def test_what_does_not_fit_is_refused(network: Network, memory: Memory, tokens: Tensor) -> None:
    with pytest.raises(ValueError, match="needs as many positions"):
        network.decode(memory, torch.zeros(B, N, 25, dtype=torch.int64))
    with pytest.raises(ValueError, match="tokens of 1 images"):
        network.decode(memory, tokens[:1])
    with pytest.raises(ValueError, match="attention is 'sideways'"):
        network.decode(memory, tokens, attention="sideways")
    cache = network.cache(batch=B, sequences=N, length=4)
    with pytest.raises(ValueError, match="holds 4 tokens"):
        network.decode(memory, tokens, attention="causal", cache=cache)
    with pytest.raises(ValueError, match="only length may differ"):
        cache.update(0, torch.zeros(1, 4, 1, 8), torch.zeros(1, 4, 1, 8))
    with pytest.raises(ValueError, match="multiple of 4"):
        NetworkOptions(width=30)


def test_a_static_cache_keeps_its_memory() -> None:
    cache = Cache(
        layers=1, batch=1, sequences=1, heads=1, length=3, head_width=2, dtype=torch.float32,
        device=torch.device("cpu"), static=True,
    )  # fmt: skip
    keys, values = cache.update(0, torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2))
    assert keys.data_ptr() == cache.keys[0].data_ptr() and values.shape == (1, 1, 3, 2)
    mask = cache.mask(1, "causal")
    assert mask is not None and mask.tolist() == [[True, False, False]]


def test_sinusoid_rows_are_near_where_values_are() -> None:
    rows = sinusoids(rows=65, width=32)
    assert rows.square().mean().item() == pytest.approx(1.0, abs=1e-4)
    alike = torch.nn.functional.normalize(rows, dim=1) @ torch.nn.functional.normalize(rows, dim=1).T
    assert (alike[32, 33] > alike[32, 36]) and (alike[32, 36] > alike[32, 60])
    vocabulary = Vocabulary(Sizes(bins=64, words=30))
    network = assemble(replace(OPTIONS, sinusoid_bins=True), vocabulary, backbone=nn.Identity(), channels=3)
    actual = vocabulary["coordinate"]
    torch.testing.assert_close(network.embedding.table.weight[actual.start : actual.stop].detach(), rows)
