"""What the converters of released checkpoints share: the files that they make, and how networks are described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from decoders.network.options import NetworkOptions

HEAD_WIDTH = 32  # MAD's and AiT's; the number of heads leaves no trace in the shapes of a checkpoint


@dataclass(frozen=True)
class ConvertedFile:
    """One file to be written.

    Args:
        tensors: our name to tensor.
        card: what a run must agree on.
        lines: description for the report.
        unused: released names without a place in our network.
        missing: our names that the checkpoint does not fill, and what the report calls each.
        kind: ``masks`` or ``depth`` for a codec, None for a network.
    """

    tensors: dict[str, Tensor]
    card: dict[str, Any]
    lines: list[str]
    unused: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    kind: str | None = None


def network_line(options: NetworkOptions, note: str = "") -> str:
    """Describe a network in one line; ``note`` follows the name of its backbone."""
    return (
        f"network: {options.backbone}{note}, width {options.width}, {options.heads} heads, "
        f"{options.encoder_layers} + {options.decoder_layers} layers"
    )


def count_blocks(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """Return the number of different words that follow a prefix in the names of tensors."""
    return len({name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)})
