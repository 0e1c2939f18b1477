"""MAD's released checkpoints as weights of our network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from bench.checkpoints.checkpoint import fit_card
from bench.checkpoints.converted_file import HEAD_WIDTH, ConvertedFile, count_blocks, network_line
from decoders.network.errors import NetworkError
from decoders.network.mad.released import convert, to_released
from decoders.network.network import build_network
from decoders.network.options import NetworkOptions
from tasks.formats.vocabulary import Sizes, Vocabulary

EMBEDDING = "vocab_embed.embeddings.weight"
RESNETS = {6: "resnet50", 23: "resnet101"}  # blocks of the third stage


def convert_mad(path: Path, released: Mapping[str, Tensor]) -> list[ConvertedFile]:
    """Convert a released MAD checkpoint.

    Args:
        path: of the checkpoint, for messages.
        released: released name to tensor.

    Raises:
        NetworkError: if it is no MAD checkpoint.
    """
    options, sizes = _options(released, path), _sizes(released, path)
    vocabulary = Vocabulary(sizes)
    torch.manual_seed(0)  # what the checkpoint does not fill is the same every time
    conversion = convert(released, build_network(options, vocabulary).state_dict())
    lines = [network_line(options)]
    if conversion.kept_rows:
        lines.append(f"embedding: {conversion.kept_rows} rows of tokens that MAD does not have (depth) left random")
    return [
        ConvertedFile(
            tensors={name: value.float().contiguous().clone() for name, value in conversion.tensors.items()},
            card=fit_card(sizes, options, vocabulary, None) | {"rows_kept_random": conversion.kept_rows},
            lines=lines,
            unused=conversion.unused,
            missing={name: f"{to_released(name)} (ours {name})" for name in conversion.missing},
        )
    ]


def _options(released: Mapping[str, Tensor], path: Path) -> NetworkOptions:
    """Read the network's sizes off the shapes."""
    positions, width = _matrix(released, "seq_pos_embed", path).shape
    ffn = len(_matrix(released, "transformer.encoder.layers.0.ffns.0.layers.0.0.weight", path))
    blocks = count_blocks(released, "backbone.res4.")
    if blocks not in RESNETS:
        raise NetworkError(
            f"{path}: only MAD's ResNet backbones can be imported, this one begins with "
            f"{next((name for name in released if name.startswith('backbone.')), 'nothing')}"
        )
    layers = {part: count_blocks(released, f"transformer.{part}.layers.") for part in ("encoder", "decoder")}
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
    """Return the paper's sizes, with as many words as the embedding has rows for."""
    if EMBEDDING not in released:
        return Sizes()
    rows = len(_matrix(released, EMBEDDING, path))
    first_word = Vocabulary(Sizes())["word"].start
    if rows <= first_word:
        raise NetworkError(f"the embedding has {rows} rows, the paper's vocabulary has {first_word} before the words")
    return Sizes(words=rows - first_word)


def _matrix(released: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    """Return a tensor whose shape gives sizes. Raises NetworkError if it is missing or no matrix."""
    if name not in released:
        raise NetworkError(f"{path} has no {name!r}; is it a MAD checkpoint?")
    if released[name].dim() != 2:
        raise NetworkError(f"{path}: {name} has shape {list(released[name].shape)}, expected a matrix")
    return released[name]
