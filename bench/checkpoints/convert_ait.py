"""AiT's released checkpoints as ours: a codec, or a task solver with its backbone and the codecs inside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from timm.models.swin_transformer_v2 import checkpoint_filter_fn
from torch import Tensor

from bench.checkpoints.checkpoint import fit_card
from bench.checkpoints.codec import LEARNING
from bench.checkpoints.converted_file import HEAD_WIDTH, ConvertedFile, count_blocks, network_line
from decoders.network.ait.released import ROWS, convert
from decoders.network.errors import NetworkError
from decoders.network.network import build_network
from decoders.network.options import NetworkOptions
from tasks.codecs.options import CodecOptions
from tasks.codecs.vqvae import Codec, released_tensors
from tasks.formats.vocabulary import Sizes, Vocabulary

CODEBOOK = "_vq_vae._embedding"
CODEC_NAMES = re.compile(r"(encoder|decoder)\.\d+\.|_vq_vae\._")
KINDS = {16: "masks", 32: "depth"}  # pixels of a code along each side
SIDES = {"masks": 64, "depth": 480}
BACKBONE, BODY, NORM = "backbone.", "backbone.body.model.", "backbone.neck.norm."
LAST_NORM = "backbone.norm3."  # of the only stage whose map is used
SWINS = {
    (96, 6): "tiny_window16_256",
    (128, 18): "base_window12to24_192to384",
    (192, 18): "large_window12to24_192to384",
}
WINDOWS = (30, 30, 30, 15)
CANVAS_ROWS = 2467  # of the released configurations that train on 640 pixels and not on 480


def convert_ait(path: Path, released: Mapping[str, Tensor]) -> list[ConvertedFile]:
    """Convert a released codec, or a task solver; the codecs inside a task solver come first.

    Args:
        path: of the checkpoint, for messages.
        released: released name to tensor.

    Raises:
        NetworkError: if it is neither.
    """
    prefixes = [name.removesuffix(CODEBOOK) for name in released if name.endswith(CODEBOOK)]
    codecs = [_codec(path, prefix, released) for prefix in prefixes]
    inside = {name for prefix in prefixes for name in released if _of_codec(name, prefix)}
    rest = {name: value for name, value in released.items() if name not in inside}
    table = next((name for name in rest if name == ROWS or name.endswith(f".{ROWS}")), None)
    if table is not None:
        return [*codecs, _solver(rest, table.removesuffix(ROWS))]
    if not codecs:
        raise NetworkError(f"{path} has neither {ROWS} nor {CODEBOOK}; is it a checkpoint of AiT's codec or solver?")
    codecs[0].unused.extend(rest)
    return codecs


def _of_codec(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and CODEC_NAMES.match(name.removeprefix(prefix)) is not None


def _codec(path: Path, prefix: str, released: Mapping[str, Tensor]) -> ConvertedFile:
    named = {name.removeprefix(prefix): value for name, value in released.items() if _of_codec(name, prefix)}
    options = _codec_options(path, named)
    tensors, expected = released_tensors(named), Codec(options).state_dict()
    wrong = [name for name, value in tensors.items() if name in expected and value.shape != expected[name].shape]
    if wrong:
        shapes = f"{list(tensors[wrong[0]].shape)}, expected {list(expected[wrong[0]].shape)}"
        raise NetworkError(f"{path}: {wrong[0]} has shape {shapes}; is it a codec of AiT?")
    filled = {name: tensors.get(name, value) for name, value in expected.items() if name not in LEARNING}
    kind = KINDS[options.ratio]
    return ConvertedFile(
        tensors={name: value.float().contiguous().clone() for name, value in filled.items()},
        card={"codec": kind, "shape": asdict(options)},
        lines=[
            f"codec of {kind}: {options.codes} codes of {options.code_width} numbers, one for {options.ratio} x "
            f"{options.ratio} pixels"
        ],
        unused=[prefix + name for name in named if name not in _released_names(expected)],
        missing={name: name for name in filled if name not in tensors},
        kind=kind,
    )


def _released_names(ours: Mapping[str, Tensor]) -> set[str]:
    """Return the released names that our codec has a place for."""
    return set(ours) | {f"_vq_vae.{name}" for name in ("_embedding", "_ema_cluster_size", "_ema_w")}


def _codec_options(path: Path, named: Mapping[str, Tensor]) -> CodecOptions:
    """Read a codec's shape off its tensors."""
    halvings = len([1 for n, v in named.items() if re.fullmatch(r"encoder\.\d+\.weight", n) and v.shape[-1] == 4])
    blocks = {name.split(".")[1] for name in named if re.match(r"encoder\.\d+\.net\.", name)}
    ratio = 2**halvings
    if ratio not in KINDS or "encoder.0.weight" not in named:
        ratios = ", ".join(f"{pixels} ({kind})" for pixels, kind in KINDS.items())
        raise NetworkError(f"{path}: its codec has {ratio} pixels to a code; AiT's have {ratios}")
    codes, width = named[CODEBOOK].shape
    kind = KINDS[ratio]
    return CodecOptions(
        values="unit" if kind == "masks" else "metres",
        side=SIDES[kind],
        ratio=ratio,
        width=len(named["encoder.0.weight"]),
        blocks=len(blocks),
        codes=codes,
        code_width=width,
    )


