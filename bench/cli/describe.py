"""What a task's sequences look like under a preset, and what a decoder's weights were trained with, in words."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from bench import registry
from bench.builders.suite import layouts, make_tasks
from bench.builders.task_formats import CODES, PLAIN, checked, default_formats
from bench.checkpoints.checkpoint import checkpoint_path
from bench.checkpoints.codec import CODECS, random_codec
from bench.cli.commands import COMMANDS
from bench.config.codecs import CodecTrainOptions
from bench.config.loading import load_run, preset_names
from bench.errors import UserError
from tasks.codecs.options import CodecOptions
from tasks.formats.sequence import SequenceFormat
from tasks.formats.vocabulary import Vocabulary

PRESETS = {"mad": "paper", "ait": "ait-swinv2b-insseg"}  # one of each layout


class Letters:
    """Stands in for a tokenizer where only the number of pieces matters."""

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


def describe_weights(decoder: Any) -> list[str]:
    """What every shipped checkpoint of a decoder was trained with, a line each."""
    lines = []
    for preset in preset_names():
        path = checkpoint_path(preset, getattr(decoder, "weights", decoder.name)).with_suffix(".json")
        if path.exists():
            names = {**PLAIN, **json.loads(path.read_text()).get("formats", {})}
            lines.append(f"{preset}: {', '.join(f'{task} as {name}' for task, name in names.items())}")
    return lines


def describe_options(options: type) -> str:
    """What a class of options says of itself, with the options that only its bases explain."""
    told = inspect.cleandoc(options.__doc__ or "")
    lines, known = told.splitlines(), set(_explained(told))
    added: list[str] = []
    for base in options.__mro__[1:]:
        found = _explained(inspect.cleandoc(base.__doc__ or ""))
        added += [line for name, own in found.items() if name not in known for line in own]
        known |= found.keys()
    if added and "Args:" not in lines:
        lines += ["", "Args:"]
    return "\n".join(lines + added)


def _explained(text: str) -> dict[str, list[str]]:
    """Option to the lines of ``Args`` that explain it."""
    found: dict[str, list[str]] = {}
    name = None
    for line in text.partition("Args:\n")[2].splitlines():
        if match := re.match(r"    (\w+): ", line):
            name = match[1]
        elif not line.startswith("        "):
            name = None  # the next section
        if name is not None:
            found.setdefault(name, []).append(line)
    return found


def describe_task(name: str, preset: str | None, formats: Mapping[str, str] | None = None) -> str:
    """Format of a task's sequences with the sizes of a preset.

    Args:
        name: of the task.
        preset: whose sizes and shapes of codecs to use; None for one that has the task.
        formats: task to format, as in a run; plain where none is given, codes where there is nothing else.

    Raises:
        UserError: if the preset or a format is unknown.
    """
    cls: Any = registry.load(registry.TASKS, name)
    fitting = PRESETS[layouts(cls)[0]]
    preset = preset or fitting
    sizes = load_run(["--decoder", "oracle", "--preset", preset]).sizes
    if sizes.layout not in layouts(cls):
        raise UserError(f"task {name} is not of preset {preset!r}'s layout {sizes.layout!r}; give --preset {fitting}")
    chosen = default_formats(sizes.layout, [name], checked(formats or {})) | dict(formats or {})
    names = ["person", *(f"class {number}" for number in range(1, sizes.classes))]
    shapes = {task: _shape(task, preset) for task, own in chosen.items() if own == CODES}
    vocabulary, (task,) = make_tasks(
        [cls],
        sizes=sizes,
        class_names=names,
        tokenizer=Letters(sizes.words),
        codecs={own: random_codec(shape) for own, shape in shapes.items()},
    )
    lines = [f"task {name}: {cls.summary}", "", (sys.modules[cls.__module__].__doc__ or "").strip(), ""]
    lines += _format_lines(task.format, preset)
    if name in chosen:
        lines.append(f"format:      {_told(name, shapes.get(name))}")
    lines += [
        f"needs:       {cls.kind} annotations" + (f", and runs after {', '.join(cls.after)}" if cls.after else ""),
        f"in tables:   {', '.join(cls.headline)}",
        "",
        *_vocabulary_lines(vocabulary, task.format),
    ]
    return "\n".join(lines)


def _shape(task: str, preset: str) -> CodecOptions:
    options: CodecTrainOptions = COMMANDS["train"].load_options("train", ["--codec", CODECS[task], "--preset", preset])
    return options.chosen.shape


def _told(task: str, shape: CodecOptions | None) -> str:
    if shape is None:
        return f"{PLAIN[task]} (--formats.{task} codes shows learned codes)"
    return f"codes, each one of {shape.codes} and of {shape.ratio}x{shape.ratio} pixels"


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
