"""Parsers of the commands, made from typed option classes."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from jsonargparse import ArgumentParser

from bench.config.analysis import (
    AblateOptions,
    CompareOptions,
    GateOptions,
    HistoryOptions,
    PlantedOptions,
    ReportOptions,
)
from bench.config.loading import _typed, parse_codec, parse_run, parse_train
from bench.config.studies import (
    CeilingsOptions,
    CodecStudyOptions,
    OverfitOptions,
    PairsOptions,
    SeedsOptions,
    SpeakersOptions,
)
from bench.config.tools import (
    DescribeOptions,
    ImportOptions,
    ListOptions,
    ParityOptions,
    ScenesOptions,
    SchemaOptions,
    SweepOptions,
    VerifyOptions,
    VocabularyOptions,
)
from bench.errors import UserError

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
# The same with the options of ``train``.
STUDIES = dict.fromkeys(("soft-tokens", "parallel-study"), ("--decoder", "ait", "--train.decoder.steps", "1000"))
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


def _own_version() -> str:
    return version("decoder-bench")
