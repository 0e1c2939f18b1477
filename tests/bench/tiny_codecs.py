"""Random codecs on disk, small enough for a test."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from bench.checkpoints.checkpoint import checkpoint_path, write_checkpoint
from bench.checkpoints.codec import codec_name, codec_tensors, random_codec
from tasks.codecs.options import CodecOptions

SHAPES = {
    "masks": CodecOptions(values="unit", side=16, ratio=4, width=4, blocks=1, codes=12, code_width=6),
    "depth": CodecOptions(values="metres", side=64, ratio=16, width=2, blocks=1, codes=10, code_width=6),
}


def write_codec(root: Path, kind: str, *, preset: str = "embedded", seed: int = 0, **changes: Any) -> Path:
    """Write a codec among the checkpoints in ``root``; ``changes`` are of its shape or its card."""
    of_shape = {name: value for name, value in changes.items() if name in CodecOptions.__dataclass_fields__}
    shape = dataclasses.replace(SHAPES[kind], **of_shape)
    card = {"codec": kind, "shape": dataclasses.asdict(shape)}
    card |= {name: value for name, value in changes.items() if name not in of_shape}
    path = checkpoint_path(preset, codec_name(kind), root)
    return write_checkpoint(path, codec_tensors(random_codec(shape, seed)), card)


def write_codecs(root: Path) -> Path:
    """Write both codecs; return ``root``."""
    for kind in SHAPES:
        write_codec(root, kind)
    return root
