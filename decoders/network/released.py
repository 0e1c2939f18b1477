"""Names of MAD's released state dict and ours, both ways, and its tensors fitted into our network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from decoders.network.errors import NetworkError

TABLE = "embedding.table.weight"

STEM = "backbone.body.model"

# Released name to ours; {n} and {m} are numbers, {rest} is one word.
ATTENTION = {"in_proj_{rest}": "projection.{rest}", "out_proj.{rest}": "output.{rest}"}
LAYER = {
    "ffns.0.layers.0.0.{rest}": "feed_forward.rise.{rest}",
    "ffns.0.layers.1.{rest}": "feed_forward.fall.{rest}",
    "norms.{m}.{rest}": "norms.{m}.{rest}",
}
ATTENTIONS = {"encoder": ("attention",), "decoder": ("own", "cross")}
OTHERS = {
    "seq_pos_embed": "decoder.positions",
    "input_proj.{rest}": "projection.{rest}",
    "transformer.decoder.post_norm_layer.{rest}": "decoder.norm.{rest}",
    "vocab_embed.logit_scale": "embedding.scale",
    "vocab_embed.embeddings.weight": TABLE,
    "vocab_embed.predictor.layers.0.{rest}": "embedding.predictor.0.{rest}",
    "vocab_embed.predictor.layers.1.{rest}": "embedding.predictor.2.{rest}",
    "backbone.stem.conv1.{rest}": f"{STEM}.conv1.{{rest}}",
    "backbone.stem.conv1.norm.{rest}": f"{STEM}.bn1.{{rest}}",
}


def _names() -> dict[str, str]:
    names = dict(OTHERS)
    for part, attentions in ATTENTIONS.items():
        released, ours = f"transformer.{part}.layers.{{n}}", f"{part}.layers.{{n}}"
        names |= {f"{released}.{theirs}": f"{ours}.{own}" for theirs, own in LAYER.items()}
        for number, name in enumerate(attentions):
            attention = f"{released}.attentions.{number}.attn"
            names |= {f"{attention}.{theirs}": f"{ours}.{name}.{own}" for theirs, own in ATTENTION.items()}
    for stage in range(1, 5):  # detectron2 counts a ResNet's stages from 2
        released, ours = f"backbone.res{stage + 1}.{{n}}", f"{STEM}.layer{stage}.{{n}}"
        convolutions = {f"conv{index}": (f"conv{index}", f"bn{index}") for index in range(1, 4)}
        for theirs, (conv, norm) in (convolutions | {"shortcut": ("downsample.0", "downsample.1")}).items():
            names[f"{released}.{theirs}.{{rest}}"] = f"{ours}.{conv}.{{rest}}"
            names[f"{released}.{theirs}.norm.{{rest}}"] = f"{ours}.{norm}.{{rest}}"
    return names


@dataclass(frozen=True)
class Conversion:
    """A released state dict in our names.

    Args:
        tensors: our name to tensor, every one of our network's names.
        unused: released names without a place in our network.
        missing: our names that the released state dict does not fill; they keep the network's own values.
        kept_rows: rows of the embedding that it does not have (depth tokens); they keep the network's own values.
    """

    tensors: dict[str, Tensor]
    unused: list[str]
    missing: list[str]
    kept_rows: int


def to_ours(name: str) -> str | None:
    """Our name of a released one, or None if our network has none such."""
    return _translate(name, _OURS)


def to_released(name: str) -> str | None:
    """The released name of one of ours, or None if the release has none such."""
    return _translate(name, _RELEASED)


def convert(released: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Conversion:
    """Fit a released state dict into ours.

    Args:
        released: released name to tensor.
        own: our network's state dict, for names, shapes and values that are not released.

    Raises:
        NetworkError: if a tensor has another shape than in our network, or holds integers.
    """
    tensors, unused, kept_rows = dict(own), [], 0
    filled: set[str] = set()
    for name, value in released.items():
        ours = to_ours(name)
        if ours is None or ours not in own:
            unused.append(name)
            continue
        wanted = own[ours]
        if not value.is_floating_point():
            raise NetworkError(f"{name} holds {value.dtype}, expected floating-point numbers; is it a MAD checkpoint?")
        if ours == TABLE and value.shape[1:] == wanted.shape[1:] and len(value) <= len(wanted):
            kept_rows = len(wanted) - len(value)
            merged = wanted.clone()
            merged[: len(value)] = value
            value = merged  # noqa: PLW2901
        if value.shape != wanted.shape:
            raise NetworkError(
                f"{name} has shape {list(value.shape)}, the network's {ours} {list(wanted.shape)}; "
                "the preset's sizes differ from the checkpoint's"
            )
        tensors[ours] = value
        filled.add(ours)
    return Conversion(tensors, unused, [name for name in own if name not in filled], kept_rows)


def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template).replace(r"\{rest\}", r"(?P<rest>\w+)")
    for number in "nm":
        pattern = pattern.replace(rf"\{{{number}\}}", rf"(?P<{number}>\d+)")
    return re.compile(pattern, re.ASCII)


def _translate(name: str, rules: list[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, template in rules:
        found = pattern.fullmatch(name)
        if found:
            return template.format(**found.groupdict())
    return None


_OURS = [(_pattern(released), ours) for released, ours in _names().items()]
_RELEASED = [(_pattern(ours), released) for released, ours in _names().items()]
