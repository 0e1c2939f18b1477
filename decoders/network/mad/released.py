"""MAD's released state dict: its names and ours, both ways, and its tensors fitted into our network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from decoders.network.errors import NetworkError
from decoders.network.released import Conversion, NameTranslation, fill

TABLE, RELEASED_TABLE = "embedding.table.weight", "vocab_embed.embeddings.weight"
STEM = "backbone.body.model"

# Released name to ours.
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
    RELEASED_TABLE: TABLE,
    "vocab_embed.predictor.layers.0.{rest}": "embedding.predictor.0.{rest}",
    "vocab_embed.predictor.layers.1.{rest}": "embedding.predictor.2.{rest}",
    "backbone.stem.conv1.{rest}": f"{STEM}.conv1.{{rest}}",
    "backbone.stem.conv1.norm.{rest}": f"{STEM}.bn1.{{rest}}",
}


def _templates() -> dict[str, str]:
    templates = dict(OTHERS)
    for part, attentions in ATTENTIONS.items():
        released, ours = f"transformer.{part}.layers.{{n}}", f"{part}.layers.{{n}}"
        templates |= {f"{released}.{theirs}": f"{ours}.{own}" for theirs, own in LAYER.items()}
        for number, name in enumerate(attentions):
            attention = f"{released}.attentions.{number}.attn"
            templates |= {f"{attention}.{theirs}": f"{ours}.{name}.{own}" for theirs, own in ATTENTION.items()}
    for stage in range(1, 5):  # detectron2 counts a ResNet's stages from 2
        released, ours = f"backbone.res{stage + 1}.{{n}}", f"{STEM}.layer{stage}.{{n}}"
        convolutions = {f"conv{index}": (f"conv{index}", f"bn{index}") for index in range(1, 4)}
        for theirs, (conv, norm) in (convolutions | {"shortcut": ("downsample.0", "downsample.1")}).items():
            templates[f"{released}.{theirs}.{{rest}}"] = f"{ours}.{conv}.{{rest}}"
            templates[f"{released}.{theirs}.norm.{{rest}}"] = f"{ours}.{norm}.{{rest}}"
    return templates


to_ours = NameTranslation(_templates())
to_released = NameTranslation({ours: released for released, ours in _templates().items()})


def convert(released: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Conversion:
    """Fit a released state dict into ours.

    Args:
        released: released name to tensor.
        state: our network's state dict, for names, shapes and values that are not released.

    Raises:
        NetworkError: if a tensor's shape differs from our network's, or holds integers.
    """
    conversion = fill(released, state, to_ours, _fit)
    if RELEASED_TABLE not in released:
        return conversion
    return replace(conversion, kept_rows=len(state[TABLE]) - len(released[RELEASED_TABLE]))


def _fit(name: str, value: Tensor, ours: str, own: Tensor) -> Tensor:
    """Put our own rows behind those of a released embedding that has fewer."""
    if not value.is_floating_point():
        raise NetworkError(f"{name} holds {value.dtype}, expected floating-point numbers; is it a MAD checkpoint?")
    if ours == TABLE and value.shape[1:] == own.shape[1:] and len(value) <= len(own):
        return torch.cat([value.to(own), own[len(value) :]])
    return value
