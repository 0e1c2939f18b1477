"""``import``: convert a released checkpoint of another project into our weights, with a card of their origin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch

from bench.checkpoints.checkpoint import content_hash, read_checkpoint
from bench.checkpoints.codec import CODECS, KINDS, codec_name
from bench.checkpoints.convert_ait import convert_ait
from bench.checkpoints.convert_mad import convert_mad
from bench.checkpoints.converted_file import ConvertedFile
from bench.errors import UserError
from decoders.network.errors import NetworkError
from decoders.network.weights import StateDict, check_finite, read_state_dict
from results.store import write_atomically
from tasks.errors import TaskError
from tasks.formats.tokenizer import SentencePieceTokenizer

CONVERTERS = {"mad": convert_mad, "ait": convert_ait}
TITLES = {"mad": "MAD", "ait": "AiT"}
SHOWN = 40
LARGEST_MISSING = 0.05
"""Largest share of a network's tensors, or of its numbers, that a checkpoint may lack without ``--allow-missing``."""


def import_checkpoint(
    kind: str,
    path: Path,
    out: Path,
    *,
    codecs: Sequence[Path] = (),
    tokenizer: Path | None = None,
    entry: str | None = None,
    allow_missing: bool = False,
) -> str:
    """Convert a checkpoint; write ``out`` (safetensors) and its card beside it (``.json``).

    Codecs inside a task solver's checkpoint are written beside it, as ``codec-<kind>.safetensors``.

    Args:
        kind: ``mad`` or ``ait``.
        path: a PyTorch or safetensors file.
        out: file to write; ``.safetensors`` is added if it has another suffix.
        codecs: imported codecs that a task solver of AiT was trained with, if its checkpoint does not hold them.
        tokenizer: SentencePiece model of the words of a MAD checkpoint; captions need it.
        entry: state dict to take of a file that holds several, e.g. ``ema``.
        allow_missing: accept a checkpoint that lacks more than ``LARGEST_MISSING`` of the network.

    Returns:
        A report of what was converted, unused and missing.

    Raises:
        UserError: if the kind is unknown, or the file cannot be read without running code, is no such checkpoint,
            lacks too much of the network, or holds NaN or infinity.
    """
    if kind not in CONVERTERS:
        raise UserError(f"cannot import {kind!r}; known: {', '.join(CONVERTERS)}")
    if kind == "ait" and tokenizer is not None:
        raise UserError("--tokenizer: is for captions, which a checkpoint of ait does not have; leave it out")
    if kind != "ait" and codecs:
        raise UserError(f"--codecs: are AiT's, a checkpoint of {kind} has none; leave them out")
    state, files = _convert(kind, path, entry)
    if not allow_missing:
        for file in files:
            _check_missing(path, file)
    codec_cards, lines = dict(map(_codec_card, codecs)), [_entry_line(state)]
    source = {
        "format": "decoder-bench import",
        "kind": kind,
        "source": {"name": path.name, "entry": state.entry, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
    }
    out = out if out.suffix == ".safetensors" else out.with_name(f"{out.name}.safetensors")
    for file in files:
        target = out if len(files) == 1 or file.kind is None else out.with_name(f"{codec_name(file.kind)}.safetensors")
        card = source | file.card | {"unused": file.unused, "missing": list(file.missing)}
        if tokenizer is not None:
            card["tokenizer"] = _tokenizer_hash(tokenizer, card["sizes"]["words"])
        if file.kind is None and codec_cards:
            formats = {task: "codes" for task, codec in CODECS.items() if codec in codec_cards}
            card |= {"formats": formats, "codecs": codec_cards}
        digest = _write(target, file, card)
        if file.kind is not None:
            codec_cards[file.kind] = {"hash": digest, "codes": card["shape"]["codes"]}
        lines += _report(target, file)
    return "\n".join(lines)


def _convert(kind: str, path: Path, entry: str | None) -> tuple[StateDict, list[ConvertedFile]]:
    """Read and convert; every tensor that is used must be finite."""
    try:
        state = read_state_dict(path, entry)
        released = {name.removeprefix("module."): value for name, value in state.tensors.items()}
        files = CONVERTERS[kind](path, released)
        unused = {name for file in files for name in file.unused}
        check_finite({name: value for name, value in released.items() if name not in unused}, path)
        return state, files
    except NetworkError as error:
        raise UserError(str(error)) from None
    except ValueError as error:
        raise UserError(f"{path}: its sizes fit no {TITLES[kind]} network ({error})") from None


def _check_missing(path: Path, file: ConvertedFile) -> None:
    """Refuse a checkpoint that would leave too much of the network random. Raises UserError."""
    numbers = {name: value.numel() for name, value in file.tensors.items()}
    missing = [name for name in file.missing if name in numbers]
    share = max(len(missing) / len(numbers), sum(numbers[name] for name in missing) / max(1, sum(numbers.values())))
    if share > LARGEST_MISSING:
        raise UserError(
            f"{path}: lacks {len(missing)} of {len(numbers)} tensors ({file.missing[missing[0]]}, …), "
            f"{100 * share:.0f} % of the network; more than {100 * LARGEST_MISSING:.0f} % would be random. Give the "
            "whole checkpoint, or --allow-missing"
        )


def _entry_line(state: StateDict) -> str:
    left = f"; left: {', '.join(state.left)} (--entry NAME takes another)" if state.left else ""
    return f"entry: {state.entry or 'the whole file'}{left}"


def _tokenizer_hash(path: Path, words: int) -> str:
    """Return the hash by which cards name a tokenizer. Raises UserError if it is none, or has too many pieces."""
    try:
        pieces = len(SentencePieceTokenizer(path))
    except TaskError as error:
        raise UserError(f"--tokenizer: {error}") from None
    if pieces > words:
        raise UserError(
            f"--tokenizer: {path.name} has {pieces} pieces, the checkpoint {words} words; give its own model"
        )
    return content_hash(path.read_bytes())


def _codec_card(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the kind of an imported codec, and what the card of a task solver says of it."""
    tensors, card = read_checkpoint(path, train="python -m bench import ait CHECKPOINT")
    if card.get("codec") not in KINDS:
        raise UserError(f"{path}: is no codec; give what `import ait` made of one")
    return str(card["codec"]), {"hash": card["hash"], "codes": len(tensors["quantiser.embedding"])}


def _write(path: Path, file: ConvertedFile, card: dict[str, Any]) -> str:
    """Write weights and their card; return the hash of the weights, which the card names."""
    content = safetensors.torch.save(file.tensors)
    digest = content_hash(content)
    write_atomically(path, content)
    write_atomically(path.with_suffix(".json"), (json.dumps({**card, "hash": digest}, indent=2) + "\n").encode())
    return digest


def _report(path: Path, file: ConvertedFile) -> list[str]:
    used = len(file.tensors) - len(file.missing)
    return [
        f"{path}: {used} tensors, {sum(value.numel() for value in file.tensors.values()):,} numbers",
        *file.lines,
        _names("unused", file.unused),
        _names("missing (left random)", file.missing.values()),
    ]


def _names(title: str, names: Iterable[str]) -> str:
    names = list(names)
    more = f", … {len(names) - SHOWN} more, all in the card" if len(names) > SHOWN else ""
    return f"{title}: {', '.join(names[:SHOWN]) + more if names else 'none'}"
