"""Help of the command line: the list of commands, and the options of one."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any

from bench.cli.commands import Command

GROUPS = {
    "what": ("decoder", "codec", "preset", "config", "tasks", "checkpoints", "start", "encoder"),
    "data": ("coco", "nyu", "split", "limit", "evaluate_on"),
    "times": (
        "speed_only",
        "accuracy_only",
        "mode",
        "scenario",
        "batch",
        "device",
        "threads",
        "budget",
        "phases",
    ),
    "results": ("out", "seed", "fresh", "report", "publish"),
}
"""Options of ``run`` and ``train`` that a user needs first."""
NARROW, WIDE = 60, 120  # columns between which help is as wide as the terminal
METAVARS = {bool: "", int: "N", float: "X", str: "TEXT", Path: "PATH"}


def print_commands(commands: Mapping[str, Command]) -> None:
    """Print the commands in their groups."""
    lines = ["usage: decoder-bench COMMAND [options]   (without COMMAND: run)", ""]
    lines += ["How should an image's token sequence be decoded? One backbone, five tasks, accuracy and time."]
    column = max(map(len, commands)) + 4
    for group in dict.fromkeys(command.group for command in commands.values()):
        lines += ["", f"{group}:"]
        for name, command in commands.items():
            if command.group == group:
                lines += _entry(name, command.summary, column)
    lines += ["", "`decoder-bench COMMAND --help` shows the options of one."]
    print("\n".join(lines))


def print_version() -> None:
    """Print name and version of the program."""
    print(f"decoder-bench {version('decoder-bench')}")


def print_command_help(name: str, command: Command, words: Sequence[str]) -> None:
    """Print the options of a command with the defaults that hold for these words, and its words without an option.

    Of commands with a preset ``--help`` shows the options that a user needs first, ``--help-all`` all.
    """
    from bench.config.codecs import CodecTrainOptions
    from bench.config.loading import choose_preset, option_parser, preset_file
    from bench.config.option_texts import option_texts
    from bench.config.words import option_types

    codec = name == "train" and any(word.split("=")[0] == "--codec" for word in words)
    options = CodecTrainOptions if codec else command.options_class
    preset = None if command.preset is None else preset_file(choose_preset(words, with_data=command.preset))
    defaults = vars(option_parser(options, name, preset).get_defaults().as_flat())
    texts, types = option_texts(options), option_types(options)
    if name == "train" and not codec:
        texts["codec"], types["codec"] = "train a learned codec instead: depth or masks", str
    if preset is not None:
        texts["config"], types["config"] = "YAML file with options", Path
    required = {field.name for field in dataclasses.fields(options) if _is_required(field)}
    shown = {
        option: _entry(
            option.upper() if option in command.positional else _spelled(option, types[option]),
            _explained(text, defaults.get(option), option in required),
        )
        for option, text in texts.items()
        if not dataclasses.is_dataclass(types[option])
    }
    usage = " ".join(_positional(each, types[each], each in required) for each in command.positional)
    print(" ".join(filter(None, ["usage: decoder-bench", name, usage, "[options]"])))
    print("", *wrap(command.summary, _columns()), *_sections(name, command, shown, "--help-all" in words), sep="\n")


def _sections(name: str, command: Command, shown: Mapping[str, list[str]], everything: bool) -> Iterator[str]:
    """Yield the lines of words without an option, then of options in groups."""
    groups: dict[str, list[str]] = {"words": [*command.positional]}
    if command.preset is not None:
        groups |= {title: [option for option in options if option in shown] for title, options in GROUPS.items()}
    grouped = {option for options in groups.values() for option in options}
    rest = [option for option in shown if option not in grouped]
    if command.preset is None:
        groups["options"] = rest
    elif everything:
        for option in rest:
            groups.setdefault(option.partition(".")[0] if "." in option else "further options", []).append(option)
    for title, options in groups.items():
        if options:
            yield from ("", f"{title}:")
            for option in options:
                yield from shown[option]
    if command.preset is not None:
        yield ""
        if not everything:
            yield f"`{name} --help-all` shows all {len(shown)} options, of sizes, image and network too."
        if name == "train":
            yield "`train --codec depth --help` shows those of codecs."
        yield "`describe DECODER` shows the options of a decoder, `list` what there is."


def _columns() -> int:
    return min(max(get_terminal_size((80, 24)).columns, NARROW), WIDE)


def _entry(head: str, text: str, column: int = 26) -> list[str]:
    """Return a name and its explanation, which starts in a column of its own, wrapped."""
    lines = wrap(text, _columns() - column, break_on_hyphens=False, break_long_words=False) or [""]
    hanging = [" " * column + line for line in lines]
    if len(head) + 4 > column:
        return [f"  {head}", *hanging]
    return [f"  {head}".ljust(column) + lines[0], *hanging[1:]]


def _spelled(option: str, hint: Any) -> str:
    from bench.config.words import literal_choices

    kinds = [kind for kind in (typing.get_args(hint) or (hint,)) if kind is not type(None)]
    metavar = METAVARS.get(kinds[0], "TEXT")
    if choices := literal_choices(hint):
        metavar = "|".join(choices)
    elif typing.get_origin(hint) is dict:
        metavar = "{NAME: VALUE}"
    elif typing.get_origin(hint) in (list, tuple):
        metavar = f"{metavar} …"
    return f"--{option.replace('_', '-')} {metavar}".rstrip()


def _explained(text: str, default: Any, required: bool) -> str:
    """Return an explanation without markup, with the default where it does not name one itself."""
    text = text.replace("``", "").removesuffix(".")
    if required:
        return f"{text} (required)"
    if default in (None, False, "", {}, []) or "default:" in text:
        return text
    return f"{text} (default: {default})"


def _positional(option: str, hint: Any, required: bool) -> str:
    word = option.upper() + " …" * (typing.get_origin(hint) is list)
    return word if required else f"[{word}]"


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
