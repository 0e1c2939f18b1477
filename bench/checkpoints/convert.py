"""``import``: another project's released checkpoint as weights of our network, with a card of where they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from bench.checkpoints import convert_ait as importing_ait
from bench.checkpoints.checkpoint import content_hash, fit_card, read_checkpoint
from bench.checkpoints.codec import CODECS, codec_name
from bench.checkpoints.codec import KINDS as KINDS_OF_CODECS
from bench.checkpoints.convert_mad import Imported, import_mad
from bench.errors import UserError
from decoders.network.errors import NetworkError
from decoders.network.released import to_released
from results.store import write_atomically
from tasks.errors import TaskError
from tasks.formats.tokenizer import SentencePieceTokenizer
from tasks.formats.vocabulary import Vocabulary

KINDS = ("mad", "ait")
SHOWN = 40


def import_checkpoint(
    kind: str, path: Path, out: Path, *, codecs: Sequence[Path] = (), tokenizer: Path | None = None
) -> str:
    """Convert a checkpoint and write ``out`` (safetensors) and its card beside it (``.json``).

    Codecs that lie in a task solver's checkpoint are written beside it, as ``codec-<kind>.safetensors``.

    Args:
        kind: ``mad`` or ``ait``.
        path: a PyTorch or safetensors file.
        out: file to write; ``.safetensors`` is added if it has another suffix.
        codecs: imported codecs that a task solver of AiT was trained with, where they do not lie in its checkpoint.
        tokenizer: SentencePiece model of the words of a MAD checkpoint; captions need it.

    Returns:
        What was converted, unused and missing, to be printed.

    Raises:
        UserError: if the kind is unknown, or the file cannot be read without running code or is no such checkpoint.
    """
    if kind not in KINDS:
        raise UserError(f"cannot import {kind!r}; known: {', '.join(KINDS)}")
    out = out if out.suffix == ".safetensors" else out.with_name(f"{out.name}.safetensors")
    if kind == "ait":
        if tokenizer is not None:
            raise UserError("--tokenizer: is of captions, a checkpoint of ait has none; leave it out")
        return _import_ait(path, out, codecs)
    if codecs:
        raise UserError(f"--codecs: are AiT's, a checkpoint of {kind} has none; leave them out")
    found = import_mad(path)
    hashed = None if tokenizer is None else _tokenizer_hash(tokenizer, found.sizes.words)
    card = {
        **fit_card(found.sizes, found.options, Vocabulary(found.sizes), hashed),
        "unused": found.conversion.unused,
        "missing": found.conversion.missing,
        "rows_kept_random": found.conversion.kept_rows,
    }
    _write(out, found.tensors, _source(kind, path) | card)
    return _report(found, out)


def _tokenizer_hash(path: Path, words: int) -> str:
    """What cards call a caption tokenizer. Raises UserError if it is none, or has more pieces than there are words."""
    try:
        pieces = len(SentencePieceTokenizer(path))
    except TaskError as error:
        raise UserError(f"--tokenizer: {error}") from None
    if pieces > words:
        raise UserError(
            f"--tokenizer: {path.name} has {pieces} pieces, the checkpoint {words} words; give its own model"
        )
    return content_hash(path.read_bytes())


def _import_ait(path: Path, out: Path, codecs: Sequence[Path]) -> str:
    try:
        parts = importing_ait.import_ait(path)
    except NetworkError as error:
        raise UserError(str(error)) from None
    except ValueError as error:
        raise UserError(f"{path}: its sizes fit no AiT network ({error})") from None
    known = dict(map(_codec_card, codecs))
    lines = []
    for part in parts:
        alone = len(parts) == 1
        target = out if alone or part.kind is None else out.with_name(f"{codec_name(part.kind)}.safetensors")
        card = _source("ait", path) | part.card | {"unused": part.unused, "missing": part.missing}
        if part.kind is None and known:
            card |= {"formats": {task: "codes" for task, kind in CODECS.items() if kind in known}, "codecs": known}
        digest = _write(target, part.tensors, card)
        if part.kind is not None:
            known[part.kind] = {"hash": digest, "codes": part.card["shape"]["codes"]}
        lines += [_told(target, part.tensors, part.missing), *part.lines]
        lines += [_names("unused", part.unused), _names("missing (left random)", part.missing)]
    return "\n".join(lines)


def _codec_card(path: Path) -> tuple[str, dict[str, Any]]:
    """Kind of an imported codec, and what the card of a task solver says of it."""
    tensors, card = read_checkpoint(path, train="python -m bench import ait CHECKPOINT")
    if card.get("codec") not in KINDS_OF_CODECS:
        raise UserError(f"{path}: is no codec; give what `import ait` made of one")
    return str(card["codec"]), {"hash": card["hash"], "codes": len(tensors["quantiser.embedding"])}


def _source(kind: str, path: Path) -> dict[str, Any]:
    return {
        "format": "decoder-bench import",
        "kind": kind,
        "source": {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
    }


def _write(out: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> str:
    """Write weights and their card with the hash of the weights, which is returned."""
    out.parent.mkdir(parents=True, exist_ok=True)
    content = safetensors.torch.save(dict(tensors))
    digest = content_hash(content)
    write_atomically(out, content)
    write_atomically(out.with_suffix(".json"), (json.dumps({**card, "hash": digest}, indent=2) + "\n").encode())
    return digest


def _report(found: Imported, out: Path) -> str:
    conversion = found.conversion
    lines: list[Any] = [
        _told(out, found.tensors, conversion.missing),
        f"network: {found.options.backbone}, width {found.options.width}, {found.options.heads} heads, "
        f"{found.options.encoder_layers} + {found.options.decoder_layers} layers",
        _names("unused", conversion.unused),
        _names("missing (left random)", [f"{to_released(name)} (ours {name})" for name in conversion.missing]),
    ]
    if conversion.kept_rows:
        lines.append(f"embedding: {conversion.kept_rows} rows of tokens that MAD does not have (depth) left random")
    return "\n".join(lines)


def _told(out: Path, tensors: Mapping[str, Tensor], missing: Sequence[str]) -> str:
    used = len(tensors) - len(missing)
    return f"{out}: {used} tensors, {sum(value.numel() for value in tensors.values()):,} numbers"


def _names(title: str, names: list[str]) -> str:
    more = f", … {len(names) - SHOWN} more, all in the card" if len(names) > SHOWN else ""
    return f"{title}: {', '.join(names[:SHOWN]) + more if names else 'none'}"
