"""Modes of execution give the tokens of the plain network. Recording is played without a GPU: a replay runs the work
again on the fixed memory, which shows every mistake in what is copied, kept and taken back."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from bench.inference.compiled import GAVE_UP, Compiled
from bench.inference.cuda_graphs import Graphed
from bench.inference.execution_modes import agreement, unavailable_reason, wrap_network
from decoders.causal.autoregressive import Autoregressive
from decoders.causal.options import AutoregressiveOptions
from decoders.masked.mad import Mad
from decoders.masked.parallel import Parallel
from decoders.network.network import Network, assemble
from decoders.network.options import NetworkOptions
from tasks.captioning import Captioning
from tasks.detection import Detection
from tasks.segmentation import Segmentation
from tests.bench.fake_accelerators import record_nothing
from tests.decoders import tiny_networks as tiny

CPU = torch.device("cpu")
FORMATS = [task(tiny.small_parts()).format for task in (Detection, Segmentation, Captioning)]
DECODERS = [
    Autoregressive(),
    Autoregressive(AutoregressiveOptions(temperature=1.0, top_p=0.9)),
    Parallel(),
    Mad(),
]


@pytest.fixture(scope="module")
def network() -> Network:
    options = NetworkOptions(width=32, heads=2, ffn=48, encoder_layers=1, decoder_layers=2, positions=40, dropout=0.0)
    torch.manual_seed(1)
    own = tiny.small_parts()
    return assemble(options, own.vocabulary, backbone=nn.Identity(), channels=3).eval()


def filled(network: Any, decoder: Any, images: int, seed: int, *, formats: Any = tuple(FORMATS)) -> list[torch.Tensor]:
    """Tokens of three tasks, with more than one sequence per image in one of them."""
    pixels = torch.randn(images, 3, 3, 4, generator=torch.Generator().manual_seed(seed))
    found = []
    with torch.inference_mode():
        memory = network.project_memory(network.encode(network.backbone_features(pixels)))
        for form in formats:
            request = tiny.make_request(form, [1 + seed % 3 if form.task == "segmentation" else 1] * images)
            found.append(decoder.decode(network, memory, request, tiny.generators(range(images))).tokens.clone())
    return found


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda d: d.name)
def test_graphs_give_the_same_tokens_image_after_image(network: Network, decoder: Any) -> None:
    graphed = Graphed(network, capture=record_nothing)
    for images, seed in ((1, 0), (1, 1), (2, 2), (1, 3), (1, 0)):
        for eager, replayed in zip(
            filled(network, decoder, images, seed), filled(graphed, decoder, images, seed), strict=True
        ):
            assert torch.equal(eager, replayed)
    assert graphed.remarks == []


def test_a_shape_is_recorded_once_and_a_step_is_one_graph(network: Network) -> None:
    graphed = Graphed(network, capture=record_nothing)
    filled(graphed, Autoregressive(), 1, 0)
    once = graphed.prepared
    filled(graphed, Autoregressive(), 1, 3)
    assert graphed.prepared == once, "the same shapes again"
    # encoder: 3; a task: prefill, step, products with the ids of a slot and, for the scores, with all of its vocabulary
    assert once <= 3 + 3 * 4
    assert graphed.prepare_ms > 0


def test_results_outlive_the_next_replay(network: Network) -> None:
    graphed = Graphed(network, capture=record_nothing)
    memory = graphed.project_memory(graphed.encode(graphed.backbone_features(torch.randn(1, 3, 3, 4))))
    tokens = torch.zeros(1, 1, 5, dtype=torch.int64)
    first = graphed.decode(memory, tokens)
    kept = first.clone()
    graphed.decode(memory, tokens + 1)
    assert torch.equal(first, kept)


def test_beyond_the_last_graph_the_network_runs_eagerly(network: Network) -> None:
    graphed = Graphed(network, capture=record_nothing, most=5)
    for seed in (0, 1):
        for eager, replayed in zip(
            filled(network, Parallel(), 1, seed), filled(graphed, Parallel(), 1, seed), strict=True
        ):
            assert torch.equal(eager, replayed)
    assert graphed.prepared == 5
    assert graphed.remarks == ["shapes behind the first 5 ran eagerly"]


def test_padded_batches_run_the_backbone_eagerly_and_say_so(network: Network) -> None:
    graphed = Graphed(network, capture=record_nothing)
    pad = torch.zeros(2, 3, 4, dtype=torch.bool)
    pad[1, :, 2:] = True
    pixels, tokens = torch.randn(2, 3, 3, 4), torch.zeros(2, 1, 5, dtype=torch.int64)
    with torch.inference_mode():
        found = [
            own.decode(own.project_memory(own.encode(own.backbone_features(pixels, pad))), tokens)
            for own in (network, graphed)
        ]
    assert torch.equal(*found)
    assert graphed.remarks == ["backbone ran eagerly on batches of images of different sizes"]


@pytest.mark.parametrize("decoder", [Autoregressive(), Parallel()], ids=lambda d: d.name)
def test_compiled_passes_give_the_same_tokens_and_steps_share_a_graph(network: Network, decoder: Any) -> None:
    """Traced by the compiler, but not turned into machine code, which takes a minute."""
    compiled = Compiled(network, compiler=partial(torch.compile, backend="eager"))
    captions = [form for form in FORMATS if form.task == "captioning"]
    for seed in (0, 3):
        (eager,) = filled(network, decoder, 1, seed, formats=captions)
        (traced,) = filled(compiled, decoder, 1, seed, formats=captions)
        assert torch.equal(eager, traced)
    assert 0 < compiled.prepared <= 5, "three of the encoder, prefill and step"
    once = compiled.prepared
    filled(compiled, decoder, 1, 0, formats=captions)
    assert compiled.prepared == once


def test_a_compiler_that_gives_up_is_told(network: Network) -> None:
    """The real counter of the real limit, set to one shape."""
    with torch._dynamo.config.patch(recompile_limit=1):
        compiled = Compiled(network, compiler=partial(torch.compile, backend="eager", dynamic=False))
        other = Compiled(network, compiler=lambda function: function)
        with torch.inference_mode():
            for height in (3, 4, 5):
                features = network.backbone_features(torch.randn(1, 3, height, 4))
                compiled.encode(features)
                other.encode(features)
    assert compiled.remarks == [GAVE_UP]
    assert other.remarks == [] and other.prepared == 0, "what another network of the process does is not its own"


def test_modes_that_cannot_be_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unavailable_reason("eager", CPU) is None
    assert unavailable_reason("graphed", CPU) == "CUDA graphs need a GPU"
    assert unavailable_reason("graphed", torch.device("cuda")) is None
    assert unavailable_reason("compiled", CPU, network=False) == "the decoder uses no network"
    monkeypatch.setenv("PATH", "")
    assert "needs a C++ compiler" in str(unavailable_reason("compiled", CPU))
    assert wrap_network("eager", "network") == "network"


def test_agreement_counts_tokens_and_lost_sequences() -> None:
    three = torch.arange(6).view(2, 3)
    flipped = three.clone()
    flipped[0, 0] = 9
    found = agreement([{"a": three, "b": three}, {"a": three}], [{"a": flipped, "b": three[:1]}, {"a": three}])
    assert (found.tokens, found.different) == (18, 1 + 6)
