"""``import``: another project's released checkpoint as weights of our network, with a card of where they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from bench.errors import UserError
from decoders.network.errors import NetworkError
from decoders.network.network import build_network
from decoders.network.options import NetworkOptions
from decoders.network.released import Conversion, convert
from decoders.network.weights import read_tensors
from results.store import write_atomically
from tasks.vocabulary import Sizes, Vocabulary

KINDS = ("mad",)
HEAD_WIDTH = 32  # MAD's; a checkpoint does not tell how many heads its matrices hold
RESNETS = {6: "resnet50", 23: "resnet101"}  # blocks of the third stage
SHOWN = 5


@dataclass(frozen=True)
class Imported:
    """A released MAD checkpoint in our terms.

    Args:
        tensors: our state dict.
        options: the network that it fits.
        sizes: sizes of the sequences that it was trained with.
        conversion: what was used, unused and missing.
    """

    tensors: dict[str, Tensor]
    options: NetworkOptions
    sizes: Sizes
    conversion: Conversion


def import_checkpoint(kind: str, path: Path, out: Path) -> str:
    """Convert a checkpoint and write ``out`` (safetensors) and its card beside it (``.json``).

    Args:
        kind: ``mad``.
        path: a PyTorch or safetensors file.
        out: file to write; ``.safetensors`` is added if it has another suffix.

    Returns:
        What was converted, unused and missing, to be printed.

    Raises:
        UserError: if the kind is unknown, or the file cannot be read without running code or is no such checkpoint.
    """
    if kind not in KINDS:
        raise UserError(f"cannot import {kind!r}; known: {', '.join(KINDS)}")
    found = import_mad(path)
    out = out if out.suffix == ".safetensors" else out.with_name(f"{out.name}.safetensors")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, safetensors.torch.save(found.tensors))
    card = {
        "format": "decoder-bench import",
        "kind": kind,
        "source": {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        "network": asdict(found.options),
        "sizes": asdict(found.sizes),
        "unused": found.conversion.unused,
        "missing": found.conversion.missing,
        "rows_kept_random": found.conversion.kept_rows,
    }
    write_atomically(out.with_suffix(".json"), (json.dumps(card, indent=2) + "\n").encode())
    return _report(found, out)


def import_mad(path: Path) -> Imported:
    """A released MAD checkpoint as our state dict.

    Raises:
        UserError: if the file cannot be read without running code, or is no MAD checkpoint.
    """
    try:
        released = read_tensors(path)
        released = {name.removeprefix("module."): value for name, value in released.items()}
        options, sizes = _options(released, path), _sizes(released)
        torch.manual_seed(0)  # what the checkpoint does not fill is the same every time
        network = build_network(options, Vocabulary(sizes))
        conversion = convert(released, network.state_dict())
    except NetworkError as error:
        raise UserError(str(error)) from None
    except ValueError as error:
        raise UserError(f"{path}: its sizes fit no MAD network ({error})") from None
    tensors = {name: value.contiguous().clone() for name, value in conversion.tensors.items()}
    return Imported(tensors, options, sizes, conversion)


def _options(released: Mapping[str, Tensor], path: Path) -> NetworkOptions:
    """The network's sizes, read off the shapes."""
    try:
        positions, width = released["seq_pos_embed"].shape
        ffn = len(released["transformer.encoder.layers.0.ffns.0.layers.0.0.weight"])
    except KeyError as error:
        raise NetworkError(f"{path} has no {error}; is it a MAD checkpoint?") from None
    blocks = _count(released, "backbone.res4.")
    if blocks not in RESNETS:
        raise NetworkError(
            f"{path}: only MAD's ResNet backbones can be imported, this one begins with "
            f"{next((name for name in released if name.startswith('backbone.')), 'nothing')}"
        )
    return NetworkOptions(
        backbone=RESNETS[blocks],
        width=width,
        heads=max(1, width // HEAD_WIDTH),
        ffn=ffn,
        encoder_layers=_count(released, "transformer.encoder.layers."),
        decoder_layers=_count(released, "transformer.decoder.layers."),
        positions=positions,
    )


def _sizes(released: Mapping[str, Tensor]) -> Sizes:
    """The paper's sizes, with the words that the rows of the embedding leave."""
    rows = len(released["vocab_embed.embeddings.weight"])
    before = Vocabulary(Sizes())["word"].start
    if rows <= before:
        raise NetworkError(f"the embedding has {rows} rows, the paper's vocabulary has {before} before the words")
    return Sizes(words=rows - before)


def _count(released: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in released if name.startswith(prefix)})


def _report(found: Imported, out: Path) -> str:
    conversion = found.conversion
    used = len(found.tensors) - len(conversion.missing)
    lines: list[Any] = [
        f"{out}: {used} tensors, {sum(value.numel() for value in found.tensors.values()):,} numbers",
        f"network: {found.options.backbone}, width {found.options.width}, {found.options.heads} heads, "
        f"{found.options.encoder_layers} + {found.options.decoder_layers} layers",
        _names("unused", conversion.unused),
        _names("missing (left random)", conversion.missing),
    ]
    if conversion.kept_rows:
        lines.append(f"embedding: {conversion.kept_rows} rows of tokens that MAD does not have (depth) left random")
    return "\n".join(lines)


def _names(title: str, names: list[str]) -> str:
    more = f", … {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{title}: {', '.join(names[:SHOWN]) + more if names else 'none'}"
