"""Typed options from a preset, a YAML file or a mapping, and words; later ones win."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from bench.config.codecs import CodecTrainOptions
from bench.config.run import RunOptions
from bench.config.training import TrainOptions
from bench.errors import UserError
from bench.paths import PRESETS
from bench.registry import unknown

# Of presets, that not every command reads.
SECTIONS = {"codecs", "formats", "image", "network", "reading", "strategy", "tasks", "temperatures", "train"}


STUDY = "A study that chooses its decoders itself; what else its runs or trainings take:"


def parse_run(words: list[str], *, study: str | None = None) -> RunOptions:
    """Options of ``run``: command line over YAML file (``--config``) over preset (``--preset``).

    Args:
        words: of the command line.
        study: the command that has these options too and chooses its decoders itself.
    """
    about = "Run decoders on a data set: a table, and a record for each."
    parser = _preset_parser(study or "run", about if study is None else STUDY, choose_preset(words), RunOptions)
    if study:
        _hide(parser, "--decoder")
    options: RunOptions = _typed(parser, words, RunOptions)
    return options


def parse_train(words: list[str], *, study: str | None = None) -> TrainOptions:
    """Options of ``train``, with the same precedence; ``study`` as in ``parse_run``."""
    about = "Train a decoder, or the encoder that decoders share; `train --codec depth --help` tells of codecs."
    preset = choose_preset(words, with_data="mad-r50")
    parser = _preset_parser(study or "train", about if study is None else STUDY, preset, TrainOptions)
    if study:
        _hide(parser, "--decoder")
    options: TrainOptions = _typed(parser, words, TrainOptions)
    return options


def parse_codec(words: list[str]) -> CodecTrainOptions:
    """Options of ``train --codec``, with the same precedence."""
    if any(word.split("=")[0] == "--decoder" for word in words):
        raise UserError("train: --codec and --decoder are two trainings; give one of them")
    about = "Train a learned codec: depth maps or masks as a few codes."
    parser = _preset_parser("train", about, choose_preset(words, with_data="paper"), CodecTrainOptions)
    options: CodecTrainOptions = _typed(parser, words, CodecTrainOptions)
    return options


def _preset_parser(command: str, description: str, preset: str, options: type) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"decoder-bench {command}",
        description=description,
        default_config_files=[str(preset_file(preset))],
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with options")
    parser.add_class_arguments(options, nested_key=None, as_group=False)
    for name in sorted(SECTIONS - _names(options)):  # what a preset says to other commands
        parser.add_argument(f"--{name}", type=Any, help=argparse.SUPPRESS)
    parser.set_defaults(preset=preset)
    return parser


def _hide(parser: ArgumentParser, option: str) -> None:
    """Leave an option that the command fills in itself out of its help."""
    for action in parser._actions:
        if option in action.option_strings:
            action.help = argparse.SUPPRESS


def _names(options: type) -> set[str]:
    return {field.name for field in dataclasses.fields(options)}


def _typed(parser: ArgumentParser, words: list[str], options: type) -> Any:
    try:
        parsed = parser.parse_args(_normalized(words, parser))
        made = parser.instantiate(parsed)
        return options(**{name: value for name, value in vars(made).items() if name in _names(options)})
    except (ArgumentError, ValueError) as error:
        raise UserError(f"{_one_line(str(error))}; see `{parser.prog} --help`") from None


def _normalized(words: list[str], parser: ArgumentParser) -> list[str]:
    """Accept ``--headers-only`` for ``--headers_only``, a bare ``--fresh`` for ``--fresh true``, a path for a list."""
    flags, paths = _options_of_type(parser, bool), _options_of_type(parser, list[Path])
    out = []
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            name = "--" + name[2:].replace("-", "_")
            following = words[position + 1] if position + 1 < len(words) else "--"
            if name in flags and not equals and following.startswith("--"):
                equals, value = "=", "true"
            out.append(name + equals + value)
        elif position and out[-1] in paths and not word.startswith("["):
            out[-1] += f"={json.dumps([word])}"
        else:
            out.append(word)
    return out


def _options_of_type(parser: ArgumentParser, hint: Any) -> set[str]:
    return {
        option
        for action in parser._actions
        for option in action.option_strings
        if getattr(action, "_typehint", None) == hint
    }


def _one_line(message: str) -> str:
    """The parser's answer in one line: option, value given, types expected."""
    text = " ".join(message.split())
    key = re.search(r'[Pp]arser key "([^"]+)"', text)
    given = re.findall(r"(?:Given|Got) value: (\S+)", text)
    expected = [name for name in re.findall(r"Expected an? <class '(\w+)'>", text) if name != "NoneType"]
    if choices := re.search(r"Expected a typing.Literal\[([^\]]+)\]", text):
        expected = [f"one of {choices[1]}".replace("'", "")]
    if key and given and expected:
        return f"--{key[1]} {given[-1]}: expected {' or '.join(dict.fromkeys(expected))}"
    return re.sub(r'^[Pp]arser key "([^"]+)":', r"--\1:", text).replace("a typing.Literal", "one of ")


def preset_names() -> list[str]:
    """Names of the presets that ship with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset_file(name: str) -> Path:
    """Path of a preset.

    Raises:
        UserError: if there is none of that name.
    """
    if name not in preset_names():
        raise UserError(unknown("preset", name, preset_names()))
    return PRESETS / f"{name}.yaml"


def choose_preset(arguments: list[str], *, with_data: str = "paper") -> str:
    """The preset that a command line asks for, itself or through its YAML file, read before the options are parsed.

    Where it names none it is ``with_data`` if data is given, else ``embedded``.
    Precedence is command line over YAML file over preset, so the preset must be known first.
    """
    given = {name: _value_of(arguments, f"--{name}") for name in ("preset", "config", "coco", "nyu")}
    if given["config"] and Path(given["config"]).is_file():
        try:
            content = yaml.safe_load(Path(given["config"]).read_text()) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{given['config']}: not a YAML file ({' '.join(str(error).split())})") from None
        if not isinstance(content, dict):
            raise UserError(f"{given['config']}: expected options as `name: value`, got a {type(content).__name__}")
        given = {name: value or content.get(name) for name, value in given.items()}
    if given["preset"]:
        return str(given["preset"])
    return with_data if given["coco"] or given["nyu"] else "embedded"


def _value_of(arguments: list[str], option: str) -> str | None:
    """The value given for an option; the last one counts, as in the parser."""
    value = None
    for position, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            value = argument.partition("=")[2]
        if argument == option and position + 1 < len(arguments):
            value = arguments[position + 1]
    return value
