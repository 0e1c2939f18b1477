"""Names of AiT's released task solver and ours, and its tensors fitted into our network.

The release keeps queries, keys and values in three matrices, and its task tokens, its parallel token and its words in
three tables; ours are one each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from decoders.network.errors import NetworkError
from decoders.network.released import Conversion
from tasks.formats.vocabulary import Vocabulary

ROWS, TASKS, PARALLEL, BIAS = "voc_embed", "det_embed", "mask_embed", "outp_bias"
COMPUTED = ("enc_embed",)  # sine positions, which our network computes
TABLE, OWN_BIAS = "embedding.table.weight", "embedding.bias"
TRANSFORMER = "transformer."
BACKBONE = "backbone."

# Released name to ours; {n} is a number, {rest} one word. Attention's three matrices are joined before.
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


def _names() -> dict[str, str]:
    names = OTHERS | {f"proj_mlp.{theirs}": f"encoder.last.{ours}" for theirs, ours in FEED_FORWARD.items()}
    for part, members in BLOCKS.items():
        block, layer = f"{part}.blocks.{{n}}", f"{part}.layers.{{n}}"
        for theirs, ours in members.items():
            if theirs.endswith("attn"):
                names[f"{block}.{theirs}.joined.{{rest}}"] = f"{layer}.{ours}.projection.{{rest}}"
                names[f"{block}.{theirs}.proj.{{rest}}"] = f"{layer}.{ours}.output.{{rest}}"
            else:
                names[f"{block}.{theirs}.{{rest}}"] = f"{layer}.{ours}.{{rest}}"
        for theirs, ours in FEED_FORWARD.items():
            names[f"{block}.mlp.{theirs}"] = f"{layer}.feed_forward.{ours}"
    return names


def to_ours(name: str) -> str | None:
    """Our name of a released one behind the transformer's prefix, or None if our network has none such.

    ``joined`` stands for the three matrices ``wq``, ``wk`` and ``wv``.
    """
    for pattern, template in _OURS:
        found = pattern.fullmatch(name)
        if found:
            return template.format(**found.groupdict())
    return None


def convert(released: Mapping[str, Tensor], own: Mapping[str, Tensor], vocabulary: Vocabulary) -> Conversion:
    """Fit a released state dict into ours; tensors of the backbone must have our names already.

    Args:
        released: released name to tensor; the transformer's names may begin with ``transformer.``.
        own: our network's state dict, for names, shapes and values that are not released.
        vocabulary: of our network, in layout ``ait``.

    Raises:
        NetworkError: if a tensor has another shape than in our network.
    """
    named = {name.removeprefix(TRANSFORMER): value for name, value in released.items()}
    tables = {name: named.pop(name) for name in (TASKS, PARALLEL) if name in named}
    tensors, unused, filled = dict(own), [], set()
    for name, value in _joined(named).items():
        ours = name if name.startswith(BACKBONE) else to_ours(name)
        if ours is None or ours not in own:
            unused += [] if name in COMPUTED else [name]
            continue
        tensors[ours] = _fitted(name, value, ours, own[ours], vocabulary)
        filled.add(ours)
    _fill_tokens(tensors, tables, vocabulary)
    missing = [name for name in own if name not in filled]
    missing += [f"{TABLE} ({name})" for name in (TASKS, PARALLEL) if name not in tables]
    return Conversion(tensors, unused, missing, kept_rows=0)


def _joined(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values of each attention as one tensor, where all three are there."""
    found = dict(named)
    for name in named:
        match = JOINED.fullmatch(name)
        parts = [f"{match[1]}.{part}.{match[2]}" for part in ("wq", "wk", "wv")] if match else []
        if match and all(part in found for part in parts):
            found[f"{match[1]}.joined.{match[2]}"] = torch.cat([found.pop(part) for part in parts])
    return found


def _fitted(name: str, value: Tensor, ours: str, wanted: Tensor, vocabulary: Vocabulary) -> Tensor:
    """A tensor in the shape of ours."""
    if name.startswith("input_proj.weight"):
        value = value[..., None, None]  # ours is a convolution
    if ours in (TABLE, OWN_BIAS):
        value = _rows(name, value, wanted, vocabulary)
    if value.shape != wanted.shape:
        raise NetworkError(
            f"{name} has shape {list(value.shape)}, the network's {ours} {list(wanted.shape)}; "
            "the preset's sizes differ from the checkpoint's"
        )
    return value


def _rows(name: str, value: Tensor, wanted: Tensor, vocabulary: Vocabulary) -> Tensor:
    """The rows that the release has, and behind them ours. Some of its configs add rows that nothing uses."""
    count = vocabulary.openings[0]
    if len(value) < count or value.shape[1:] != wanted.shape[1:]:
        raise NetworkError(
            f"{name} has shape {list(value.shape)}, the vocabulary {count} rows of {list(wanted.shape[1:])}; "
            "is it a checkpoint with other bins, classes or codes?"
        )
    return torch.cat([value[:count], wanted[count:]])


def _fill_tokens(tensors: dict[str, Tensor], tables: Mapping[str, Tensor], vocabulary: Vocabulary) -> None:
    """Task tokens and parallel token as rows of the one table."""
    rows = {TASKS: vocabulary.openings, PARALLEL: [vocabulary.id("parallel")]}
    for name, value in tables.items():
        wanted, width = rows[name], tensors[TABLE].shape[1]
        if tuple(value.shape) != (len(wanted), 1, width):
            raise NetworkError(f"{name} has shape {list(value.shape)}; expected {[len(wanted), 1, width]}")
        merged = tensors[TABLE].clone()
        merged[wanted] = value[:, 0]
        tensors[TABLE] = merged


def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template).replace(r"\{rest\}", r"(?P<rest>\w+)").replace(r"\{n\}", r"(?P<n>\d+)")
    return re.compile(pattern, re.ASCII)


_OURS = [(_pattern(released), ours) for released, ours in _names().items()]
