"""Which format a task's sequences have: plain tokens or learned codes.

Two decoders of one run may use different formats; data set and metrics stay the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.checkpoints.checkpoint import checkpoint_path, read_checkpoint, train_command
from bench.checkpoints.codec import CODECS, StoredCodec, codec_name, load_codec, random_codec
from bench.config.codecs import Codecs
from bench.config.parts import SuiteOptions
from bench.errors import UserError, unknown
from bench.paths import CHECKPOINTS
from bench.registry import DecoderEntry

if TYPE_CHECKING:
    from tasks.codecs.vqvae import Codec

CODES = "codes"
PLAIN = {"segmentation": "bits", "depth": "bins"}


@dataclass(frozen=True)
class Formats:
    """The formats of one decoder.

    Args:
        names: task to ``bits``, ``bins`` or ``codes``, for every task that has a choice.
        codecs: kind to codec, for every format of codes.
    """

    names: Mapping[str, str]
    codecs: Mapping[str, StoredCodec] = field(default_factory=dict)

    @property
    def card(self) -> dict[str, Any]:
        """What cards and signatures say of the formats; nothing where all are plain."""
        if not self.codecs:
            return {}
        return {"formats": dict(self.names), "codecs": {kind: stored.reference for kind, stored in self.codecs.items()}}

    @property
    def modules(self) -> dict[str, Codec]:
        """Task to codec."""
        return {task: self.codecs[kind].codec for task, kind in CODECS.items() if kind in self.codecs}


def check_formats(given: Mapping[str, str]) -> Mapping[str, str]:
    """Return formats as they were given.

    Raises:
        UserError: if a task has no choice of formats, or not this one.
    """
    for task, name in given.items():
        if task not in PLAIN:
            raise UserError(f"--formats: {unknown('task with a choice of formats', task, list(PLAIN))}")
        if name not in (PLAIN[task], CODES):
            raise UserError(f"--formats.{task}: {unknown('format', name, [PLAIN[task], CODES])}")
    return given


def formats_to_train(
    given: Mapping[str, str], decoder: Any, tasks: Collection[str], *, layout: str, preset: str, root: Path | None
) -> Formats:
    """Formats that a decoder is trained with: those given, else its own wish for tasks that it learns, else plain.

    Args:
        given: ``formats`` of the training.
        decoder: strategy; may declare ``formats``.
        tasks: names of the tasks that are learned.
        layout: of the vocabulary.
        preset: whose codecs to use.
        root: folder of the checkpoints; None for the shipped ones.
    """
    names = default_formats(layout, tasks, check_formats(given))
    if layout == "mad":
        names |= _wishes(decoder, tasks)
    names |= given
    return Formats(names, _load(names, preset, root))


def formats_to_run(options: SuiteOptions, decoder: Any, tasks: Collection[str]) -> Formats:
    """Formats that a decoder runs with: those that its weights were trained with, and what was given must agree.

    Without weights they are those given, else the decoder's own wish, else plain.

    Raises:
        UserError: if weights or a codec are missing, broken, or do not belong together.
    """
    given, preset = check_formats(options.formats), options.preset
    plain = default_formats(options.sizes.layout, tasks, given)
    if not decoder.needs_network:
        names = {**plain, **registry.entry_of(DecoderEntry, decoder).formats, **given}
        return Formats(names, _load(names, preset, options.checkpoints))
    name = registry.entry_of(DecoderEntry, decoder).weights
    path = checkpoint_path(preset, name, options.checkpoints or CHECKPOINTS)
    _, card = read_checkpoint(path, train=train_command(name, preset))
    names = {**plain, **_formats_of(card, path)}
    for task, wanted in given.items():
        if names.get(task) != wanted:
            raise UserError(
                f"{path.parent.name}/{path.name}: was trained with {task} as {names.get(task)}, this run asks for "
                f"{wanted}; leave --formats.{task} out or train again with it"
            )
    codecs = _load(names, preset, options.checkpoints)
    for kind, stored in codecs.items():
        own = card.get("codecs", {}).get(kind, {})
        if own.get("hash") != stored.digest:
            raise UserError(
                f"{path.parent.name}/{path.name}: was trained with another codec of {kind} than "
                f"{codec_name(kind)}.safetensors ({_told(own)}; this is {_told(stored.reference)}); bring its own "
                f"back or train it again with `{train_command(name, preset)}`"
            )
    return Formats(names, codecs)


def _wishes(decoder: Any, tasks: Collection[str]) -> dict[str, str]:
    """Return task to the format that a strategy wants."""
    formats = registry.entry_of(DecoderEntry, decoder).formats
    return {task: name for task, name in formats.items() if task in tasks}


def _formats_of(card: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Task to format, as a card tells. Raises UserError for formats that there are none of."""
    told = card.get("formats", {})
    found = told.items() if isinstance(told, Mapping) else [("formats", told)]
    for task, name in found:
        if name not in (PLAIN.get(task), CODES):
            raise UserError(f"{path.with_suffix('.json')}: {task} is {name!r}, which is no format; copy its own card")
    return dict(found)


def default_formats(layout: str, tasks: Collection[str], given: Mapping[str, str]) -> dict[str, str]:
    """Task to format where nothing else is said: plain, or codes in layout ``ait``, which has nothing else.

    Raises:
        UserError: if a plain format was given for that layout.
    """
    if layout == "mad":
        return dict(PLAIN)
    for task, name in given.items():
        if name != CODES:
            raise UserError(f"--formats.{task} {name}: layout {layout!r} has no tokens for it; give {CODES}")
    return {task: CODES for task in CODECS if task in tasks}


def _told(codec: Mapping[str, Any]) -> str:
    return f"{codec.get('codes')} codes, hash {codec.get('hash')}"


def _load(names: Mapping[str, str], preset: str, root: Path | None) -> dict[str, StoredCodec]:
    kinds = dict.fromkeys(kind for task, kind in CODECS.items() if names.get(task) == CODES)
    return {kind: load_codec(kind, preset, root) for kind in kinds}


def random_formats(options: SuiteOptions, decoder: Any, tasks: Collection[str]) -> Formats:
    """The formats that a decoder wishes, with the preset's codecs or, without any, untrained ones of AiT's size."""
    given = check_formats(options.formats)
    names = {**default_formats(options.sizes.layout, tasks, given), **_wishes(decoder, tasks), **given}
    return Formats(names, random_codecs(names, options))


def random_codecs(names: Mapping[str, str], options: SuiteOptions) -> dict[str, StoredCodec]:
    """Return the preset's codecs of the tasks that have codes, or untrained ones of AiT's size."""
    kinds = dict.fromkeys(kind for task, kind in CODECS.items() if names.get(task) == CODES)
    return {kind: _codec_or_random(kind, options) for kind in kinds}


def _codec_or_random(kind: str, options: SuiteOptions) -> StoredCodec:
    try:
        return load_codec(kind, options.preset, options.checkpoints)
    except UserError:
        shape = getattr(Codecs(), kind).shape
        return StoredCodec(kind, random_codec(shape, options.seed), "random", {})
