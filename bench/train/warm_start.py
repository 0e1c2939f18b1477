"""``--start``: the weights that a training starts from, held against what is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.checkpoints import checkpoint
from bench.errors import UserError
from bench.registry import unknown
from decoders.network.network import Network

DECODING = ("decoder_layers", "positions", "placed_values")  # options of the network that its encoder knows nothing of


def begin(path: Path, network: Network, card: Mapping[str, Any], *, parts: Sequence[str] = ()) -> dict[str, Any]:
    """Load the weights that training starts from and say which they are and what they cost.

    Args:
        path: safetensors file with its card beside it.
        network: to load them into.
        card: what the checkpoint of this training will say of itself; where it names a frozen encoder, that stays.
        parts: parts of the network that are loaded; none named: all that the file has.

    Raises:
        UserError: if the file cannot be read, was made for something else, or lacks a part.
    """
    tensors, own, has = read(path, parts=parts)
    chosen = set(parts or has)
    _check(path, own, card, encoder_only=chosen <= set(checkpoint.ENCODER_PARTS))
    frozen = card.get("encoder") is not None
    kept = {name: value for name, value in tensors.items() if name.split(".", 1)[0] in chosen}
    kept = {name: value for name, value in kept.items() if not (frozen and checkpoint.is_encoder(name))}
    checkpoint.load_into(network, kept, path.name)
    cost = {name: own[name] for name in ("steps", "cpu_seconds", "seed") if name in own}
    return {"start": str(own["hash"]), "before": cost | ({"before": own["before"]} if own.get("before") else {})}


def read(path: Path, *, parts: Sequence[str] = ()) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
    """Weights to start from, their card, and the parts of a network that they have.

    Raises:
        UserError: if the file cannot be read, or lacks one of ``parts``.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"start: {path.name} given, expected a .safetensors file with its card beside it")
    tensors, own = checkpoint.read_checkpoint(path, train="nox -s train")
    has = sorted({name.split(".", 1)[0] for name in tensors})
    for part in parts:
        if part not in has:
            raise UserError(f"--start_parts: {unknown(f'part of {path.name}', part, has)}")
    return tensors, own, has


def _check(path: Path, own: Mapping[str, Any], card: Mapping[str, Any], *, encoder_only: bool) -> None:
    """Sizes and vocabulary; and encoder, formats and codecs, where both cards name them."""
    if encoder_only:
        check_encoder(path, own, card["network"])
        return
    checkpoint.check_fit(path, own, {name: card[name] for name in ("sizes", "network", "vocabulary", "tokenizer")})
    known = [("encoder", own.get("encoder"), card.get("encoder"))]
    known += [(f"format of {task}", own.get("formats", {}).get(task), name) for task, name in _named(card, "formats")]
    for kind, told in _named(card, "codecs"):
        known.append((f"codec of {kind}", own.get("codecs", {}).get(kind, {}).get("hash"), told["hash"]))
    for title, theirs, ours in known:
        if theirs and ours and theirs != ours:
            raise UserError(
                f"start: {path.name} was trained with another {title} ({theirs}, here {ours}); bring its own back, or "
                "start from other weights"
            )


def check_encoder(path: Path, own: Mapping[str, Any], network: Mapping[str, Any]) -> None:
    """Hold the card of weights whose encoder alone is used against the shape of a network. Raises UserError."""
    shape = {name: value for name, value in network.items() if name not in DECODING}
    checkpoint.check_fit(path, own, {"network": shape})


def _named(card: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    return list((card.get(key) or {}).items())
