"""Codecs on disk: ``codec-depth.safetensors`` and ``codec-masks.safetensors`` among a preset's checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.checkpoints.checkpoint import checkpoint_path, read_checkpoint
from bench.errors import UserError
from bench.paths import CHECKPOINTS
from tasks.codecs.options import CodecOptions

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.codecs.vqvae import Codec

KINDS = ("masks", "depth")
CODECS = {"segmentation": "masks", "instances": "masks", "depth": "depth"}
"""Task to the kind of codec that it uses."""
LEARNING = ("quantiser.cluster_size", "quantiser.sums", "quantiser.revived")  # statistics of training, not stored


@dataclass(frozen=True)
class StoredCodec:
    """A codec with what its file says of it.

    Args:
        kind: ``masks`` or ``depth``.
        codec: in evaluation mode.
        digest: hash of its file, which the cards of decoders name.
        card: of its file.
    """

    kind: str
    codec: Codec
    digest: str
    card: Mapping[str, Any]

    @property
    def reference(self) -> dict[str, Any]:
        """What the card of a decoder says of it."""
        return {"hash": self.digest, "codes": self.codec.options.codes}


def codec_name(kind: str) -> str:
    """Return the name of a codec among the checkpoints."""
    return f"codec-{kind}"


def codec_command(kind: str, preset: str) -> str:
    """Return the command that makes a codec."""
    return f"nox -s train -- --codec {kind} --preset {preset} --publish"


def codec_tensors(codec: Codec) -> dict[str, Tensor]:
    """Return the tensors to store of a codec: all but the statistics of its training."""
    return {name: value for name, value in codec.state_dict().items() if name not in LEARNING}


def load_codec(kind: str, preset: str, root: Path | None = None) -> StoredCodec:
    """Return a preset's codec, ready to encode and decode.

    Args:
        kind: ``masks`` or ``depth``.
        preset: name of the preset.
        root: folder of the checkpoints; None for the shipped ones.

    Raises:
        UserError: if it is missing, broken, of the other kind, or not what its card says.
    """
    path = checkpoint_path(preset, codec_name(kind), root or CHECKPOINTS)
    return read_codec(kind, path, again=codec_command(kind, preset))


def read_codec(kind: str, path: Path, *, again: str) -> StoredCodec:
    """Return the codec in a file; ``again`` is the command that makes it, for errors.

    Raises:
        UserError: as ``load_codec``.
    """
    from tasks.codecs.vqvae import Codec

    tensors, card = read_checkpoint(path, train=again)
    shown = f"{path.parent.name}/{path.name}"
    if card.get("codec") != kind:
        raise UserError(
            f"{shown}: holds a codec of {card.get('codec') or 'nothing known'}, expected one of {kind}; make it with "
            f"`{again}`"
        )
    options = _options(shown, card, again)
    if (options.values == "unit") != (kind == "masks"):
        raise UserError(f"{shown}: a codec of {kind} cannot have values {options.values!r}; its card was changed")
    codec = Codec(options)
    try:
        missing, unexpected = codec.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise UserError(
            f"{shown}: does not fit the shape on its card ({' '.join(str(error).split())[:160]}); make it again with "
            f"`{again}`"
        ) from None
    if unexpected or set(missing) - set(LEARNING):
        raise UserError(f"{shown}: lacks tensors of a codec or has others; make it with `{again}`")
    return StoredCodec(kind, codec.eval().requires_grad_(False), card["hash"], card)


def _options(shown: str, card: Mapping[str, Any], command: str) -> CodecOptions:
    try:
        return msgspec.convert(card.get("shape"), CodecOptions, strict=True)
    except (msgspec.ValidationError, ValueError) as error:
        raise UserError(f"{shown}: its card has no usable shape ({error}); make it again with `{command}`") from None


def random_codec(options: CodecOptions, seed: int = 0) -> Codec:
    """Return an untrained codec, for where only the number and the grid of its codes matter."""
    import torch

    from tasks.codecs.vqvae import Codec

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Codec(options).eval().requires_grad_(False)
