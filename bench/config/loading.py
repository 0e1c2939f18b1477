"""Typed options from a preset, a YAML file, and words or a mapping; later ones win.

The command line, the gate, sweeps, studies and reports all get their options here. A mapping has the same names as the
command line, members of a section nested or with dots: ``{"decoder": "mad", "sizes": {"bins": 1000}}``.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from yaml import YAMLError

from bench import paths
from bench.config.bounds import check_values
from bench.config.words import Words, check_name, one_line, option_types, read_words
from bench.config.yaml_files import check_yaml, read_yaml
from bench.errors import UserError, unknown

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from bench.config.codecs import CodecTrainOptions
    from bench.config.run import RunOptions
    from bench.config.training import TrainOptions

T = TypeVar("T")
Given = Sequence[str] | Mapping[str, Any]  # words of a command line, or names to values
# Sections of presets. Not every command reads each of them.
SECTIONS = {"codecs", "formats", "image", "network", "reading", "strategy", "tasks", "temperatures", "train"}


def load_run(options: Given) -> RunOptions:
    """Return the options of ``run``: words or mapping over YAML file (``config``) over preset (``preset``).

    Raises:
        UserError: if one of them is unknown or cannot be used.
    """
    from bench.config.run import RunOptions

    return load(RunOptions, options, command="run", preset=choose_preset(options))


def load_train(options: Given) -> TrainOptions:
    """Return the options of ``train``, with the same precedence."""
    from bench.config.training import TrainOptions

    return load(TrainOptions, options, command="train", preset=choose_preset(options, with_data="mad-r50"))


def load_codec(options: Given) -> CodecTrainOptions:
    """Return the options of ``train --codec``, with the same precedence."""
    from bench.config.codecs import CodecTrainOptions

    if _value_of(options, "decoder") is not None:
        raise UserError("train: --codec and --decoder are two trainings; give one of them")
    return load(CodecTrainOptions, options, command="train", preset=choose_preset(options))


def load(cls: type[T], options: Given, *, command: str, positional: Sequence[str] = (), preset: str | None = None) -> T:
    """Return typed options of any command.

    Args:
        cls: class of the options.
        options: words of a command line, or a mapping of names to values.
        command: for messages.
        positional: options that words may give without their name, in order.
        preset: preset below the options; None for commands that have none.

    Raises:
        UserError: in one line that names the option, the value and what was expected.
    """
    from jsonargparse import ArgumentError

    types, words = option_types(cls), Words()
    parser = option_parser(cls, command, None if preset is None else preset_file(preset))  # type: ignore[arg-type]
    try:
        if isinstance(options, Mapping):
            _check_names(options, types, SECTIONS | {"config"} if preset else set())
            config = _read_options(Path(options["config"])) if options.get("config") else {}
            parsed = parser.parse_object(_merged(config, {n: v for n, v in options.items() if n != "config"}))
        else:
            further = {"config", "print_config"} if preset else set()
            words = read_words(options, types, positional=positional, further=further)
            for word in words.options:
                with suppress(YAMLError):  # then it is plain text
                    check_yaml(word.partition("=")[2])
            parsed = parser.parse_args(words.options)
        check_values(parsed, types)
        values = vars(parser.instantiate(parsed))
        return cls(**{name: values[name] for name in types if name in values})
    except (ArgumentError, ArithmeticError, RecursionError, TypeError, ValueError) as error:
        message = f"{words.respell(one_line(str(error)))}; see `decoder-bench {command} --help`"
    except UserError as error:
        message = words.respell(str(error))
    raise UserError(message)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, member by member of nested mappings; ``above`` wins."""
    return {**below} | {
        name: _merged(below[name], value)
        if isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
        else value
        for name, value in above.items()
    }


def _check_names(options: Mapping[str, Any], types: Mapping[str, Any], further: set[str], prefix: str = "") -> None:
    for name, value in options.items():
        if prefix or name not in further:
            check_name(f"{prefix}{name}", types)
        if isinstance(value, Mapping) and any(option.startswith(f"{prefix}{name}.") for option in types):
            _check_names(value, types, further, f"{prefix}{name}.")


@functools.cache
def option_parser(cls: type, command: str, preset: Path | None) -> ArgumentParser:
    """Return the parser of a command.

    Args:
        cls: class of the options.
        command: its name, for messages.
        preset: YAML file below the options; None for commands that have none.
    """
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog=f"decoder-bench {command}",
        default_config_files=[] if preset is None else [str(preset)],
        exit_on_error=False,
        allow_abbrev=False,
    )
    if preset is not None:
        parser.add_argument("--config", action="config", help="YAML file with options")
    parser.add_class_arguments(cls, nested_key=None, as_group=False)
    if preset is not None:
        for name in sorted(SECTIONS - option_types(cls).keys()):  # sections that other commands read
            parser.add_argument(f"--{name}", type=Any, help=argparse.SUPPRESS)
        parser.set_defaults(preset=preset.stem)
    return parser


def preset_names() -> list[str]:
    """Return the names of the presets that ship with the package."""
    return sorted(path.stem for path in paths.PRESETS.glob("*.yaml"))


def preset_file(name: str) -> Path:
    """Return the path of a preset.

    Raises:
        UserError: if there is none of that name.
    """
    if name not in preset_names():
        raise UserError(unknown("preset", name, preset_names()))
    return paths.PRESETS / f"{name}.yaml"


def choose_preset(options: Given, *, with_data: str = "paper") -> str:
    """Return the preset that options ask for, themselves or through their YAML file.

    Where they name none it is ``with_data`` if data is given, else ``embedded``. The preset lies below all other
    options, so it must be known before they are parsed.
    """
    values = {name: _value_of(options, name) for name in ("preset", "config", "coco", "nyu")}
    if values["config"]:
        content = _read_options(Path(values["config"]))
        values = {name: value or content.get(name) for name, value in values.items()}
    if values["preset"]:
        return str(values["preset"])
    return with_data if values["coco"] or values["nyu"] else "embedded"


def _read_options(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file with options. Raises UserError if it is no mapping."""
    content = read_yaml(path) or {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected options as `name: value`, got a {type(content).__name__}")
    return content


def _value_of(options: Given, name: str) -> Any:
    """Return the value of an option; of words the last one counts, as in the parser."""
    if isinstance(options, Mapping):
        return options.get(name)
    value = None
    for position, word in enumerate(options):
        if word.startswith(f"--{name}="):
            value = word.partition("=")[2]
        if word == f"--{name}" and position + 1 < len(options):
            value = options[position + 1]
    return value
