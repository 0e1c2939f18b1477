"""Parsers of the commands, made from typed option classes."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentError, ArgumentParser

from bench.codec_options import CodecStudyOptions, CodecTrainOptions, PairsOptions
from bench.config import RunOptions, choose_preset, preset_file
from bench.errors import UserError
from bench.report_options import AblateOptions, ReportOptions
from bench.statistics_options import CompareOptions, GateOptions, HistoryOptions, PlantedOptions
from bench.study_options import CeilingsOptions, OverfitOptions, SeedsOptions, SpeakersOptions
from bench.training_options import TrainOptions


@dataclass(frozen=True)
class ListOptions:
    """Options of ``list``.

    Args:
        what: list only these.
    """

    what: Literal["all", "decoders", "tasks", "presets"] = "all"


@dataclass(frozen=True)
class DescribeOptions:
    """Options of ``describe``.

    Args:
        name: a decoder, task or preset.
        preset: preset whose sizes a task is described with; default: ``paper``, or one that has the task.
        formats: task to format that it is described with, as in ``run``.
    """

    name: str
    preset: str | None = None
    formats: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VerifyOptions:
    """Options of ``verify-data``.

    Args:
        coco: COCO 2017 folder.
        nyu: NYUv2 folder or labelled ``.mat`` file.
        split: which split; ``all`` takes those that are there.
        workers: threads that decode images.
        headers_only: read sizes only, do not decode images (much faster, misses truncated files).
    """

    coco: Path | None = None
    nyu: Path | None = None
    split: Literal["val2017", "train2017", "all"] = "all"
    workers: int = 2
    headers_only: bool = False


@dataclass(frozen=True)
class ScenesOptions:
    """Options of ``scenes``.

    Args:
        out: folder to write; it is a COCO root and a NYUv2 root at once.
        split: which split to render.
        count: images; default: 300 for val2017, 16,000 for train2017.
        seed: seed of the scenes.
    """

    out: Path
    split: Literal["val2017", "train2017", "all"] = "val2017"
    count: int | None = None
    seed: int = 2017


@dataclass(frozen=True)
class VocabularyOptions:
    """Options of ``vocabulary``.

    Args:
        captions: COCO caption file (JSON), or a text file with one caption a line.
        out: ``.model`` file to write.
        size: most pieces of a newly trained model.
        abbreviate: existing ``.model`` to cut down to the pieces that the captions use, instead of training.
    """

    captions: Path
    out: Path
    size: int = 11421
    abbreviate: Path | None = None


@dataclass(frozen=True)
class SchemaOptions:
    """Options of ``schema``.

    Args:
        out: file to write instead of printing.
    """

    out: Path | None = None


@dataclass(frozen=True)
class ParityOptions:
    """Options of ``parity``.

    Args:
        file: golden ``.npz`` file.
    """

    file: Path


@dataclass(frozen=True)
class ImportOptions:
    """Options of ``import``.

    Args:
        kind: whose checkpoint it is.
        checkpoint: released state dict (safetensors, or a torch file that holds tensors only).
        out: ``.safetensors`` file to write; its card lies beside it.
        codecs: imported codecs that a task solver of AiT was trained with, where they do not lie in its checkpoint.
        tokenizer: SentencePiece ``.model`` that a checkpoint of MAD learned captions with; without it they cannot run.
    """

    kind: Literal["mad", "ait"]
    checkpoint: Path
    out: Path = Path("imported.safetensors")
    codecs: tuple[Path, ...] = ()
    tokenizer: Path | None = None


@dataclass(frozen=True)
class SweepOptions:
    """Options of ``sweep``.

    Args:
        file: YAML file with ``options`` and ``matrix``, or the name of a shipped one: ``gpu``.
        out: folder of the runs, in place of the file's.
        only: run those whose name contains this.
        fresh: run finished ones again, and discard unfinished ones.
        show: only print the names of the runs.
    """

    file: Path
    out: Path | None = None
    only: str | None = None
    fresh: bool = False
    show: bool = False


OPTIONS: dict[str, type] = {
    "sweep": SweepOptions,
    "parity": ParityOptions,
    "import": ImportOptions,
    "list": ListOptions,
    "describe": DescribeOptions,
    "verify-data": VerifyOptions,
    "scenes": ScenesOptions,
    "vocabulary": VocabularyOptions,
    "ceilings": CeilingsOptions,
    "speakers": SpeakersOptions,
    "codecs": CodecStudyOptions,
    "depth-pairs": PairsOptions,
    "overfit": OverfitOptions,
    "seeds": SeedsOptions,
    "schema": SchemaOptions,
    "compare": CompareOptions,
    "gate": GateOptions,
    "history": HistoryOptions,
    "planted-faults": PlantedOptions,
    "report": ReportOptions,
    "ablate": AblateOptions,
}
# Commands with the options of ``run``, and what is fixed for them; what follows may change the preset.
MEASUREMENTS = {"table2": ("--decoder", "mad"), "paper-time": ("--decoder", "mad-released", "--preset", "mad-r50")}
# Of presets, that not every command reads.
SECTIONS = {"codecs", "formats", "image", "network", "reading", "strategy", "tasks", "temperatures", "train"}
# The same with the options of ``train``.
STUDIES = dict.fromkeys(("soft-tokens", "parallel-study"), ("--decoder", "ait", "--train.decoder.steps", "1000"))
STUDY = "A study that chooses its decoders itself; what else its runs or trainings take:"
MANY = {"compare": "runs", "gate": "runs", "report": "runs"}  # commands whose leading words are one list
POSITIONAL = {
    "sweep": ("file",),
    "list": ("what",),
    "describe": ("name",),
    "parity": ("file",),
    "import": ("kind", "checkpoint"),
    "ablate": ("name",),
    "history": ("metric",),
}


def top(commands: Mapping[str, str]) -> argparse.ArgumentParser:
    """The parser behind ``--help``; a command's own options are shown by ``COMMAND --help``."""
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {text}" for name, text in commands.items()]
    parser = argparse.ArgumentParser(
        prog="decoder-bench",
        usage="decoder-bench COMMAND [options]   (without COMMAND: run)",
        description="How should an image's token sequence be decoded? One backbone, five tasks, accuracy and time.",
        epilog="commands:\n" + "\n".join(lines) + "\n\n`decoder-bench COMMAND --help` shows the options of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"decoder-bench {_own_version()}")
    return parser


def parse(command: str, words: list[str]) -> Any:
    """Typed options of a command from its words."""
    if command == "run":
        return parse_run(words)
    if command in MEASUREMENTS or command in STUDIES:
        if any(word.split("=")[0] == "--decoder" for word in words):
            raise UserError(f"{command} chooses its decoders itself; leave --decoder out, or use run")
        if command in STUDIES:
            return parse_train([*STUDIES[command], *words], study=command)
        return parse_run([*MEASUREMENTS[command], *words], study=command)
    if command == "train":
        codec = any(word.split("=")[0] == "--codec" for word in words)
        return parse_codec(words) if codec else parse_train(words)
    parser = ArgumentParser(prog=f"decoder-bench {command}", exit_on_error=False, allow_abbrev=False)
    for number, name in enumerate(POSITIONAL.get(command, ())):
        if number < len(words) and not words[number].startswith("-"):
            words = [*words[:number], f"--{name}={words[number]}", *words[number + 1 :]]
    if command in MANY:
        leading = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
        words = [*([f"--{MANY[command]}={json.dumps(leading)}"] if leading else []), *words[len(leading) :]]
    parser.add_class_arguments(OPTIONS[command], nested_key=None, as_group=False)
    return _typed(parser, words, OPTIONS[command])


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
        parsed = parser.parse_args(_normalised(words, parser))
        made = parser.instantiate(parsed)
        return options(**{name: value for name, value in vars(made).items() if name in _names(options)})
    except (ArgumentError, ValueError) as error:
        raise UserError(f"{_one_line(str(error))}; see `{parser.prog} --help`") from None


def _normalised(words: list[str], parser: ArgumentParser) -> list[str]:
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


def _own_version() -> str:
    return version("decoder-bench")
