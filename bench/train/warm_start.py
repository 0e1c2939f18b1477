"""``--start``: the weights that a training starts from, checked against what is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.checkpoints import checkpoint
from bench.errors import UserError, unknown
from decoders.network.network import Network

FITTING = ("sizes", "network", "vocabulary", "tokenizer")  # what all weights must agree on
DECODING = ("decoder_layers", "positions", "placed_values")  # of the network, not its encoder


def load(path: Path, network: Network, card: Mapping[str, Any], *, parts: Sequence[str] = ()) -> dict[str, Any]:
    """Load the weights that training starts from; return what the card says of them: their hash and their cost.

    Args:
        path: safetensors file with its card beside it.
        network: to load them into.
        card: of the checkpoint that this training will write; if it names a frozen encoder, that encoder stays.
        parts: parts of the network to load; default: all that the file has.

    Raises:
        UserError: if the file cannot be read, was made for something else, or lacks a part.
    """
    tensors, start_card, available = read(path, parts=parts)
    chosen = set(parts or available)
    _check(path, start_card, card, encoder_only=chosen <= set(checkpoint.ENCODER_PARTS))
    frozen = card.get("encoder") is not None
    loaded = {
        name: value
        for name, value in tensors.items()
        if name.split(".", 1)[0] in chosen and not (frozen and checkpoint.is_encoder(name))
    }
    checkpoint.load_into(network, loaded, path.name)
    cost = {name: start_card[name] for name in ("steps", "cpu_seconds", "seed") if name in start_card}
    earlier = {"before": start_card["before"]} if start_card.get("before") else {}
    return {"start": str(start_card["hash"]), "before": cost | earlier}


def read(path: Path, *, parts: Sequence[str] = ()) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
    """Return the weights to start from, their card, and the parts of a network that they have.

    Raises:
        UserError: if the file cannot be read, or lacks one of ``parts``.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"start: {path.name} given, expected a .safetensors file with its card beside it")
    tensors, card = checkpoint.read_checkpoint(path, train="nox -s train")
    available = sorted({name.split(".", 1)[0] for name in tensors})
    for part in parts:
        if part not in available:
            raise UserError(f"--start_parts: {unknown(f'part of {path.name}', part, available)}")
    return tensors, card, available


def _check(path: Path, start_card: Mapping[str, Any], card: Mapping[str, Any], *, encoder_only: bool) -> None:
    """Compare sizes and vocabulary; and encoder, formats and codecs where both cards name them."""
    if encoder_only:
        check_encoder(path, start_card, card["network"])
        return
    checkpoint.check_fit(path, start_card, {name: card[name] for name in FITTING})
    ours, theirs = _identities(card), _identities(start_card)
    for title, value in ours.items():
        if theirs.get(title, value) != value:
            raise UserError(
                f"start: {path.name} was trained with another {title} ({theirs[title]}, here {value}); bring its own "
                "back, or start from other weights"
            )


def _identities(card: Mapping[str, Any]) -> dict[str, str]:
    """Return what a card says of encoder, formats and codecs, by what to call it in a message."""
    names = {"encoder": card.get("encoder")}
    names |= {f"format of {task}": name for task, name in (card.get("formats") or {}).items()}
    names |= {f"codec of {kind}": codec.get("hash") for kind, codec in (card.get("codecs") or {}).items()}
    return {title: name for title, name in names.items() if name}


def check_encoder(path: Path, card: Mapping[str, Any], network: Mapping[str, Any]) -> None:
    """Compare the card of weights whose encoder alone is used with the shape of a network. Raises UserError."""
    shape = {name: value for name, value in network.items() if name not in DECODING}
    checkpoint.check_fit(path, card, {"network": shape})
