"""What a task's sequences look like under a preset, in words."""

from __future__ import annotations

import sys
from typing import Any

from bench import registry
from bench.codec_files import CODECS, random_codec
from bench.errors import UserError
from bench.parsers import parse_codec, parse_run
from bench.suite import layouts, make_tasks
from tasks.sequence import SequenceFormat
from tasks.vocabulary import Vocabulary
from tasks.vqvae import Codec

OTHER = {"mad": "paper", "ait": "ait-swinv2b-insseg"}  # a preset of each layout


class Letters:
    """Stands in for a tokeniser where only the number of pieces matters."""

    def __init__(self, pieces: int) -> None:
        self._pieces = pieces

    def __len__(self) -> int:
        return self._pieces

    def encode(self, text: str) -> list[int]:
        """Never needed to describe a format."""
        raise NotImplementedError

    def decode(self, pieces: list[int]) -> str:
        """Never needed to describe a format."""
        raise NotImplementedError


def _untrained(preset: str) -> dict[str, Codec]:
    """Codecs of a preset's shapes, where only the number and the grid of codes matter."""
    shapes = parse_codec(["--codec", "depth", "--preset", preset]).codecs
    kinds = {"depth": shapes.depth.shape, "masks": shapes.masks.shape}
    return {task: random_codec(kinds[kind]) for task, kind in CODECS.items()}


def describe_task(name: str, preset: str | None) -> str:
    """Format of a task's sequences with the sizes of a preset.

    Raises:
        UserError: if the preset is unknown.
    """
    cls: Any = registry.load(registry.TASKS, name)
    fitting = OTHER[layouts(cls)[0]]
    preset = preset or fitting
    sizes = parse_run(["--decoder", "oracle", "--preset", preset]).sizes
    if sizes.layout not in layouts(cls):
        raise UserError(f"task {name} is not of preset {preset!r}'s layout {sizes.layout!r}; give --preset {fitting}")
    names = ["person", *(f"class {number}" for number in range(1, sizes.classes))]
    codecs = _untrained(preset) if sizes.layout == "ait" else None
    vocabulary, (task,) = make_tasks(
        [cls], sizes=sizes, class_names=names, tokenizer=Letters(sizes.words), codecs=codecs
    )
    lines = [f"task {name}: {cls.summary}", "", (sys.modules[cls.__module__].__doc__ or "").strip(), ""]
    lines += _format_lines(task.format, preset)
    lines += [
        f"needs:       {cls.kind} annotations" + (f", and runs after {', '.join(cls.after)}" if cls.after else ""),
        f"in tables:   {', '.join(cls.headline)}",
        "",
        *_vocabulary_lines(vocabulary, task.format),
    ]
    return "\n".join(lines)


def _format_lines(form: SequenceFormat, preset: str) -> list[str]:
    group = " ".join("/".join(found.name for found in slot.ranges) for slot in form.slots[:8])
    more = f" … ({len(form.slots)} in all)" if len(form.slots) > 8 else ""
    return [
        f"sequence:    {form.prompt_length} prompt tokens + {form.length} targets (preset {preset})",
        f"group:       [{group}{more}] × {form.groups}",
        f"dense:       {int(form.dense.sum())} of {form.length} positions",
        f"ends early:  {'yes' if form.end is not None else 'no'}",
    ]


def _vocabulary_lines(vocabulary: Vocabulary, form: SequenceFormat) -> list[str]:
    lines = [f"vocabulary of {len(vocabulary)} ids, {len(form.ids)} of them this task's (*):"]
    for found in vocabulary:
        mark = "*" if found in form.ranges else " "
        lines.append(f"  {mark} {found.start:>6} … {found.stop - 1:<6} {found.name}")
    return lines
