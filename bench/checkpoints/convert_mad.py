"""MAD's released weights as ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bench.errors import UserError
from decoders.network.errors import NetworkError
from decoders.network.network import build_network
from decoders.network.options import NetworkOptions
from decoders.network.released import Conversion, convert
from decoders.network.weights import read_tensors
from tasks.formats.vocabulary import Sizes, Vocabulary

HEAD_WIDTH = 32  # MAD's; a checkpoint does not tell how many heads its matrices hold


EMBEDDING = "vocab_embed.embeddings.weight"


RESNETS = {6: "resnet50", 23: "resnet101"}  # blocks of the third stage


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


def import_mad(path: Path) -> Imported:
    """A released MAD checkpoint as our state dict.

    Raises:
        UserError: if the file cannot be read without running code, or is no MAD checkpoint.
    """
    try:
        released = read_tensors(path)
        released = {name.removeprefix("module."): value for name, value in released.items()}
        options, sizes = _options(released, path), _sizes(released, path)
        torch.manual_seed(0)  # what the checkpoint does not fill is the same every time
        network = build_network(options, Vocabulary(sizes))
        conversion = convert(released, network.state_dict())
    except NetworkError as error:
        raise UserError(str(error)) from None
    except ValueError as error:
        raise UserError(f"{path}: its sizes fit no MAD network ({error})") from None
    tensors = {name: value.float().contiguous().clone() for name, value in conversion.tensors.items()}
    return Imported(tensors, options, sizes, conversion)


def _options(released: Mapping[str, Tensor], path: Path) -> NetworkOptions:
    """The network's sizes, read off the shapes."""
    positions, width = _matrix(released, "seq_pos_embed", path).shape
    ffn = len(_matrix(released, "transformer.encoder.layers.0.ffns.0.layers.0.0.weight", path))
    blocks = _count(released, "backbone.res4.")
    if blocks not in RESNETS:
        raise NetworkError(
            f"{path}: only MAD's ResNet backbones can be imported, this one begins with "
            f"{next((name for name in released if name.startswith('backbone.')), 'nothing')}"
        )
    layers = {part: _count(released, f"transformer.{part}.layers.") for part in ("encoder", "decoder")}
    if not layers["decoder"]:
        raise NetworkError(f"{path} has no transformer.decoder.layers; is it a MAD checkpoint?")
    return NetworkOptions(
        backbone=RESNETS[blocks],
        width=width,
        heads=max(1, width // HEAD_WIDTH),
        ffn=ffn,
        encoder_layers=layers["encoder"],
        decoder_layers=layers["decoder"],
        positions=positions,
    )


def _sizes(released: Mapping[str, Tensor], path: Path) -> Sizes:
    """The paper's sizes, with the words that the rows of the embedding leave; the paper's words if it is missing."""
    if EMBEDDING not in released:
        return Sizes()
    rows = len(_matrix(released, EMBEDDING, path))
    before = Vocabulary(Sizes())["word"].start
    if rows <= before:
        raise NetworkError(f"the embedding has {rows} rows, the paper's vocabulary has {before} before the words")
    return Sizes(words=rows - before)


def _matrix(released: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    """A tensor that tells sizes. Raises NetworkError if it is missing or no matrix."""
    if name not in released:
        raise NetworkError(f"{path} has no {name!r}; is it a MAD checkpoint?")
    if released[name].dim() != 2:
        raise NetworkError(f"{path}: {name} has shape {list(released[name].shape)}, expected a matrix")
    return released[name]


def _count(released: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in released if name.startswith(prefix)})
