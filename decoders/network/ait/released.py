"""AiT's released task solver: its names and ours, and its tensors fitted into our network.

The release keeps queries, keys and values in three matrices, and its task tokens, its parallel token and its words in
three tables; ours are one each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from decoders.network.errors import NetworkError
from decoders.network.released import Conversion, NameTranslation, fill
from tasks.formats.vocabulary import Vocabulary

ROWS, TASKS, PARALLEL, BIAS = "voc_embed", "det_embed", "mask_embed", "outp_bias"
COMPUTED = ("enc_embed",)  # sine positions
TABLE, OWN_BIAS = "embedding.table.weight", "embedding.bias"
TRANSFORMER = "transformer."
BACKBONE = "backbone."

# Released name to ours. Attention's three matrices are joined before.
FEED_FORWARD = {"fc1.{rest}": "rise.{rest}", "fc2.{rest}": "fall.{rest}"}
OTHERS = {
    "dec_embed": "decoder.positions.tables",
    "input_proj.{rest}": "projection.1.{rest}",
    "stem_ln.{rest}": "encoder.stem_norm.{rest}",
    "encout_ln.{rest}": "encoder.norm.{rest}",
    "proj.{rest}": "encoder.projection.{rest}",
    "proj_ln.{rest}": "encoder.projection_norm.{rest}",
    "proj_mlp_ln.{rest}": "encoder.last_norm.{rest}",
    "norm.{rest}": "decoder.norm.{rest}",
    ROWS: TABLE,
    BIAS: OWN_BIAS,
}
BLOCKS = {
    "encoder": {"norm1": "attention_norm", "norm2": "feed_norm", "attn": "attention"},
    "decoder": {"norm1": "own_norm", "norm2": "cross_norm", "norm3": "feed_norm", "attn": "own", "crossattn": "cross"},
}
JOINED = re.compile(r"(.*attn)\.wq\.(weight|bias)")


def _templates() -> dict[str, str]:
    templates = OTHERS | {f"proj_mlp.{theirs}": f"encoder.last.{ours}" for theirs, ours in FEED_FORWARD.items()}
    for part, members in BLOCKS.items():
        block, layer = f"{part}.blocks.{{n}}", f"{part}.layers.{{n}}"
        for theirs, ours in members.items():
            if theirs.endswith("attn"):
                templates[f"{block}.{theirs}.joined.{{rest}}"] = f"{layer}.{ours}.projection.{{rest}}"
                templates[f"{block}.{theirs}.proj.{{rest}}"] = f"{layer}.{ours}.output.{{rest}}"
            else:
                templates[f"{block}.{theirs}.{{rest}}"] = f"{layer}.{ours}.{{rest}}"
        for theirs, ours in FEED_FORWARD.items():
            templates[f"{block}.mlp.{theirs}"] = f"{layer}.feed_forward.{ours}"
    return templates


to_ours = NameTranslation(_templates())  # of names behind the transformer's prefix


def convert(released: Mapping[str, Tensor], state: Mapping[str, Tensor], vocabulary: Vocabulary) -> Conversion:
    """Fit a released state dict into ours; tensors of the backbone must have our names already.

    Args:
        released: released name to tensor; the transformer's names may begin with ``transformer.``.
        state: our network's state dict, for names, shapes and values that are not released.
        vocabulary: of our network, in layout ``ait``.

    Raises:
        NetworkError: if a tensor's shape differs from our network's.
    """
    named = {name.removeprefix(TRANSFORMER): value for name, value in released.items()}
    named = {name: value for name, value in named.items() if name not in COMPUTED}  # our network computes those
    tables = {name: named.pop(name) for name in (TASKS, PARALLEL) if name in named}
    conversion = fill(_join_projections(named), state, _our_name, partial(_fit, vocabulary=vocabulary))
    _fill_tokens(conversion.tensors, tables, vocabulary)
    conversion.missing.extend(f"{TABLE} ({name})" for name in (TASKS, PARALLEL) if name not in tables)
    return conversion


def _our_name(name: str) -> str | None:
    return name if name.startswith(BACKBONE) else to_ours(name)


def _join_projections(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join queries, keys and values of each attention into one tensor, where all three are there."""
    joined = dict(named)
    for name in named:
        match = JOINED.fullmatch(name)
        parts = [f"{match[1]}.{part}.{match[2]}" for part in ("wq", "wk", "wv")] if match else []
        if match and all(part in joined for part in parts):
            joined[f"{match[1]}.joined.{match[2]}"] = torch.cat([joined.pop(part) for part in parts])
    return joined


def _fit(name: str, value: Tensor, ours: str, own: Tensor, *, vocabulary: Vocabulary) -> Tensor:
    if name.startswith("input_proj.weight"):
        value = value[..., None, None]  # ours is a convolution
    return _rows(name, value, own, vocabulary) if ours in (TABLE, OWN_BIAS) else value


def _rows(name: str, value: Tensor, own: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Return the release's rows, then ours of the tokens that it does not have."""
    count = vocabulary.openings[0]
    if len(value) != count or value.shape[1:] != own.shape[1:]:
        raise NetworkError(
            f"{name} has shape {list(value.shape)}, the vocabulary {count} rows of {list(own.shape[1:])}; "
            "is it a checkpoint with other bins, classes or codes?"
        )
    return torch.cat([value, own[count:]])


def _fill_tokens(tensors: dict[str, Tensor], tables: Mapping[str, Tensor], vocabulary: Vocabulary) -> None:
    """Write task tokens and parallel token into the one table."""
    rows = {TASKS: vocabulary.openings, PARALLEL: [vocabulary.id("parallel")]}
    for name, value in tables.items():
        ids, width = rows[name], tensors[TABLE].shape[1]
        if tuple(value.shape) != (len(ids), 1, width):
            raise NetworkError(f"{name} has shape {list(value.shape)}; expected {[len(ids), 1, width]}")
        merged = tensors[TABLE].clone()
        merged[ids] = value[:, 0]
        tensors[TABLE] = merged
