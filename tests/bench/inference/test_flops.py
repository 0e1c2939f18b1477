"""What a network computes: held against closed formulas, on a network small enough to write them down."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.inference.flops import FlopCounter
from bench.inference.network_calls import BatchCalls, CallCounts, CountedNetwork
from decoders.causal.autoregressive import Autoregressive
from decoders.masked.mad import Mad
from decoders.masked.parallel import Parallel
from decoders.network.network import Network, assemble
from decoders.network.options import NetworkOptions
from tasks.detection import Detection
from tests.decoders import tiny_networks as tiny

WIDTH, FFN, LAYERS, CHANNELS, SIDE = 32, 48, 2, 3, 4
MEMORY = SIDE * SIDE  # the backbone is the identity, so that a pixel is a memory position


@pytest.fixture(scope="module")
def network() -> Network:
    options = NetworkOptions(
        width=WIDTH, heads=2, ffn=FFN, encoder_layers=1, decoder_layers=LAYERS, positions=40, dropout=0.0
    )
    own = tiny.small_parts()
    return assemble(options, own.vocabulary, backbone=nn.Identity(), channels=CHANNELS).eval()


@pytest.fixture(scope="module")
def counter(network: Network) -> FlopCounter:
    return FlopCounter(network)


def position_flops(keys: int) -> int:
    """One position through the decoder; the memory's keys and values were projected before."""
    own = 2 * (4 * WIDTH * WIDTH) + 2 * 2 * keys * WIDTH
    cross = 2 * (2 * WIDTH * WIDTH) + 2 * 2 * MEMORY * WIDTH
    return LAYERS * (own + cross + 2 * 2 * WIDTH * FFN)


def head_flops(columns: int) -> int:
    return 2 * (2 * WIDTH * WIDTH + WIDTH * columns)


def test_parameters(network: Network, counter: FlopCounter) -> None:
    assert counter.parameters == sum(p.numel() for p in network.parameters())


def test_encoding_an_image(counter: FlopCounter) -> None:
    layer = 2 * 4 * WIDTH * WIDTH + 2 * 2 * MEMORY * WIDTH + 2 * 2 * WIDTH * FFN
    keys_and_values = LAYERS * 2 * 2 * WIDTH * WIDTH
    work = counter.image(SIDE, SIDE)
    assert work.backbone == (0, 0)
    assert work.encoder[0] == MEMORY * (2 * CHANNELS * WIDTH + layer + keys_and_values)


@pytest.mark.parametrize(("new", "keys"), [(1, 1), (1, 17), (5, 12), (40, 40)])
def test_passes_cost_what_their_shapes_say(counter: FlopCounter, new: int, keys: int) -> None:
    twice = CallCounts(passes=2, positions=2 * 3 * new, pairs=2 * 3 * new * keys)
    assert counter.decode(SIDE, SIDE, twice)[0] == 2 * 3 * new * position_flops(keys)


def test_a_pass_reads_weights_memories_and_cache(network: Network, counter: FlopCounter) -> None:
    weights = 4 * sum(p.numel() for p in network.decoder.parameters())
    _, read = counter.decode(SIDE, SIDE, CallCounts(passes=1, cached=6 * 10, memories=2))
    assert read == weights + 4 * 2 * LAYERS * WIDTH * (2 * MEMORY + 6 * 10)


def test_products_with_the_vocabulary(counter: FlopCounter) -> None:
    logits = CallCounts(heads={(11, True): (3, 21)})
    assert counter.decode(SIDE, SIDE, logits) == (21 * head_flops(11), 3 * 11 * WIDTH * 4)
    assert counter.decode(SIDE, SIDE, CallCounts(heads={(11, False): (1, 7)}))[0] == 7 * 2 * 11 * WIDTH


def test_images_of_a_batch_share_weights_but_not_operations(counter: FlopCounter) -> None:
    counts = CallCounts(passes=1, positions=8, pairs=80, cached=40, memories=4)
    one, four = (counter.per_image(BatchCalls((SIDE, SIDE), images, images, {"depth": counts})) for images in (1, 4))
    assert one["encoder"][0] == four["encoder"][0]
    assert one["encoder"][1] == 4 * four["encoder"][1]
    windows = counter.per_image(BatchCalls((SIDE, SIDE), 4, 1, {"depth": counts}))
    assert windows["encoder"][0] == 4 * one["encoder"][0], "four windows of one image"
    assert one["decode.depth"] == tuple(4 * part for part in four["decode.depth"])


@pytest.mark.parametrize("decoder", [Autoregressive(), Parallel(), Mad()], ids=lambda d: d.name)
def test_watching_changes_no_token_and_counts_every_position(decoder: Autoregressive | Parallel | Mad) -> None:
    own = tiny.small_parts()
    network = tiny.network(own)
    memory, request = tiny.make_memory(network, [0, 1]), tiny.make_request(Detection(own).format, [1, 1])
    told: list[str] = []
    watched = CountedNetwork(network, told.append)
    plain = decoder.decode(network, memory, request, tiny.generators([0, 1]))
    found = decoder.decode(watched, memory, request, tiny.generators([0, 1]))
    assert torch.equal(plain.tokens, found.tokens)
    assert watched.counts.positions == plain.positions
    assert watched.counts.passes == plain.evaluations == len(told)
    expected = ["prefill"] + ["step"] * (len(told) - 1) if decoder.name == "autoregressive" else ["round"] * len(told)
    assert told == expected
