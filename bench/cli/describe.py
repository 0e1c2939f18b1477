"""What `describe` prints of a decoder or a task. Of ours it imports no torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from textwrap import wrap

from bench import registry
from bench.builders.task_choice import make_vocabulary
from bench.builders.task_formats import CODES, PLAIN, check_formats, default_formats
from bench.checkpoints.checkpoint import checkpoint_path
from bench.checkpoints.codec import CODECS
from bench.config.loading import load_codec, load_run, preset_names
from bench.config.option_texts import class_text, option_texts
from bench.errors import UserError
from tasks.codecs.options import CodecOptions
from tasks.formats.sequence import SequenceFormat
from tasks.formats.vocabulary import Sizes, Vocabulary

PRESETS = {"mad": "paper", "ait": "ait-swinv2b-insseg"}  # one of each layout
WIDTH = 112  # columns of wrapped text


def describe_decoder(name: str) -> str:
    """Return what a decoder is, its options with their defaults, and the weights that are shipped."""
    entry = registry.decoder(name)
    lines = [f"decoder {name}: {entry.summary}", "", registry.documentation(registry.DECODERS, name), ""]
    if entry.Options is not None:
        defaults = {name: dataclasses.asdict(entry.Options())}
        lines += [f"options (--strategy '{{{name}: {{name: value}}}}'):", "", *describe_options(entry.Options), ""]
        lines += [f"defaults: {json.dumps(defaults)}", ""]
    if entry.needs_network:
        lines += ["weights:", *(describe_weights(entry.weights) or ["none are shipped"])]
    return "\n".join(lines).rstrip()


def describe_weights(name: str) -> list[str]:
    """Return the formats that shipped weights of a name were trained with, a line a preset."""
    lines = []
    for preset in preset_names():
        path = checkpoint_path(preset, name).with_suffix(".json")
        if path.exists():
            formats = {**PLAIN, **json.loads(path.read_text()).get("formats", {})}
            lines.append(f"{preset}: {', '.join(f'{task} as {form}' for task, form in formats.items())}")
    return lines


def describe_options(options: type) -> list[str]:
    """Return what the docstring of a dataclass says of it and, with those of its bases, of every option."""
    docstring = class_text(options)
    lines = [docstring.short_description or "", ""]
    if docstring.long_description:
        lines += [*docstring.long_description.splitlines(), ""]
    for name, text in option_texts(options).items():
        lines += wrap(f"{name}: {text}", WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8)
    return lines


def describe_task(name: str, preset: str | None, formats: Mapping[str, str] | None = None) -> str:
    """Return the format of a task's sequences with the sizes of a preset.

    Args:
        name: of the task.
        preset: whose sizes and shapes of codecs to use; None for one that has the task.
        formats: task to format, as in a run; plain where none is given, codes where there is nothing else.

    Raises:
        UserError: if the preset or a format is unknown.
    """
    entry = registry.task(name)
    default = PRESETS[entry.layouts[0]]
    preset = preset or default
    sizes = load_run({"decoder": "oracle", "preset": preset}).sizes
    if sizes.layout not in entry.layouts:
        raise UserError(f"task {name} is not of preset {preset!r}'s layout {sizes.layout!r}; give --preset {default}")
    chosen = default_formats(sizes.layout, [name], check_formats(formats or {})) | dict(formats or {})
    coded = [task for task, form in chosen.items() if form == CODES]
    shapes = {task: load_codec({"codec": CODECS[task], "preset": preset}).chosen.shape for task in coded}
    vocabulary = make_vocabulary(sizes, codes={task: shape.codes for task, shape in shapes.items()})
    form = _sequence_format(name, vocabulary, sizes, shapes.get(name))
    lines = [f"task {name}: {entry.summary}", "", registry.documentation(registry.TASKS, name), ""]
    lines += _format_lines(form, preset)
    if name in chosen:
        lines.append(f"format:      {_token_kind(name, shapes.get(name))}")
    earlier = f", and runs after {', '.join(entry.after)}" if entry.after else ""
    lines += [
        f"needs:       {entry.kind} annotations{earlier}",
        f"in tables:   {', '.join(entry.headline)}",
        "",
        *_vocabulary_lines(vocabulary, form),
    ]
    return "\n".join(lines)


def _sequence_format(name: str, vocabulary: Vocabulary, sizes: Sizes, codec: CodecOptions | None) -> SequenceFormat:
    if (sequence_format := registry.task(name).sequence_format) is not None:
        form: SequenceFormat = sequence_format(vocabulary, sizes, codec)
        return form
    from bench.builders.random_inputs import PlaceholderTokenizer
    from tasks.base import Task, TaskParts

    names = ["person", *(f"class {number}" for number in range(1, sizes.classes))]
    tokenizer = PlaceholderTokenizer(sizes.words)
    parts = TaskParts(vocabulary=vocabulary, sizes=sizes, class_names=names, tokenizer=tokenizer)
    task: Task = registry.load(registry.TASKS, name)(parts)
    return task.format


def _token_kind(task: str, shape: CodecOptions | None) -> str:
    if shape is None:
        return f"{PLAIN[task]} (--formats.{task} codes shows learned codes)"
    return f"codes, each one of {shape.codes} and of {shape.ratio}x{shape.ratio} pixels"


def _format_lines(form: SequenceFormat, preset: str) -> list[str]:
    group = " ".join("/".join(ids.name for ids in slot.ranges) for slot in form.slots[:8])
    more = f" … ({len(form.slots)} in all)" if len(form.slots) > 8 else ""
    dense = sum(slot.dense for slot in form.slots) * form.groups
    return [
        f"sequence:    {form.prompt_length} prompt tokens + {form.length} targets (preset {preset})",
        f"group:       [{group}{more}] × {form.groups}",
        f"dense:       {dense} of {form.length} positions",
        f"ends early:  {'yes' if form.end is not None else 'no'}",
    ]


def _vocabulary_lines(vocabulary: Vocabulary, form: SequenceFormat) -> Sequence[str]:
    used = sum(map(len, form.ranges))
    lines = [f"vocabulary of {len(vocabulary)} ids, {used} of them this task's (*):"]
    for ids in vocabulary:
        mark = "*" if ids in form.ranges else " "
        lines.append(f"  {mark} {ids.start:>6} … {ids.stop - 1:<6} {ids.name}")
    return lines