def _solver(released: Mapping[str, Tensor], prefix: str) -> ConvertedFile:
    """Convert the task solver; ``prefix`` precedes its transformer's names."""
    named = {name.removeprefix(prefix): value for name, value in released.items()}
    options, sizes = _network_options(named), Sizes(layout="ait", bins=2000, depth_grid=(15, 15))
    others = max(0, len(named[ROWS]) - Vocabulary(sizes).openings[0])
    sizes = replace(sizes, others=others)
    vocabulary = Vocabulary(sizes)
    torch.manual_seed(0)  # what the checkpoint does not fill is the same every time
    network = build_network(options, vocabulary)
    body, unused = _backbone(named, network.backbone.body.model)  # type: ignore[union-attr]
    rest = {name: value for name, value in named.items() if not name.startswith(BACKBONE)}
    conversion = convert(rest | body, network.state_dict(), vocabulary)
    extra = f", {others} rows of the vocabulary that no task uses" if others else ""
    windows = ", ".join(map(str, options.windows)) or "its own"
    return ConvertedFile(
        tensors={name: value.contiguous().clone() for name, value in conversion.tensors.items()},
        card=fit_card(sizes, options, vocabulary, None),
        lines=[network_line(options, f" (windows {windows})") + extra],
        unused=unused + conversion.unused,
        missing={name: name for name in conversion.missing},
    )


def _network_options(named: Mapping[str, Tensor]) -> NetworkOptions:
    """Read the network's sizes off the shapes. Windows and heads, which shapes do not show, are the release's."""
    try:
        rows, width = named[ROWS].shape
        length = named["dec_embed"].shape[1]
        ffn = len(named["encoder.blocks.0.mlp.fc1.weight"])
    except (KeyError, ValueError) as error:
        raise NetworkError(f"the checkpoint lacks {error}; is it one of AiT's task solver?") from None
    patches = named.get(f"{BACKBONE}patch_embed.proj.weight")
    depth = count_blocks(named, f"{BACKBONE}layers.2.blocks.")
    if patches is not None and (len(patches), depth) not in SWINS:
        raise NetworkError(
            f"the backbone has width {len(patches)} and {depth} blocks in stage 3; it is no Swin V2 of AiT"
        )
    swin = SWINS[(128, 18) if patches is None else (len(patches), depth)]
    canvas = {} if swin.startswith("tiny") else {"image_side": 640 if rows == CANVAS_ROWS else 480, "windows": WINDOWS}
    return NetworkOptions(
        family="ait",
        backbone=f"swinv2_{swin}",
        frozen_norm=False,
        frozen_stem=False,
        width=width,
        heads=max(1, width // HEAD_WIDTH),
        ffn=ffn,
        encoder_layers=count_blocks(named, "encoder.blocks."),
        decoder_layers=count_blocks(named, "decoder.blocks."),
        positions=length,
        **canvas,  # type: ignore[arg-type]
    )


def _backbone(named: Mapping[str, Tensor], model: Any) -> tuple[dict[str, Tensor], list[str]]:
    """Return tensors of the backbone in our names, and names without a place in it."""
    parameters = {name for name, _ in model.named_parameters()}
    inside = {
        name.removeprefix(BACKBONE): value
        for name, value in named.items()
        if name.startswith(BACKBONE) and not name.startswith(LAST_NORM)
    }
    fitted: dict[str, Tensor] = checkpoint_filter_fn(dict(inside), model)
    tensors = {BODY + name: value for name, value in fitted.items() if name in parameters}
    unused = [BACKBONE + name for name in fitted if name not in parameters]
    norms = (name for name in named if name.startswith(LAST_NORM))
    return tensors | {NORM + name.removeprefix(LAST_NORM): named[name] for name in norms}, unused
