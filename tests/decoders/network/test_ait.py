"""Network family ``ait``: what one pass gives, a cache gives token by token; every task has its own positions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from decoders.network.memory import Features
from decoders.network.network import Network, assemble
from decoders.network.options import NetworkOptions
from tasks.formats.vocabulary import Sizes, Vocabulary
from tests.tasks.task_examples import CLASSES

CHANNELS = 8
LENGTH = 12
SIZES = Sizes(layout="ait", classes=len(CLASSES), bins=10, slots=2)


@pytest.fixture(params=["ait", "mad"])
def network(request: pytest.FixtureRequest) -> Network:
    """The family on either layout of the vocabulary."""
    sizes = SIZES if request.param == "ait" else Sizes(classes=3, bins=10, words=20)
    return made(Vocabulary(sizes, extra={"mask_code": 4, "depth_code": 5}))


def made(vocabulary: Vocabulary, **options: Any) -> Network:
    torch.manual_seed(1)
    chosen = {"width": 32, "heads": 2, "ffn": 48, "encoder_layers": 1, "decoder_layers": 2, "positions": LENGTH}
    own = NetworkOptions(family="ait", **(chosen | options))
    built = assemble(own, vocabulary, backbone=nn.Identity(), channels=CHANNELS)
    for parameter in built.parameters():  # the start values are so small that everything would be alike
        nn.init.normal_(parameter, std=0.2)
    return built.eval()


def memory(network: Network, *, images: int = 2, pad: torch.Tensor | None = None) -> Any:
    maps = torch.randn(images, CHANNELS, 3, 4, generator=torch.Generator().manual_seed(2))
    return network.project_memory(network.encode(Features(maps, pad)))


def tokens(network: Network) -> torch.Tensor:
    """(2, 3, LENGTH) sequences of different tasks."""
    drawn = torch.randint(len(network.vocabulary), (2, 3, LENGTH), generator=torch.Generator().manual_seed(3))
    drawn[..., 0] = torch.tensor(network.vocabulary.openings)[torch.tensor([[0, 1, 2], [3, 0, 1]])]
    return drawn


@pytest.mark.parametrize("static", [False, True])
@torch.no_grad()
def test_a_cache_gives_what_one_pass_gives(network: Network, static: bool) -> None:
    seen, given = memory(network), tokens(network)
    whole = network.decode(seen, given, attention="causal")
    cache = network.cache(batch=2, sequences=3, length=LENGTH, static=static)
    for _ in range(2):  # a cache that is reset starts over
        parts = [network.decode(seen, given[..., :4], attention="causal", cache=cache)]
        parts += [
            network.decode(seen, network.embedding(given[..., i : i + 1]), attention="causal", cache=cache)
            for i in range(4, LENGTH)
        ]
        torch.testing.assert_close(torch.cat(parts, dim=2), whole, rtol=1e-4, atol=1e-5)
        cache.reset()


@torch.no_grad()
def test_the_first_token_chooses_the_positions(network: Network) -> None:
    given = tokens(network)[:, :1]
    embedded = network.embedding(given)
    found = []
    for opening in network.vocabulary.openings:
        first = torch.full((2, 1), opening)
        found.append(network.decoder(embedded, memory(network), opening=first, attention="causal"))
    for index, one in enumerate(found):
        for other in found[:index]:
            assert float((one - other).abs().max()) > 0.01
    unknown = torch.full((2, 1), network.vocabulary["class"].start)
    torch.testing.assert_close(
        network.decoder(embedded, memory(network), opening=unknown, attention="causal"), found[-1]
    )


@torch.no_grad()
def test_logits_are_those_of_the_chosen_ids(network: Network) -> None:
    hidden = torch.randn(2, 3, 32)
    every = network.logits(hidden, slice(0, len(network.vocabulary)))
    scattered = torch.tensor([1, 4, 5, 17])
    torch.testing.assert_close(network.logits(hidden, scattered), every[..., scattered])
    assert isinstance(network.embedding.bias, nn.Parameter)
    network.embedding.bias[4] += 1  # kept rows must not outlive a change
    changed = network.logits(hidden, scattered)
    torch.testing.assert_close(changed - every[..., scattered], torch.tensor([0.0, 1, 0, 0]).expand(2, 3, 4))


@torch.no_grad()
def test_only_the_last_block_is_trained() -> None:
    network = made(Vocabulary(SIZES))
    given = tokens(network)
    last = network.decode(memory(network), given, attention="causal")
    assert torch.equal(network.decode(memory(network), given, attention="causal", every_layer=True), last[None])


@torch.no_grad()
def test_padding_is_read_like_everything_else() -> None:
    network = made(Vocabulary(SIZES))
    pad = torch.zeros(2, 3, 4, dtype=torch.bool)
    pad[:, :, 2:] = True
    given = tokens(network)
    torch.testing.assert_close(
        network.decode(memory(network, pad=pad), given), network.decode(memory(network), given), rtol=0, atol=0
    )


def test_what_cannot_be_decoded_is_refused() -> None:
    network = made(Vocabulary(SIZES))
    with pytest.raises(ValueError, match=r"raise network\.positions"):
        network.decode(memory(network), torch.zeros(2, 1, LENGTH + 1, dtype=torch.int64))
    embedded = network.embed(torch.zeros(2, 1, 2, dtype=torch.int64))
    assert network.decode(memory(network), embedded, opening=torch.zeros(2, 1, dtype=torch.int64)).shape == (
        2,
        1,
        2,
        32,
    )
    with pytest.raises(ValueError, match="must be ids"):
        network.decode(memory(network), torch.zeros(2, 1, 2, 32))
    with pytest.raises(ValueError, match="select its rows"):
        network.decode(memory(network), torch.zeros(3, 1, 2, dtype=torch.int64))
    for name, value in {"sinusoid_bins": True, "placed_values": True}.items():
        with pytest.raises(ValueError, match=rf"{name}.*'ait' has none"):
            NetworkOptions(family="ait", **{name: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"drop_path.*'mad' has none"):
        NetworkOptions(drop_path=0.1)
